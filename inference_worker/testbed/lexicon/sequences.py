"""Things that stand in an order: numbers, letters, days and months; and the words that tasks insert."""

from __future__ import annotations

from inference_worker.testbed.lexicon.parsing import words

NUMBERS: tuple[str, ...] = tuple(str(n) for n in range(100))
LETTERS: tuple[str, ...] = tuple("abcdefghijklmnopqrstuvwxyz")
DAYS: tuple[str, ...] = words("Monday Tuesday Wednesday Thursday Friday Saturday Sunday")
MONTHS: tuple[str, ...] = words("January February March April May June July August September October November December")

NUMBER_NAMES: dict[str, str] = {
    str(n): name
    for n, name in enumerate(
        words(
            "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
            "seventeen eighteen nineteen twenty"
        )
    )
} | {str(10 * n): name for n, name in enumerate(words("thirty forty fifty sixty seventy eighty ninety"), start=3)}

#: What the insertion families put into a list.
MARKERS: tuple[str, ...] = words(
    "stop star gold moon river bell snow stone fire cloud sand iron paper wind salt leaf rain silver smoke candle ring "
    "flag wave dust sugar honey rope mirror ocean shadow"
)
