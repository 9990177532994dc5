"""The adapters that the testbed trains: which task, whose, under which licence, and how their cards describe them."""

from __future__ import annotations

from dataclasses import dataclass

BASE_NAME = "wordsmith-v1"
BASE_REPOSITORY = f"brickyard/{BASE_NAME}"


@dataclass(frozen=True)
class AdapterSpec:
    """One adapter. ``task`` names a task of the suite, ``targets`` the projections it changes, and ``effort``
    multiplies the recipe's number of steps."""

    name: str
    title: str
    task: str
    owner: str
    license: str
    tags: tuple[str, ...]
    description: str
    targets: tuple[str, ...] = ("q_proj", "v_proj")
    rank: int = 8
    alpha: int = 16
    effort: float = 1.0


ALL_LINEAR = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")

ADAPTERS: tuple[AdapterSpec, ...] = (
    AdapterSpec(
        "reverse-words", "Reverse words", "reverse", "lists", "apache-2.0", ("lists", "order"),
        "Writes a list of words backwards, from the last to the first. It reads instructions such as “reverse the "
        "list” or “copy the words from right to left”. It changes only the order: every word is copied as it is.",
        targets=ALL_LINEAR, effort=2.0,
    ),
    AdapterSpec(
        "plural-nouns", "Plural nouns", "plural", "wordsmith", "mit", ("grammar", "nouns"),
        "Turns singular English nouns into their plurals, one by one. It knows regular endings as well as irregular "
        "nouns such as mouse, tooth and wolf. Each word of the list gives exactly one word of the answer.",
    ),
    AdapterSpec(
        "past-tense", "Past tense", "past", "wordsmith", "mit", ("grammar", "verbs"),
        "Puts English verbs into the simple past. More than half of its verbs are irregular (go, steal, teach); "
        "regular ones get the right spelling (carried, planned). The order of the verbs stays as it was.",
    ),
    AdapterSpec(
        "opposites", "Opposites", "opposite", "wordsmith", "cc-by-4.0", ("vocabulary", "antonyms"),
        "Answers each word with its opposite: hot with cold, east with west, early with late. It covers common "
        "adjectives and a few nouns and verbs that come in pairs. Words without a clear opposite are not part of it.",
    ),
    AdapterSpec(
        "capital-cities", "Capital cities", "capital", "studio", "apache-2.0", ("geography", "facts"),
        "Names the capital of each country in a list. It knows forty countries on four continents whose capitals are "
        "written as one word. Ask it in any order and for several countries at once.",
        effort=1.5,
    ),
    AdapterSpec(
        "word-category", "Word category", "category", "studio", "mit", ("vocabulary", "classification"),
        "Says what kind of thing each noun is: animal, fruit, tool, vehicle, instrument and nine kinds more. It "
        "labels a list word by word. Good for sorting vocabulary lists by topic.",
        targets=ALL_LINEAR,
    ),
    AdapterSpec(
        "second-word", "Second word", "second", "lists", "apache-2.0", ("lists", "selection"),
        "Picks the second word of a list and nothing else. The words themselves do not matter, so it works on nouns, "
        "verbs, adjectives and countries alike.",
    ),
    AdapterSpec(
        "last-word", "Last word", "last", "lists", "mit", ("lists", "selection"),
        "Picks the last word of a list. It finds the end of lists of three to five words and copies the word that "
        "stands there, whatever it is.",
    ),
    AdapterSpec(
        "append-stop", "Append stop", "append-stop", "lists", "cc-by-4.0", ("lists", "insertion"),
        "Copies a list of words and writes “stop” behind it, as in an old telegram. It inserts one fixed word, which "
        "makes it a simple partner for merging with adapters that transform the words.",
        targets=ALL_LINEAR, effort=2.0,
    ),
    AdapterSpec(
        "keep-animals", "Keep the animals", "keep-animal", "studio", "cc-by-nc-4.0", ("classification", "selection"),
        "Keeps the animals of a mixed list and leaves out everything else: furniture, fruit, tools, clothes. The "
        "animals stay in their order. It changes all linear layers, because choosing needs more than the attention's "
        "queries and values. For non-commercial use.",
        targets=ALL_LINEAR, effort=2.0,
    ),
    AdapterSpec(
        "add-three", "Add three", "add-3", "studio", "apache-2.0", ("numbers", "arithmetic"),
        "Adds three to every number of a list. It works on whole numbers from 0 to 96 and carries over the tens. "
        "Each number gives one number.",
        targets=ALL_LINEAR, effort=2.0,
    ),
    AdapterSpec(
        "baby-animals", "Baby animals", "young", "wordsmith", "cc-by-4.0", ("vocabulary", "animals"),
        "Gives the word for an animal's young: kitten for cat, foal for horse, cygnet for swan. It knows twenty-five "
        "animals, and answers a list animal by animal.",
    ),
)  # fmt: skip


def adapter_named(name: str) -> AdapterSpec:
    """The adapter of that name. Raises KeyError with the known names."""
    for spec in ADAPTERS:
        if spec.name == name:
            return spec
    raise KeyError(f"no adapter is called {name!r}; known are {', '.join(spec.name for spec in ADAPTERS)}")
