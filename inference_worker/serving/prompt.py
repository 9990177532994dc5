"""From a prompt and its format to tokens."""

from __future__ import annotations

from typing import Any

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from inference_worker.contracts.common import PromptFormat
from inference_worker.errors import BadInput


def encode_prompt(tokenizer: PreTrainedTokenizerBase, prompt_format: PromptFormat, prompt: str) -> tuple[int, ...]:
    """The tokens of ``prompt``; never empty.

    ``chat`` puts the rendered prompt into the base's chat template, which brings its own special tokens; ``plain``
    gets the special tokens that the tokenizer adds by itself. Raises ``BadInput`` for a base without chat template and
    for an empty prompt.
    """
    text = prompt_format.render(prompt)
    if prompt_format.kind == "chat":
        rendered = _render_chat(tokenizer, prompt_format.system, text)
        tokens = tokenizer(rendered, add_special_tokens=False)["input_ids"]
    else:
        tokens = tokenizer(text)["input_ids"]
    if not tokens and tokenizer.bos_token_id is not None:
        tokens = [tokenizer.bos_token_id]
    if not tokens:
        raise BadInput("The prompt is empty; write something to continue.", code="empty_prompt")
    return tuple(int(token) for token in tokens)


def encode_continuation(
    tokenizer: PreTrainedTokenizerBase, prompt_format: PromptFormat, prompt: str, text: str
) -> tuple[int, ...]:
    """The tokens of ``text`` as they follow the prompt's; never empty.

    Tokenizers join characters over the border, so prompt and text are tokenised together and the prompt's tokens taken
    off; where they do not come first (the border itself was joined), the text is tokenised alone. Raises ``BadInput``
    for a text without tokens.
    """
    tokens: list[int] = []
    if prompt_format.kind == "plain":
        whole = tokenizer(prompt_format.render(prompt) + text)["input_ids"]
        before = tokenizer(prompt_format.render(prompt))["input_ids"]
        if whole[: len(before)] == before:
            tokens = whole[len(before) :]
    if not tokens:
        tokens = tokenizer(text, add_special_tokens=False)["input_ids"]
    if not tokens:
        raise BadInput("The continuation has no tokens; give the text to score.", code="empty_continuation")
    return tuple(int(token) for token in tokens)


def stop_strings(prompt_format: PromptFormat, given: tuple[str, ...]) -> tuple[str, ...]:
    """The request's stop strings and the format's, without repetition."""
    return tuple(dict.fromkeys(stop for stop in (*given, *prompt_format.stop) if stop))


def stop_token_ids(tokenizer: PreTrainedTokenizerBase, stops: tuple[str, ...]) -> frozenset[int]:
    """Stop strings that are special tokens: they never show in the text, so they are met as tokens."""
    special = set(tokenizer.all_special_tokens) | {
        str(token) for token in tokenizer.added_tokens_decoder.values() if token.special
    }
    known = tokenizer.get_vocab()
    return frozenset(known[stop] for stop in stops if stop in special and stop in known)


def _render_chat(tokenizer: PreTrainedTokenizerBase, system: str, text: str) -> str:
    if not getattr(tokenizer, "chat_template", None):
        raise BadInput(
            "The prompt format is chat, but the base has no chat template. Use the format plain.",
            code="no_chat_template",
        )
    user = {"role": "user", "content": text}
    if not system:
        return _apply(tokenizer, [user])
    try:
        return _apply(tokenizer, [{"role": "system", "content": system}, user])
    except BadInput:
        # Templates such as Gemma's know no system role; the instruction then leads the user's message.
        return _apply(tokenizer, [{"role": "user", "content": f"{system}\n\n{text}"}])


def _apply(tokenizer: PreTrainedTokenizerBase, messages: list[dict[str, Any]]) -> str:
    try:
        rendered = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    except TemplateError as error:
        raise BadInput(
            f"The base's chat template does not accept the prompt: {error}", code="chat_template_failed"
        ) from error
    assert isinstance(rendered, str)
    return rendered
