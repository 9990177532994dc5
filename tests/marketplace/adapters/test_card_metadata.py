"""The Hub's keys of a card's front matter, and secrets in cards."""

from __future__ import annotations

import re

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from marketplace.adapters import cards
from marketplace.adapters.cards.metadata import read_metadata

HUB_CARD = """---
base_model: mistralai/Mistral-7B-v0.1
library_name: peft
license: apache-2.0
language:
- en
- no
- zh-Hans
datasets:
- squad
- owner/data-set
pipeline_tag: text-generation
tags:
- lora
model-index:
- name: sorter
  results:
  - task:
      type: text-generation
      name: Sorting
    dataset:
      type: lists
      name: Word lists
    metrics:
    - type: exact_match
      value: 0.93125
      name: Exact match
    - type: f1
      value: 97
    source:
      url: https://example.org/results
      name: Our run
---
# Sorter

Sorts words.
"""


def codes(text: str, **arguments: str) -> list[str]:
    return [problem.code for problem in cards.review(text, **arguments).problems]


def test_a_hub_card_is_read_whole() -> None:
    review = cards.review(HUB_CARD, base_name="mistralai/Mistral-7B-v0.1")
    metadata = review.metadata
    assert not review.problems
    assert review.body.strip() == "# Sorter\n\nSorts words."
    # YAML reads the unquoted code of Norwegian as false.
    assert metadata.languages == ("en", "no", "zh-Hans")
    assert metadata.datasets == ("squad", "owner/data-set")
    assert (metadata.pipeline_tag, metadata.library_name) == ("text-generation", "peft")
    assert metadata.base_models == ("mistralai/Mistral-7B-v0.1",)
    assert [(r.task, r.dataset, r.metric, r.value, r.source) for r in metadata.results] == [
        ("Sorting", "Word lists", "Exact match", "0.9313", "https://example.org/results"),
        ("Sorting", "Word lists", "f1", "97", "https://example.org/results"),
    ]


def test_rewriting_keeps_the_keys_of_the_hub() -> None:
    fields = cards.CardFields(title="Sorter", license="mit", base_model="mistralai/Mistral-7B-v0.1")
    front, _ = cards.split(cards.rewrite(HUB_CARD, fields, full_name="ada/sorter"))
    assert front["license"] == "mit"
    assert read_metadata(front)[0].results == cards.review(HUB_CARD).metadata.results


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("language: [en, 12]", "card_metadata"),
        ("language: {a: b}", "card_metadata"),
        ("datasets: [[squad]]", "card_metadata"),
        ("pipeline_tag: text-to-image", "card_metadata"),
        ("library_name: diffusers", "card_metadata"),
        ("model-index: nothing", "card_metadata"),
        ("model-index: [{results: [{metrics: [{type: f1}]}]}]", "card_metadata"),
        ("model-index: [{results: [{metrics: [{type: f1, value: [1]}]}]}]", "card_metadata"),
        ("license: my-own", "card_licence_unknown"),
        ("license: [mit]", "card_licence_unknown"),
        ("base_model: meta-llama/Llama-2-7b-hf", "card_base_differs"),
        ("a: *b", "card_front_matter"),
        ("- a list", "card_front_matter"),
    ],
)
def test_a_fault_is_named_and_leaves_the_rest_alone(line: str, code: str) -> None:
    assert codes(f"---\n{line}\n---\nText", base_name="mistralai/Mistral-7B-v0.1") == [code]


@pytest.mark.parametrize("name", ["/models/Mistral-7B-v0.1/", "unsloth/mistral-7b-v0.1-bnb-4bit", ""])
def test_the_base_is_compared_without_owner_and_number_format(name: str) -> None:
    assert codes("---\nbase_model: [mistralai/Mistral-7B-v0.1]\n---\n", base_name=name) == []


def test_links_lead_to_the_web_alone() -> None:
    text = "---\nlicense: other\nlicense_name: mine\nlicense_link: javascript:alert(1)\n---\n"
    assert cards.metadata_of(text).license_link == ""


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
_KEYS = ["language", "datasets", "base_model", "pipeline_tag", "library_name", "license", "license_link", "model-index"]


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.dictionaries(st.sampled_from(_KEYS), _VALUES))
def test_no_front_matter_breaks_the_reading(front: dict[str, object]) -> None:
    metadata, problems = read_metadata(front)
    assert all(problem.severity == "warning" for problem in problems)
    text = f"---\n{yaml.safe_dump(front)}---\n"
    assert cards.metadata_of(text) is not None
    assert len(metadata.results) <= 200


SECRETS = [
    "hf_" + "aB3d" * 9,
    "by_" + "x" * 43,
    "AKIA" + "IOSFODNN7EXAMPLE",
    "ghp_" + "A1" * 18,
    "https://ada:correct-horse@example.org/data",
    "-----BEGIN RSA PRIVATE KEY-----",
    "sk-proj-" + "a1B2" * 10,
    "xoxb-" + "123456789012-123456789012-" + "aB3d" * 6,
]


@pytest.mark.parametrize("secret", SECRETS)
def test_secrets_are_found_with_their_line_and_never_repeated(secret: str) -> None:
    problems = cards.secret_problems(f"first line\nlogin with {secret} please\n", "README.md")
    assert problems
    assert {(problem.code, problem.severity) for problem in problems} == {("secret_found", "warning")}
    assert all(problem.place == "README.md, line 2" for problem in problems)
    core = re.sub(r"\W", "", secret)[-12:]
    assert core not in re.sub(r"\W", "", " ".join(f"{p.message}{p.remedy}{p.place}" for p in problems))


def test_digests_addresses_and_prose_are_no_secrets() -> None:
    text = (
        f"sha256 {'0a1b' * 16}\ncommit {'ab12' * 10}\nSee https://example.org/a?b=c and mail ada@example.org.\n"
        "uuid 123e4567-e89b-12d3-a456-426614174000, base64 aGVsbG8gd29ybGQgaGVsbG8gd29ybGQ=\nby_hand and hf_hub\n"
    )
    assert cards.find_secrets(text + HUB_CARD) == []


def test_a_secret_beyond_the_length_of_a_piece_is_found() -> None:
    for offset in (3590, 3980, 7600):
        assert cards.find_secrets("a " * (offset // 2) + "hf_" + "aB3d" * 9)


def test_many_short_lines_are_searched_in_blocks() -> None:
    lines = ["a b c"] * 3000
    lines[2500] = "key hf_" + "aB3d" * 9
    lines[40] = "x" * 9000 + " AKIA" + "IOSFODNN7EXAMPLE"
    found = cards.find_secrets("\n".join(lines))
    assert [(secret.kind, secret.line) for secret in found] == [("AWS Access Key", 41), ("API token", 2501)]
