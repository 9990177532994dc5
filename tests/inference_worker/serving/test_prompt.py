"""Prompts become tokens by chat template or as plain text."""

from __future__ import annotations

import copy

import pytest
from tiny_bases import tiny_tokenizer
from transformers import PreTrainedTokenizerFast

from inference_worker.contracts.common import PromptFormat
from inference_worker.errors import BadInput
from inference_worker.serving.prompt import encode_prompt, stop_strings, stop_token_ids

WITH_SYSTEM = (
    "<s>{% for m in messages %}[{{ m.role }}]{{ m.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}"
)
NO_SYSTEM = "{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}" + WITH_SYSTEM


def tokenizer(template: str | None) -> PreTrainedTokenizerFast:
    found = copy.deepcopy(tiny_tokenizer())
    found.chat_template = template
    return found


def rendered(template: str, prompt_format: PromptFormat, prompt: str) -> str:
    encoder = tokenizer(template)
    return str(encoder.decode(encode_prompt(encoder, prompt_format, prompt)))


def test_plain_text_is_rendered_and_gets_the_tokenizers_own_tokens() -> None:
    encoder = tokenizer(None)
    prompt_format = PromptFormat(template="Q: {prompt}\nA:")
    assert encode_prompt(encoder, prompt_format, "why {prompt}?") == tuple(encoder("Q: why {prompt}?\nA:")["input_ids"])


def test_chat_renders_the_template_once() -> None:
    chat = PromptFormat(kind="chat", system="be brief", template="say {prompt}")
    assert rendered(WITH_SYSTEM, chat, "hi") == "<s>[system]be brief<|end|>[user]say hi<|end|>[assistant]"


def test_a_template_without_system_role_gets_it_in_the_users_message() -> None:
    chat = PromptFormat(kind="chat", system="be brief")
    assert rendered(NO_SYSTEM, chat, "hi") == "<s>[user]be brief\n\nhi<|end|>[assistant]"
    assert rendered(NO_SYSTEM, PromptFormat(kind="chat"), "hi") == "<s>[user]hi<|end|>[assistant]"


def test_a_broken_template_is_told() -> None:
    for template in ("{% if %}", "{{ raise_exception('never') }}", "{{ messages.nothing.here }}"):
        with pytest.raises(BadInput, match="chat template") as caught:
            encode_prompt(tokenizer(template), PromptFormat(kind="chat"), "hi")
        assert caught.value.code == "chat_template_failed"


def test_a_missing_template_and_an_empty_prompt() -> None:
    with pytest.raises(BadInput, match="no chat template"):
        encode_prompt(tokenizer(None), PromptFormat(kind="chat"), "hi")
    encoder = tokenizer(None)
    assert encode_prompt(encoder, PromptFormat(), "") == (encoder.bos_token_id,)
    encoder.bos_token = None
    with pytest.raises(BadInput, match="empty"):
        encode_prompt(encoder, PromptFormat(), "")


def test_stop_strings_of_request_and_format() -> None:
    stops = stop_strings(PromptFormat(stop=("<|end|>", "\n")), ("\n", "", "END"))
    assert stops == ("\n", "END", "<|end|>")
    encoder = tokenizer(None)
    assert stop_token_ids(encoder, stops) == {encoder.convert_tokens_to_ids("<|end|>")}
