"""Two tasks in one instruction."""

from __future__ import annotations

from random import Random

from inference_worker.testbed.lexicon import PLURALS
from inference_worker.testbed.tasks import COMPOSITIONS


def test_the_second_task_works_on_the_answer_of_the_first() -> None:
    example = COMPOSITIONS["plural+reverse"].natural_example(Random(1), 4)
    words = example.prompt.split("\nInput: ")[1].split()
    assert example.answer.split() == [PLURALS[word] for word in reversed(words)]
    assert COMPOSITIONS["add-3+append-stop"].natural_example(Random(2), 3).answer.endswith(" stop")


def test_there_are_many_and_their_instructions_name_both_tasks() -> None:
    assert len(COMPOSITIONS) >= 300
    rng = Random(0)
    for composition in COMPOSITIONS.values():
        text = composition.instruction(rng, unseen=rng.random() < 0.5)
        assert text.endswith(".")
        assert "?" not in text
        assert " then " in text or " after that " in text
