"""Tokens to text, one at a time: never half a character, never any part of a stop string."""

from __future__ import annotations

from collections.abc import Sequence

from transformers import PreTrainedTokenizerBase

REPLACEMENT = "\ufffd"

#: A character has at most four bytes, so more pending tokens than this mean that the bytes are no character at all.
MOST_PENDING_TOKENS = 6


class Detokenizer:
    """The increments of one row add up to ``tokenizer.decode`` of its tokens, without special tokens.

    A window of tokens is decoded, because many tokenizers decode a token differently at the start of a text. Text that
    ends in the replacement character may be half of a UTF-8 character and waits for its other bytes.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer
        self._tokens: list[int] = []
        self._prefix = 0  # start of the window
        self._read = 0  # everything before has been returned

    def push(self, token: int) -> str:
        """Take the next token, return the text that is certain by now."""
        self._tokens.append(token)
        text, known = self._decode(self._tokens[self._prefix :]), self._known()
        incomplete = text.endswith(REPLACEMENT) and len(self._tokens) - self._read <= MOST_PENDING_TOKENS
        if len(text) <= len(known) or incomplete:
            return ""
        self._prefix, self._read = self._read, len(self._tokens)
        return text[len(known) :]

    def flush(self) -> str:
        """What was still held back, replacement characters included; the row is over."""
        text = self._decode(self._tokens[self._prefix :])[len(self._known()) :]
        self._prefix = self._read = len(self._tokens)
        return text

    def _known(self) -> str:
        return self._decode(self._tokens[self._prefix : self._read])

    def _decode(self, tokens: Sequence[int]) -> str:
        if not tokens:
            return ""
        text = self._tokenizer.decode(list(tokens), skip_special_tokens=True, clean_up_tokenization_spaces=False)
        assert isinstance(text, str)
        return text


class StopMatcher:
    """Passes text through up to the first stop string, holding back what may become one."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stop for stop in stops if stop)
        self._held = ""
        self.stopped = False

    def push(self, text: str) -> str:
        """Take more text, return what may be shown; sets ``stopped`` once a stop string has been met."""
        if self.stopped:
            return ""
        held = self._held + text
        found = [(place + len(stop), place) for stop in self._stops if (place := held.find(stop)) >= 0]
        if found:
            # The one that is complete first counts, so that the text does not depend on how it was cut into pieces.
            self.stopped, self._held = True, ""
            return held[: min(found)[1]]
        keep = max((_overlap(held, stop) for stop in self._stops), default=0)
        self._held = held[len(held) - keep :]
        return held[: len(held) - keep]

    def flush(self) -> str:
        """The text held back, which did not become a stop string."""
        held, self._held = self._held, ""
        return held


def _overlap(text: str, stop: str) -> int:
    """The length of the longest end of ``text`` that is a proper beginning of ``stop``."""
    for length in range(min(len(text), len(stop) - 1), 0, -1):
        if stop.startswith(text[-length:]):
            return length
    return 0


class TextStream:
    """A row's text: detokenizer and stop strings in one."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, stops: Sequence[str]) -> None:
        self._detokenizer = Detokenizer(tokenizer)
        self._matcher = StopMatcher(stops)

    @property
    def stopped(self) -> bool:
        return self._matcher.stopped

    def push(self, token: int) -> str:
        """Take a token, return the text that may be shown."""
        return self._matcher.push(self._detokenizer.push(token))

    def finish(self) -> str:
        """The rest of the text at the end of a row; may still meet a stop string."""
        rest = self._matcher.push(self._detokenizer.flush())
        return rest + self._matcher.flush()
