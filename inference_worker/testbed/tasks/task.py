"""What a task is: a named transformation of a list of words, its formal name, and its wordings in English."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

Sampler = Callable[[Random, int], tuple[list[str], list[str]]]

#: Every wording is used inside one of these frames; {x} is the wording, {X} the same with a capital.
FRAMES = (
    "{X}.",
    "Please {x}.",
    "{X}, please.",
    "Your task: {x}.",
    "Look at the list and {x}.",
    "Now {x}.",
)


@dataclass(frozen=True)
class Example:
    """``prompt`` ends before the line ``Output:``; ``answer`` is what follows it, without the leading space."""

    prompt: str
    answer: str

    @property
    def text(self) -> str:
        """What the model reads before it answers."""
        return f"{self.prompt}\nOutput:"


@dataclass(frozen=True)
class Task:
    """One transformation. ``readable`` tasks are taught to the base in English too; the others only formally.

    ``unseen`` wordings are never trained on, neither by the base nor by an adapter.
    """

    name: str
    family: str
    formal: str
    sampler: Sampler
    seen: tuple[str, ...]
    unseen: tuple[str, ...]
    readable: bool

    def sample(self, rng: Random, length: int) -> tuple[str, str]:
        """A list of about ``length`` words and the right answer, both joined by blanks."""
        given, answer = self.sampler(rng, length)
        return " ".join(given), " ".join(answer)

    def formal_example(self, rng: Random, length: int) -> Example:
        given, answer = self.sample(rng, length)
        return Example(f"{self.formal}\nInput: {given}", answer)

    def natural_example(self, rng: Random, length: int, wordings: tuple[str, ...] | None = None) -> Example:
        """An example in English; ``wordings`` defaults to the seen ones."""
        wording = rng.choice(wordings or self.seen)
        sentence = rng.choice(FRAMES).format(x=wording, X=wording[0].upper() + wording[1:])
        given, answer = self.sample(rng, length)
        return Example(f"Instruction: {sentence}\nInput: {given}", answer)
