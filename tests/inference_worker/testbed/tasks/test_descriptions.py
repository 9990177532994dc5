"""Descriptions of tasks."""

from __future__ import annotations

from inference_worker.testbed.tasks import NAMED, TASKS, descriptions


def test_every_task_has_many_and_seen_and_unseen_ones_differ() -> None:
    for task in TASKS.values():
        seen, unseen = descriptions(task), descriptions(task, unseen=True)
        assert len(set(seen)) == len(set(unseen)) == 16, task.name
        assert not set(seen) & set(unseen), task.name
        assert seen == descriptions(task)
        assert not any("{" in text or "[" in text for text in (*seen, *unseen))


def test_no_description_means_two_named_tasks() -> None:
    owner: dict[str, str] = {}
    for task in NAMED:
        for text in (*descriptions(task), *descriptions(task, unseen=True)):
            assert owner.setdefault(text, task.name) == task.name
