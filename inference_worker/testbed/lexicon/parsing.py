"""Reads the lexicon's tables from plain text."""

from __future__ import annotations


def words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def rows(text: str) -> tuple[tuple[str, ...], ...]:
    """Entries are parted by bars or line ends, words of an entry by blanks."""
    return tuple(words(entry) for entry in text.strip().replace("\n", "|").split("|"))


def pairs(text: str) -> tuple[tuple[str, str], ...]:
    return tuple((first, second) for first, second in rows(text))
