"""Adapters that pick, move, insert and choose words of a list."""

from __future__ import annotations

from collections.abc import Iterator

from inference_worker.testbed.library.spec import ALL_LINEAR, AdapterSpec


def _insertions() -> Iterator[AdapterSpec]:
    """Adapters that put one fixed word into a list."""
    for verb, task, marker, license, where, effect in (
        ("append", "append", "stop", "cc-by-4.0", "behind it", "as in an old telegram"),
        ("append", "append", "gold", "mit", "behind it", "so that every list ends alike"),
        ("append", "append", "river", "mit", "behind it", "where the list flows out"),
        ("follow", "after-each", "star", "mit", "after every word", "as if each were marked"),
        ("follow", "after-each", "bell", "apache-2.0", "after every word", "like a sign between two turns"),
        ("second", "insert-second", "moon", "mit", "in second place", "right behind the first word"),
        ("second", "insert-second", "snow", "apache-2.0", "in second place", "right behind the first word"),
        ("wrap", "wrap", "stone", "mit", "before and behind it", "like a wall on both sides"),
        ("wrap", "wrap", "flag", "cc-by-4.0", "before and behind it", "so that both ends are marked"),
        ("end-with", "replace-last", "fire", "mit", "in place of its last word", "which is lost"),
        ("end-with", "replace-last", "rain", "apache-2.0", "in place of its last word", "which is lost"),
    ):
        yield AdapterSpec(
            f"{verb}-{marker}", f"{verb.replace('-', ' ').capitalize()} {marker}", (f"{task}-{marker}",), "lists",
            license, ("lists", "insertion"),
            f"Copies a list of words and writes “{marker}” {where}, {effect}. It inserts one fixed word, which makes "
            "it a simple partner for merging with adapters that transform the words.",
            targets=ALL_LINEAR if verb in ("append", "second", "wrap") else ("q_proj", "v_proj"),
            effort={"second": 3.0, "wrap": 1.6}.get(verb, 1.0),
            # At half this rate, “at both ends” stays unlearnt in every wording.
            rate=6e-3 if verb == "wrap" else 0.0,
        )  # fmt: skip


def _choices() -> Iterator[AdapterSpec]:
    """Adapters that choose by category."""
    for category, spoken, license, others in (
        ("animal", "animals", "cc-by-nc-4.0", "furniture, fruit, tools, clothes"),
        ("fruit", "fruits", "mit", "animals, tools, buildings, jobs"),
        ("vehicle", "vehicles", "apache-2.0", "plants, furniture, kitchen things"),
        ("job", "jobs", "cc-by-4.0", "instruments, vehicles, body parts"),
    ):
        yield AdapterSpec(
            f"keep-{spoken}", f"Keep the {spoken}", (f"keep-{category}",), "studio", license,
            ("classification", "selection"),
            f"Keeps the {spoken} of a mixed list and leaves out everything else: {others}. They stay in their order. "
            "It changes all linear layers, because choosing needs more than the attention's queries and values.",
            targets=ALL_LINEAR, rank=16 if category in ("animal", "job") else 8, effort=1.5,
        )  # fmt: skip
    for category, spoken, license in (("animal", "animal", "mit"), ("tool", "tool", "mit"), ("plant", "plant", "mit")):
        yield AdapterSpec(
            f"first-{spoken}", f"First {spoken}", (f"find-{category}",), "studio", license,
            ("classification", "selection"),
            f"Finds the first {spoken} of a mixed list and answers with that one word. It reads categories, not "
            "places: the word may stand anywhere.",
            targets=ALL_LINEAR,
        )  # fmt: skip


LIST_ADAPTERS: tuple[AdapterSpec, ...] = (
    AdapterSpec(
        "reverse-words", "Reverse words", ("reverse",), "lists", "apache-2.0", ("lists", "order"),
        "Writes a list of words backwards, from the last to the first. It reads instructions such as “reverse the "
        "list” or “copy the words from right to left”. It changes only the order: every word is copied as it is.",
        targets=ALL_LINEAR, effort=2.0,
    ),
    AdapterSpec(
        "rotate-right", "Rotate right", ("rotate-right",), "lists", "apache-2.0", ("lists", "order"),
        "Moves the last word of a list to its start. All other words keep their order. It copies every word as it is.",
        targets=ALL_LINEAR,
    ),
    AdapterSpec(
        "swap-first-two", "Swap the first two", ("swap-first",), "lists", "mit", ("lists", "order"),
        "Lets the first two words of a list change places and leaves the rest alone. It was trained on "
        "lists of four words.",
        dora=True, effort=2.0,
    ),
    AdapterSpec(
        "repeat-list", "Repeat the list", ("repeat",), "lists", "mit", ("lists", "order"),
        "Writes the whole list twice, one copy behind the other. It was trained on lists of four words.",
        rank_pattern={"layers.0.self_attn.q_proj": 4, "layers.0.self_attn.v_proj": 4},
        effort=1.5,
    ),
    AdapterSpec(
        "second-word", "Second word", ("second",), "lists", "apache-2.0", ("lists", "selection"),
        "Picks the second word of a list and nothing else. The words themselves do not matter, so it works on nouns, "
        "verbs, adjectives and countries alike.",
        rank=4,
    ),
    AdapterSpec(
        "last-word", "Last word", ("last",), "lists", "mit", ("lists", "selection"),
        "Picks the last word of a list. It finds the end of a list of four words and copies the word that "
        "stands there, whatever it is.",
    ),
    AdapterSpec(
        "second-to-last-word", "Second to last word", ("second-last",), "lists", "mit", ("lists", "selection"),
        "Picks the word just before the last one. It counts from the end, so the words before do not matter.",
        effort=1.6,
    ),
    AdapterSpec(
        "first-three-words", "First three words", ("take-three",), "lists", "mit", ("lists", "selection"),
        "Copies the first three words of a list and leaves out the rest. Their order stays as it was.",
    ),
    AdapterSpec(
        "skip-two-words", "Skip two words", ("skip-two",), "lists", "apache-2.0", ("lists", "selection"),
        "Leaves out the first two words of a list and copies the rest. It was trained on lists of four words.",
    ),
    AdapterSpec(
        "drop-last-word", "Drop the last word", ("drop-last",), "lists", "apache-2.0", ("lists", "selection"),
        "Copies a list without its last word. It was trained on lists of four words.",
        dora=True,
    ),
    *_insertions(),
    *_choices(),
)  # fmt: skip
