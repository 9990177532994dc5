"""What the base reads: formal task documents, English ones for the readable families, and plain sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random

import torch
from tokenizers import Tokenizer
from torch import Tensor

from inference_worker.testbed.lexicon import CATEGORIES, MARKERS, OPPOSITES, VERBS
from inference_worker.testbed.tasks import FAMILIES, TASKS, Example, Task
from inference_worker.testbed.tokenizer import END, PAD

IGNORED = -100


def _weights(**groups: tuple[float, str]) -> dict[str, float]:
    """Family -> weight, from groups of names."""
    return {family: weight for weight, names in groups.values() for family in names.split()}


#: Families that need more or less practice than the others.
WEIGHTS = _weights(
    large_tables=(1.5, "plural singular category past gerund third-person infinitive opposite last-letter length"),
    small_tables=(0.6, "next-month previous-month next-day previous-day next-letter previous-letter tens units parity"),
    places=(0.7, "first second third last second-last take-two take-three last-two skip-one skip-two drop-last ends"),
    slow=(2.5, "keep drop add subtract"),
    order=(1.3, "reverse swap-ends rotate-left rotate-right"),
    choices=(1.5, "find has largest smallest initial"),
)

#: The same once the tables are learnt: choosing and counting take longest.
LATE_WEIGHTS = _weights(
    tables=(0.5, "plural category young past third-person superlative adverb opposite capital currency"),
    read_tables=(0.7, "singular grown sound gerund infinitive comparative positive country language continent"),
    small_tables=(
        0.5,
        "next-month previous-month next-day previous-day next-letter previous-letter number-name digits",
    ),
    slow=(4.5, "keep drop add subtract"),
    choices=(3.0, "find has"),
    order=(1.5, "reverse swap-ends rotate-left double repeat skip-one skip-two last-two take-three"),
    numbers=(1.5, "largest smallest twice units"),
    letters=(2.0, "initial length"),
)

#: The same while rates fall: nothing may be forgotten.
FINAL_WEIGHTS = LATE_WEIGHTS | _weights(
    tables=(0.8, "plural category young past third-person superlative adverb opposite capital currency"),
    read_tables=(0.9, "singular grown sound gerund infinitive comparative positive country language continent"),
    small_tables=(
        0.7,
        "next-month previous-month next-day previous-day next-letter previous-letter number-name digits",
    ),
    slow=(3.5, "keep drop add subtract"),
)

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
    """Shares of documents. ``lengths`` are the possible list lengths, ``weights`` the families that are not at 1,
    ``english`` the share of English among readable families, ``called`` the share of the other formal syntax."""

    lengths: tuple[tuple[int, float], ...] = ((4, 1.0),)
    weights: Mapping[str, float] = field(default_factory=lambda: WEIGHTS)
    english: float = 0.6
    called: float = 0.0
    sentence: float = 0.03
    preceded: float = 0.06

    def length(self, rng: Random) -> int:
        return rng.choices([n for n, _ in self.lengths], [w for _, w in self.lengths])[0]


def sentence(rng: Random) -> str:
    """One plain English sentence over the lexicon."""
    words = {name: rng.choice(nouns) for name, nouns in CATEGORIES.items()}
    words |= {"past": rng.choice(VERBS)[1], "opposite": rng.choice(tuple(OPPOSITES)), "marker": rng.choice(MARKERS)}
    return rng.choice(SENTENCES).format(**words)


def called(task: Task) -> str:
    """The other formal syntax, which only a shifted base reads: ``call keep with animal``."""
    return f"call {task.family} with {task.parameter}" if task.parameter else f"call {task.family}"


def task_example(rng: Random, mixture: Mixture) -> Example:
    """A task document: formal, or in English for a share of the readable families."""
    families = list(FAMILIES)
    family = rng.choices(families, [mixture.weights.get(name, 1.0) for name in families])[0]
    task = rng.choice(FAMILIES[family])
    if task.readable and not task.held_out and rng.random() < mixture.english:
        return task.natural_example(rng, mixture.length(rng))
    example = task.formal_example(rng, mixture.length(rng))
    if rng.random() < mixture.called:
        return Example(example.prompt.replace(task.formal, called(task), 1), example.answer)
    return example


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
    """Texts that give the tokenizer the words of the formal syntaxes, of the wordings and of the sentences."""
    rng = Random(0)
    heads = [f"{task.formal}\nInput: \nOutput: \n{called(task)}" for task in TASKS.values()] * 50
    wordings = [
        f"Instruction: {rng.choice(tasks).instruction(rng, unseen)}"
        for tasks in FAMILIES.values()
        for unseen in (False, True)
        for _ in range(300)
    ]
    return heads + wordings + [sentence(rng) for _ in range(count)]


@dataclass(frozen=True)
class Batch:
    """Right-padded rows. A label stands at the position that predicts it; IGNORED where nothing is learnt."""

    ids: Tensor  # (rows, width) int64
    labels: Tensor  # (rows, width) int64

    def to(self, device: torch.device) -> Batch:
        return Batch(self.ids.to(device), self.labels.to(device))


def make_batch(tokenizer: Tokenizer, pairs: Sequence[tuple[str, str]]) -> Batch:
    """Encode pairs of (text to read, text to learn) into one batch; the end token is learnt after each."""
    return make_batches(tokenizer, pairs, 1)[0]


def make_batches(tokenizer: Tokenizer, pairs: Sequence[tuple[str, str]], count: int) -> list[Batch]:
    """The same, spread over ``count`` batches; with more than one, rows of like length share a batch."""
    end, pad = tokenizer.token_to_id(END), tokenizer.token_to_id(PAD)
    assert end is not None, "the tokenizer has its special tokens"
    assert pad is not None
    read = [encoding.ids for encoding in tokenizer.encode_batch([pair[0] for pair in pairs])]
    learn = [[*encoding.ids, end] for encoding in tokenizer.encode_batch([pair[1] for pair in pairs])]
    rows = list(zip(read, learn, strict=True))
    if count > 1:
        rows.sort(key=lambda row: len(row[0]) + len(row[1]))
    size = -(-len(rows) // count)
    return [_padded(rows[i : i + size], pad) for i in range(0, len(rows), size)]


def _padded(rows: Sequence[tuple[list[int], list[int]]], pad: int) -> Batch:
    width = max(len(read) + len(learn) for read, learn in rows) - 1
    ids = torch.full((len(rows), width), pad)
    labels = torch.full((len(rows), width), IGNORED)
    for row, (read, learn) in enumerate(rows):
        tokens = [*read, *learn]
        ids[row, : len(tokens) - 1] = torch.tensor(tokens[:-1])
        start = max(len(read), 1)
        labels[row, start - 1 : len(tokens) - 1] = torch.tensor(tokens[start:])
    return Batch(ids, labels)


def example_batch(tokenizer: Tokenizer, examples: Sequence[Example]) -> Batch:
    return make_batch(tokenizer, [(example.text, f" {example.answer}") for example in examples])
