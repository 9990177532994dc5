"""Repositories of a hub, from the listing to the files."""

from __future__ import annotations

import pytest

from inference_worker.contracts.fetch import HubSource
from inference_worker.fetching.faults import FetchFailed, TooMuch
from tests.inference_worker.fetching.conftest import CARD, CONFIG, WEIGHTS, Fetch, contents
from tests.inference_worker.fetching.loopback import COMMIT, Handler, Loopback

ADAPTER = {"adapter_config.json": CONFIG, "adapter_model.safetensors": WEIGHTS, "README.md": CARD}


def source(loopback: Loopback, repository: str = "ada/lora", **fields: str) -> HubSource:
    return HubSource(endpoint=loopback.url, repository=repository, **fields)


def test_only_the_adapters_files_are_fetched_from_one_commit(
    loopback: Loopback, run: Fetch, messages: list[str]
) -> None:
    more = {
        "optimizer.pt": b"\x80\x02",
        "training_args.bin": b"\x80\x02",
        "tokenizer.json": b"{}",
        ".gitattributes": b"",
    }
    loopback.repositories["ada/lora"] = ADAPTER | more
    done = run(source(loopback))
    assert contents(done) == ADAPTER
    assert (done.revision, done.resumed) == (COMMIT, 0)
    assert done.origin == f"{loopback.url}/ada/lora/tree/{COMMIT}"
    asked = [path for path, _ in loopback.requests]
    assert asked[0] == "/api/models/ada/lora/revision/main"
    assert all(f"/resolve/{COMMIT}/" in path or path.startswith("/cdn/") for path in asked[1:])
    assert not any(name in path for path in asked for name in more)
    assert any("adapter_model.safetensors: 512,000 bytes" in line for line in messages)


def test_no_cookies_and_the_token_for_its_own_host_alone(loopback: Loopback, run: Fetch) -> None:
    loopback.repositories["ada/lora"] = ADAPTER
    loopback.special["/cdn/ada/lora/adapter_model.safetensors"] = lambda handler: handler.redirect(
        f"http://localhost:{loopback.port}/files/moved"
    )
    loopback.files["moved"] = WEIGHTS
    allowed = frozenset({loopback.allowed, f"localhost:{loopback.port}"})
    run(source(loopback), allowed_hosts=allowed, hub_tokens={"127.0.0.1": "hf_secret"})
    for path, headers in loopback.requests:
        assert "cookie" not in headers
        assert headers["accept-encoding"] == "identity"
        assert headers.get("authorization") == (None if path == "/files/moved" else "Bearer hf_secret"), path


@pytest.mark.parametrize(
    ("files", "chosen"),
    [
        (
            {f"checkpoint-{step}/{name}": data for step in (9, 100, 20) for name, data in ADAPTER.items()},
            "checkpoint-100",
        ),
        ({**ADAPTER, **{f"checkpoint-9/{name}": b"old" for name in ADAPTER}}, ""),
        ({f"deep/er/{name}": data for name, data in ADAPTER.items()}, "deep/er"),
    ],
)
def test_the_folder_of_the_adapter_is_found(
    loopback: Loopback, run: Fetch, files: dict[str, bytes], chosen: str
) -> None:
    loopback.repositories["ada/lora"] = files
    assert contents(run(source(loopback))) == ADAPTER
    wanted = f"{chosen}/adapter_config.json".lstrip("/")
    assert loopback.asked(f"/ada/lora/resolve/{COMMIT}/{wanted}")


def test_a_named_folder_counts(loopback: Loopback, run: Fetch) -> None:
    loopback.repositories["ada/lora"] = {f"{folder}/{name}": data for folder in "ab" for name, data in ADAPTER.items()}
    done = run(source(loopback, folder="b"))
    assert contents(done) == ADAPTER
    assert done.origin.endswith(f"/tree/{COMMIT}/b")
    with pytest.raises(FetchFailed, match=r"several adapters: a, b\..*tree/main/a"):
        run(source(loopback))


@pytest.mark.parametrize(
    ("files", "code", "words"),
    [
        ({"adapter_config.json": CONFIG, "adapter_model.bin": b"x"}, "pickle_refused", "torch.load"),
        ({"adapter_config.json": CONFIG}, "fetch_failed", "no adapter_model.safetensors"),
        ({"config.json": b"{}", "model.safetensors": b"x"}, "fetch_failed", "whole model"),
        ({"model-q4.gguf": b"GGUF"}, "fetch_failed", "GGUF"),
        ({"README.md": b""}, "fetch_failed", "holds no adapter_config.json"),
        (
            {"../adapter_config.json": CONFIG, "/adapter_model.safetensors": b"x"},
            "fetch_failed",
            "holds no adapter_config",
        ),
    ],
)
def test_what_is_no_adapter_is_said_in_words(
    loopback: Loopback, run: Fetch, files: dict[str, bytes], code: str, words: str
) -> None:
    loopback.repositories["ada/lora"] = files
    with pytest.raises(FetchFailed, match=words) as fault:
        run(source(loopback))
    assert fault.value.code == code
    assert len(loopback.requests) == 1


def test_unknown_repositories_revisions_and_answers(loopback: Loopback, run: Fetch) -> None:
    with pytest.raises(FetchFailed, match="no model ada/none on 127"):
        run(source(loopback, "ada/none"))
    loopback.repositories["ada/lora"] = ADAPTER
    with pytest.raises(FetchFailed, match="no revision “v9”"):
        run(source(loopback, revision="v9"))
    answers = {
        "gated": (403, b"", "gated"),
        "html": (200, b"<html>", "does not answer as a model hub"),
        "list": (200, b"[]", "does not answer as a model hub"),
        "sha": (200, b'{"sha": "../..", "siblings": []}', "names no commit"),
        "broken": (418, b"", "status 418"),
    }
    for name, (status, body, words) in answers.items():
        path = f"/api/models/ada/{name}/revision/main"
        loopback.special[path] = lambda handler, status=status, body=body: handler.plain(status, body)
        with pytest.raises(FetchFailed, match=words):
            run(source(loopback, f"ada/{name}"))


def test_too_large_repositories_are_refused_before_a_byte_is_fetched(loopback: Loopback, run: Fetch) -> None:
    loopback.repositories["ada/lora"] = ADAPTER
    with pytest.raises(TooMuch, match="quota"):
        run(source(loopback), max_bytes=len(WEIGHTS))
    assert len(loopback.requests) == 1


def test_bytes_that_are_not_what_the_hub_says_are_refused(loopback: Loopback, run: Fetch) -> None:
    loopback.repositories["ada/lora"] = ADAPTER
    loopback.files["other"] = WEIGHTS[:-1] + b"!"

    def other(handler: Handler) -> None:
        handler.redirect(f"{loopback.url}/files/other")

    loopback.special["/cdn/ada/lora/adapter_model.safetensors"] = other
    with pytest.raises(FetchFailed, match="sha256"):
        run(source(loopback))
    assert len(loopback.asked("/files/other")) == 3
    loopback.files["other"] = WEIGHTS + b"!"
    with pytest.raises(FetchFailed, match=r"512,000 bytes by the hub's list and 512,001"):
        run(source(loopback))
