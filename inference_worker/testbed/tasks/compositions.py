"""Two tasks in one instruction: “make every noun plural, then reverse the list”. No training has them."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from inference_worker.testbed.tasks.named import NAMED
from inference_worker.testbed.tasks.task import Example, Task
from inference_worker.testbed.tasks.words import Words

FRAMES = (
    "{X}, then {y}.",
    "First {x} and then {y}.",
    "{X} and after that {y}.",
    "Please {x}, then {y}.",
)


@dataclass(frozen=True)
class Composition:
    """``first`` changes the words of a list, ``second`` the list that this gives."""

    first: Task
    second: Task

    @property
    def name(self) -> str:
        return f"{self.first.name}+{self.second.name}"

    def instruction(self, rng: Random, unseen: bool = False) -> str:
        x = self.first.phrase(rng, unseen, imperative=True)
        y = self.second.phrase(rng, unseen, imperative=True)
        return rng.choice(FRAMES).format(x=x, y=y, X=x[0].upper() + x[1:])

    def natural_example(self, rng: Random, length: int, unseen: bool = False, words: Words = "known") -> Example:
        assert self.second.rule is not None, "the second task takes any list"
        given, between = self.first.sampler(rng, max(length, 3), words)
        answer = self.second.rule(between)
        return Example(f"Instruction: {self.instruction(rng, unseen)}\nInput: {' '.join(given)}", " ".join(answer))


#: Every named task that changes words one by one, with every named one that takes any list.
COMPOSITIONS: dict[str, Composition] = {
    composition.name: composition
    for first in NAMED
    if first.rule is None and first.cluster != "selection" and first.family != "largest"
    for second in NAMED
    if second.rule is not None
    for composition in [Composition(first, second)]
}
