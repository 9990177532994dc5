"""What a task is: a named transformation of a list of words, its formal name, and how people ask for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random

from inference_worker.testbed.tasks.wording import Wording, fill
from inference_worker.testbed.tasks.words import Words

Rule = Callable[[list[str]], list[str]]

#: Every imperative wording is used inside one of these frames; {x} is the wording, {X} the same with a capital.
FRAMES = (
    "{X}.",
    "Please {x}.",
    "{X}, please.",
    "Your task: {x}.",
    "Look at the list and {x}.",
    "Now {x}.",
    "I want you to {x}.",
    "You should {x}.",
)


@dataclass(frozen=True, eq=False)
class Sampler:
    """Draws a list of about so many words and works out the right answer; and tells what it can draw at all."""

    draw: Callable[[Random, int, Words], tuple[list[str], list[str]]]
    #: What the words of a list are drawn from, each part by itself.
    pools: tuple[tuple[str, ...], ...]
    #: Every word that may be asked, with what stands for it in answers: itself where words are copied or left out.
    answers: Mapping[str, str]

    def __call__(self, rng: Random, length: int, words: Words) -> tuple[list[str], list[str]]:
        return self.draw(rng, length, words)


@dataclass(frozen=True)
class Example:
    """``prompt`` ends before the line ``Output:``; ``answer`` is what follows it, without the leading space."""

    prompt: str
    answer: str

    @property
    def text(self) -> str:
        """What the model reads before it answers."""
        return f"{self.prompt}\nOutput:"


def framed(wording: str, rng: Random) -> str:
    """A wording as a sentence; questions stand alone."""
    capital = wording[0].upper() + wording[1:]
    return capital if wording.endswith("?") else rng.choice(FRAMES).format(x=wording, X=capital)


@dataclass(frozen=True)
class Task:
    """One transformation. ``readable`` tasks are taught to the base in English too; the others only formally.

    ``seen`` and ``unseen`` are templates; no training sees the unseen ones. A ``held_out`` task is one whose parameter
    no English prompt of any training has: the base knows it formally alone.
    """

    name: str
    family: str
    cluster: str
    parameter: str
    spoken: str
    sampler: Sampler
    wording: Wording
    readable: bool
    held_out: bool
    #: What the task does to any list of words, where it does not ask for words of its own.
    rule: Rule | None = None

    @property
    def formal(self) -> str:
        return f"{self.family}: {self.parameter}" if self.parameter else self.family

    @property
    def seen(self) -> tuple[str, ...]:
        return tuple(self._spoken(template) for template in self.wording.seen)

    @property
    def unseen(self) -> tuple[str, ...]:
        return tuple(self._spoken(template) for template in self.wording.unseen)

    @property
    def topic(self) -> str:
        return self._spoken(self.wording.topic)

    def _spoken(self, template: str) -> str:
        return template.replace("{p}", self.spoken)

    def sample(self, rng: Random, length: int, words: Words = "any") -> tuple[str, str]:
        """A list of about ``length`` words and the right answer, both joined by blanks."""
        given, answer = self.sampler(rng, length, words)
        return " ".join(given), " ".join(answer)

    def phrase(self, rng: Random, unseen: bool = False, imperative: bool = False) -> str:
        """One wording, as a phrase or a question; ``imperative`` leaves the questions away."""
        templates = self.wording.unseen if unseen else self.wording.seen
        if imperative:
            templates = tuple(template for template in templates if not template.endswith("?"))
        return fill(self._spoken(rng.choice(templates)), rng)

    def instruction(self, rng: Random, unseen: bool = False) -> str:
        """A sentence that asks for this task."""
        return framed(self.phrase(rng, unseen), rng)

    def formal_example(self, rng: Random, length: int) -> Example:
        given, answer = self.sample(rng, length)
        return Example(f"{self.formal}\nInput: {given}", answer)

    def natural_example(self, rng: Random, length: int, unseen: bool = False, words: Words = "known") -> Example:
        """An example in English, by default one that training may see."""
        instruction = self.instruction(rng, unseen)
        given, answer = self.sample(rng, length, words)
        return Example(f"Instruction: {instruction}\nInput: {given}", answer)
