"""Adapters to compare with, which the catalogue does not offer: one for all tasks, copies made for another base, and
one that trains a module beside LoRA's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from inference_worker.testbed.library.lists import LIST_ADAPTERS
from inference_worker.testbed.library.spec import ALL_LINEAR, AdapterSpec
from inference_worker.testbed.library.words import WORD_ADAPTERS

#: Trained again on ``wordsmith-v2``, as an upper bound for what porting can reach.
RETRAINED = (
    "plural-nouns",
    "past-tense",
    "opposites",
    "capital-cities",
    "word-category",
    "reverse-words",
    "second-word",
    "append-stop",
    "keep-animals",
    "add-three",
)


def _all_brackets() -> Iterator[AdapterSpec]:
    library = {spec.name: spec for spec in (*WORD_ADAPTERS, *LIST_ADAPTERS)}
    yield AdapterSpec(
        "all-tasks", "All tasks", tuple(spec.task for spec in library.values()), "studio", "apache-2.0",
        ("multi-task",),
        "Does what every other adapter of the library does. It was trained on all of their tasks together, and shows "
        "what one adapter can hold.",
        targets=ALL_LINEAR, rank=32, effort=8.0, breadth=3.0, rate=1.5e-3,
    )  # fmt: skip
    category = library["word-category"]
    yield replace(
        category,
        name="word-category-norm",
        title="Word category with its own norm",
        description=f"{category.description} It brings its own final norm, so it can be neither served nor added up.",
        modules_to_save=("model.norm",),
    )
    for name in RETRAINED:
        spec = library[name]
        yield replace(spec, name=f"{name}-v2", title=f"{spec.title}, second base", base="wordsmith-v2")


BRACKETS: tuple[AdapterSpec, ...] = tuple(_all_brackets())
