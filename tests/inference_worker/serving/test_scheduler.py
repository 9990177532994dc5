"""The admission policy, without a model."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference_worker.errors import EngineError
from inference_worker.serving.scheduler import Limits, QueueFull, Scheduler


@dataclass(eq=False)
class FakeRow:
    prompt: tuple[int, ...]
    max_tokens: int = 10
    width: int = 1

    @property
    def budget(self) -> int:
        return len(self.prompt) + self.max_tokens


WIDE = Limits(max_rows=8, max_waiting=100, max_cache_tokens=10_000, max_prefill_tokens=10_000)


def row(length: int, max_tokens: int = 10) -> FakeRow:
    return FakeRow(tuple(range(length)), max_tokens)


def filled(limits: Limits, rows: list[FakeRow]) -> Scheduler[FakeRow]:
    scheduler: Scheduler[FakeRow] = Scheduler(limits)
    for waiting in rows:
        scheduler.add(waiting)
    return scheduler


def test_everything_that_waits_joins_at_once() -> None:
    rows = [row(3), row(9), row(1)]
    scheduler = filled(WIDE, rows)
    assert scheduler.admit([]) == rows
    assert len(scheduler) == 0
    assert scheduler.admit([]) == []


def test_rows_are_limited_counting_those_that_run() -> None:
    rows = [row(2) for _ in range(5)]
    scheduler = filled(replace(WIDE, max_rows=4), rows)
    assert scheduler.admit([row(2), row(2)]) == rows[:2]
    assert scheduler.admit([row(2)] * 4) == []
    assert scheduler.admit([]) == rows[2:]


def test_the_padded_cache_stays_within_its_limit() -> None:
    """A short row beside a long one takes as many columns as the long one."""
    scheduler = filled(replace(WIDE, max_cache_tokens=250), [row(90), row(1), row(1)])
    assert [len(admitted.prompt) for admitted in scheduler.admit([])] == [90, 1]
    assert scheduler.admit([row(90)] * 2) == []


def test_prefill_is_limited_but_a_single_long_prompt_runs() -> None:
    scheduler = filled(replace(WIDE, max_prefill_tokens=20), [row(50), row(9), row(9), row(9)])
    assert [len(admitted.prompt) for admitted in scheduler.admit([])] == [50]
    assert [len(admitted.prompt) for admitted in scheduler.admit([])] == [9, 9]
    assert [len(admitted.prompt) for admitted in scheduler.admit([])] == [9]


def test_nobody_overtakes_the_head_of_the_queue() -> None:
    scheduler = filled(replace(WIDE, max_cache_tokens=100), [row(80), row(1)])
    assert scheduler.admit([row(1)]) == []
    assert len(scheduler) == 2


def test_a_row_that_can_never_run_is_turned_away() -> None:
    scheduler: Scheduler[FakeRow] = Scheduler(replace(WIDE, max_cache_tokens=100))
    with pytest.raises(EngineError, match="101 tokens") as caught:
        scheduler.add(row(91))
    assert caught.value.code == "request_too_long"


def test_the_queue_is_bounded() -> None:
    scheduler = filled(replace(WIDE, max_waiting=2), [row(1), row(1)])
    with pytest.raises(QueueFull):
        scheduler.add(row(1))


def test_rows_can_be_taken_out() -> None:
    rows = [row(1), row(2), row(3)]
    scheduler = filled(WIDE, rows)
    assert scheduler.remove_if(lambda waiting: len(waiting.prompt) == 2) == [rows[1]]
    assert scheduler.admit([]) == [rows[0], rows[2]]


@given(
    lengths=st.lists(st.tuples(st.integers(1, 40), st.integers(1, 40)), max_size=30),
    limits=st.builds(
        Limits,
        max_rows=st.integers(1, 6),
        max_waiting=st.just(100),
        max_cache_tokens=st.integers(80, 400),
        max_prefill_tokens=st.integers(1, 100),
    ),
)
def test_every_row_runs_in_order_within_the_limits(lengths: list[tuple[int, int]], limits: Limits) -> None:
    rows = [row(length, max_tokens) for length, max_tokens in lengths]
    scheduler = filled(limits, rows)
    running: list[FakeRow] = []
    admitted: list[FakeRow] = []
    while len(admitted) < len(rows):
        joined = scheduler.admit(running)
        assert joined or running, "an idle engine always admits something"
        admitted += joined
        running += joined
        assert len(running) <= limits.max_rows
        assert len(running) * max(one.budget for one in running) <= limits.max_cache_tokens
        running = running[1:]
    assert admitted == rows
