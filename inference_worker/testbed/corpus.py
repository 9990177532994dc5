"""What the base reads: formal task documents, English ones for the readable families, and plain sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random

import torch
from tokenizers import Tokenizer
from torch import Tensor

from inference_worker.testbed.lexicon import CATEGORIES, MARKERS, OPPOSITES, VERBS
from inference_worker.testbed.tasks import FAMILIES, TASKS, Example
from inference_worker.testbed.tasks.task import FRAMES
from inference_worker.testbed.tokenizer import END, PAD

IGNORED = -100

#: Families that need more or less practice than the others.
WEIGHTS = {
    "plural": 1.5, "singular": 1.5, "opposite": 1.5, "category": 1.5, "keep": 3.0, "drop": 2.0, "add": 2.0,
    "subtract": 2.0, "largest": 1.5, "smallest": 1.5, "past": 1.5, "gerund": 1.5, "append": 1.5, "reverse": 1.5,
    "first": 0.5, "second": 0.7, "third": 0.7, "last": 0.7,
}  # fmt: skip

#: The same once the maps are learnt: choosing and counting take longest.
LATE_WEIGHTS = dict.fromkeys(FAMILIES, 1.0) | {
    "keep": 4.0, "drop": 4.0, "add": 3.0, "subtract": 3.0, "largest": 1.5, "smallest": 1.5, "reverse": 2.0,
    "swap": 1.5, "rotate": 1.5, "last": 1.5, "initial": 1.5, "opposite": 1.5,
}  # fmt: skip

#: The same once all lengths are at hand: long answers are the last to come.
FINAL_WEIGHTS = LATE_WEIGHTS | {
    "between": 2.5,
    "double": 2.0,
    "prepend": 2.0,
    "append": 1.5,
    "add": 4.0,
    "subtract": 4.0,
}

SENTENCES = (
    "The {animal} sat near the {furniture}.",
    "A {job} took the {tool} from the {building}.",
    "We {past} by the {plant} in the {opposite} morning.",
    "They {past} and {past} all day.",
    "My {body} hurts, said the {job}.",
    "She put a {fruit} and a {vegetable} into the {kitchen}.",
    "The {vehicle} stopped at the {building} by the {marker}.",
    "He wore a {clothing} and played the {instrument}.",
    "There is a {insect} on the {plant}.",
    "I saw a {opposite} {animal} and a {opposite} {vehicle}.",
)


@dataclass(frozen=True)
class Mixture:
    """Shares of documents. ``lengths`` are the possible list lengths, ``weights`` the families that are not at 1."""

    lengths: tuple[tuple[int, float], ...] = ((4, 1.0),)
    weights: Mapping[str, float] = field(default_factory=lambda: WEIGHTS)
    english: float = 0.55
    sentence: float = 0.05
    preceded: float = 0.1

    def length(self, rng: Random) -> int:
        return rng.choices([n for n, _ in self.lengths], [w for _, w in self.lengths])[0]


def sentence(rng: Random) -> str:
    """One plain English sentence over the lexicon."""
    words = {name: rng.choice(nouns) for name, nouns in CATEGORIES.items()}
    words |= {"past": rng.choice(VERBS)[1], "opposite": rng.choice(tuple(OPPOSITES)), "marker": rng.choice(MARKERS)}
    return rng.choice(SENTENCES).format(**words)


def task_example(rng: Random, mixture: Mixture) -> Example:
    """A task document: formal, or in English for a share of the readable families."""
    families = list(FAMILIES)
    family = rng.choices(families, [mixture.weights.get(name, 1.0) for name in families])[0]
    task = rng.choice(FAMILIES[family])
    if task.readable and rng.random() < mixture.english:
        return task.natural_example(rng, mixture.length(rng))
    return task.formal_example(rng, mixture.length(rng))


def documents(rng: Random, count: int, mixture: Mixture) -> list[tuple[str, str]]:
    """``count`` pairs of text to read and text to learn."""
    result = []
    for _ in range(count):
        if rng.random() < mixture.sentence:
            result.append(("", sentence(rng)))
            continue
        example = task_example(rng, mixture)
        before = f"{sentence(rng)}\n" if rng.random() < mixture.preceded else ""
        result.append((before + example.text, f" {example.answer}"))
    return result


def tokenizer_texts(count: int = 4000) -> list[str]:
    """Texts that give the tokenizer the words of the formal syntax, of the wordings and of the sentences."""
    rng = Random(0)
    heads = [f"{task.formal}\nInput: \nOutput: " for task in TASKS.values()] * 50
    wordings = [
        "Instruction: " + frame.format(x=w, X=w[0].upper() + w[1:])
        for task in TASKS.values()
        for w in (*task.seen, *task.unseen)
        for frame in FRAMES
    ]
    return heads + wordings + [sentence(rng) for _ in range(count)]


@dataclass(frozen=True)
class Batch:
    """Right-padded rows. A label stands at the position that predicts it; IGNORED where nothing is learnt."""

    ids: Tensor  # (rows, width) int64
    labels: Tensor  # (rows, width) int64


def make_batch(tokenizer: Tokenizer, pairs: Sequence[tuple[str, str]]) -> Batch:
    """Encode pairs of (text to read, text to learn); the end token is learnt after each."""
    end, pad = tokenizer.token_to_id(END), tokenizer.token_to_id(PAD)
    assert end is not None, "the tokenizer has its special tokens"
    assert pad is not None
    read = [encoding.ids for encoding in tokenizer.encode_batch([pair[0] for pair in pairs])]
    learn = [[*encoding.ids, end] for encoding in tokenizer.encode_batch([pair[1] for pair in pairs])]
    width = max(len(a) + len(b) for a, b in zip(read, learn, strict=True)) - 1
    ids = torch.full((len(pairs), width), pad)
    labels = torch.full((len(pairs), width), IGNORED)
    for row, (a, b) in enumerate(zip(read, learn, strict=True)):
        tokens = [*a, *b]
        ids[row, : len(tokens) - 1] = torch.tensor(tokens[:-1])
        start = max(len(a), 1)
        labels[row, start - 1 : len(tokens) - 1] = torch.tensor(tokens[start:])
    return Batch(ids, labels)


def example_batch(tokenizer: Tokenizer, examples: Sequence[Example]) -> Batch:
    return make_batch(tokenizer, [(example.text, f" {example.answer}") for example in examples])
