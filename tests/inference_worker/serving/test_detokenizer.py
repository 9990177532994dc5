"""Text as it streams: whole characters, and nothing of a stop string."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_bases import tiny_tokenizer

from inference_worker.serving.detokenizer import Detokenizer, StopMatcher, TextStream

TEXT = "the cat – 猫 – sat on 👩‍🚀 the mat\n\n naïve "


def increments(tokens: list[int]) -> list[str]:
    detokenizer = Detokenizer(tiny_tokenizer())
    return [*(detokenizer.push(token) for token in tokens), detokenizer.flush()]


def test_increments_add_up_and_hold_whole_characters() -> None:
    tokens = tiny_tokenizer()(TEXT)["input_ids"]
    parts = increments(tokens)
    assert "".join(parts) == TEXT
    assert not any("\ufffd" in part for part in parts)
    assert sum(bool(part) for part in parts) > 10


@given(st.lists(st.integers(0, len(tiny_tokenizer()) - 1), max_size=60))
def test_any_tokens_add_up_to_their_decoding(tokens: list[int]) -> None:
    """Bytes that are no UTF-8 come through as replacement characters, sooner or later, none of the rest is lost."""
    found, expected = "".join(increments(tokens)), tiny_tokenizer().decode(tokens, skip_special_tokens=True)
    assert found.replace("\ufffd", "") == expected.replace("\ufffd", "")


def test_special_tokens_do_not_show() -> None:
    tokenizer = tiny_tokenizer()
    tokens = tokenizer("the<|end|> cat</s>")["input_ids"]
    assert "".join(increments(tokens)) == "the cat"


def test_bytes_that_never_become_a_character_do_not_hold_the_text_back() -> None:
    lone = tiny_tokenizer().convert_tokens_to_ids("ī")  # Byte 0x8d: a continuation byte on its own.
    detokenizer = Detokenizer(tiny_tokenizer())
    shown = "".join(detokenizer.push(lone) for _ in range(30))
    assert len(shown) >= 20


@pytest.mark.parametrize(
    ("stops", "pieces", "expected"),
    [
        (["END"], ["abc", "EN", "D", "more"], "abc"),
        (["END"], ["abcE", "Nx"], "abcENx"),
        (["END"], ["abcEN"], "abcEN"),
        (["\n\n"], ["a\n", "b\n", "\nc"], "a\nb"),
        (["bc", "abcd"], ["xabcd"], "xa"),
        (["abcd", "bc"], ["xa", "b", "c", "d"], "xa"),
        (["aab"], ["aa", "a", "b"], "a"),
        (["stop"], ["st", "ost", "opx"], "sto"),
        ([""], ["text"], "text"),
        ([], ["text"], "text"),
        (["x"], ["x"], ""),
    ],
)
def test_stop_strings(stops: list[str], pieces: list[str], expected: str) -> None:
    matcher = StopMatcher(stops)
    shown = "".join(matcher.push(piece) for piece in pieces) + matcher.flush()
    assert shown == expected


@given(
    text=st.text("ab", max_size=30),
    stops=st.lists(st.text("ab", min_size=1, max_size=4), max_size=3),
    cuts=st.lists(st.integers(0, 30), max_size=8),
)
def test_stop_strings_do_not_depend_on_the_pieces(text: str, stops: list[str], cuts: list[int]) -> None:
    """Whatever the pieces: what is shown at any time is a beginning of the text, and no stop string is shown."""
    matcher = StopMatcher(stops)
    edges = sorted({0, *(min(cut, len(text)) for cut in cuts), len(text)})
    shown = ""
    for start, end in itertools.pairwise(edges):
        shown += matcher.push(text[start:end])
        assert text.startswith(shown)
    shown += matcher.flush()
    assert text.startswith(shown)
    assert not any(stop in shown for stop in stops)
    assert matcher.stopped == any(stop in text for stop in stops)
    if not matcher.stopped:
        assert shown == text
    by_character = StopMatcher(stops)
    assert shown == "".join(map(by_character.push, text)) + by_character.flush()


def test_a_stop_string_completed_by_held_bytes() -> None:
    """The last token's bytes were held back as half a character; the end still looks for stop strings."""
    tokenizer = tiny_tokenizer()
    stream = TextStream(tokenizer, ["\ufffd"])
    first_byte_of_many = tokenizer.convert_tokens_to_ids("â")
    assert stream.push(first_byte_of_many) == ""
    assert stream.finish() == ""
    assert stream.stopped
