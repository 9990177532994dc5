"""What people type, as sources."""

from __future__ import annotations

from typing import Any

import pytest

from inference_worker.contracts.fetch import AddressSource, HubSource
from marketplace.adapters.imports.sources import name_from, parse_source, shown
from marketplace.core.errors import Invalid

HUB = "https://huggingface.co"


@pytest.mark.parametrize(
    ("text", "repository", "revision", "folder"),
    [
        ("ada/lora", "ada/lora", "main", ""),
        ("  ada/lora@v1.0 ", "ada/lora", "v1.0", ""),
        ("ada/lora@refs/pr/3", "ada/lora", "refs/pr/3", ""),
        (f"{HUB}/ada/lora", "ada/lora", "main", ""),
        (f"{HUB}/ada/lora/", "ada/lora", "main", ""),
        (f"{HUB}/ada/lora?library=peft", "ada/lora", "main", ""),
        (f"{HUB}/ada/lora/tree/main", "ada/lora", "main", ""),
        (f"{HUB}/ada/lora/tree/v2/checkpoints/last", "ada/lora", "v2", "checkpoints/last"),
        (f"{HUB}/ada/lora/tree/refs%2Fpr%2F1", "ada/lora", "refs/pr/1", ""),
        (f"{HUB}/ada/lora/blob/main/a/adapter_model.safetensors", "ada/lora", "main", "a"),
        (f"{HUB}/ada/lora/resolve/main/adapter_model.safetensors?download=true", "ada/lora", "main", ""),
    ],
)
def test_hub(text: str, repository: str, revision: str, folder: str) -> None:
    expected = HubSource(endpoint=HUB, repository=repository, revision=revision, folder=folder)
    assert parse_source(text) == expected


def test_addresses_and_zips_of_a_hub() -> None:
    assert parse_source("https://example.org/a.zip?key=1") == AddressSource(url="https://example.org/a.zip?key=1")
    assert parse_source(f"{HUB}/ada/lora/blob/main/all.zip") == AddressSource(
        url=f"{HUB}/ada/lora/resolve/main/all.zip"
    )


@pytest.mark.parametrize(
    "text",
    ["", "lora", "ada/lora/more", "ada/lo ra", "../../etc", "ada/\x00", "ftp://example.org/a.zip", "file:///etc/passwd",
     "http://example.org/a.zip", "https://user:password@example.org/a.zip", "https://", "https://[::1/a.zip",
     f"{HUB}/datasets/ada/data", f"{HUB}/ada", f"{HUB}/ada/lora/discussions", f"{HUB}/ada/lora/tree/main/../../x",
     "https://example.org/" + "a" * 2000],
)  # fmt: skip
def test_what_is_no_source(text: str) -> None:
    with pytest.raises(Invalid) as fault:
        parse_source(text)
    assert list(fault.value.extra["fields"]) == ["source"]


def test_plain_http_where_the_operator_allows_it(settings: Any) -> None:
    settings.IMPORT_ALLOWED_HOSTS = ["hub.internal", "10.0.0.7:8000"]
    assert parse_source("http://hub.internal/a.zip").kind == "address"
    assert parse_source("http://10.0.0.7:8000/a.zip").kind == "address"
    with pytest.raises(Invalid):
        parse_source("http://10.0.0.7:8001/a.zip")
    settings.IMPORT_HUB_URL = "http://hub.internal"
    assert parse_source("http://hub.internal/ada/lora") == HubSource(
        endpoint="http://hub.internal", repository="ada/lora"
    )


def test_secrets_of_an_address_are_not_shown_and_names_are_made() -> None:
    signed = parse_source("https://example.org/My%20LoRA.zip?signature=secret#part")
    assert shown(signed) == "https://example.org/My%20LoRA.zip"
    assert name_from(signed) == "My-LoRA"
    assert shown(parse_source("ada/lora@v1")) == "ada/lora@v1"
    assert name_from(parse_source("ada/lora@v1")) == "lora"
    assert name_from(parse_source("https://example.org/plural/adapter_model.safetensors")) == "plural"
    assert name_from(parse_source("https://example.org/")) == "imported"
