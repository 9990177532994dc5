"""The state of one row, from request to last token. No policy and no compute."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from inference_worker.contracts.generate import GenerateEvent
from inference_worker.errors import EngineError
from inference_worker.mixing.composition import Composition
from inference_worker.serving.detokenizer import TextStream
from inference_worker.serving.loaded_adapter import LoadedAdapter
from inference_worker.serving.sampling import RowSampler

FinishReason = Literal["stop", "length", "scored", "cancelled", "deadline"]

#: Seconds beyond its deadline that an engine may take to say that the time is over.
DEADLINE_GRACE = 2.0


class GenerationHandle:
    """The reader's end of a generation: iterate over its events; ``cancel`` stops it within a step.

    The last event is always ``done`` or ``error``. Safe to use from any thread.
    """

    def __init__(self, request: str, deadline: float) -> None:
        self.request = request
        self.deadline = deadline
        self._events: queue.SimpleQueue[GenerateEvent] = queue.SimpleQueue()
        self._cancelled = threading.Event()
        self._closed = False
        self._lock = threading.Lock()

    def __iter__(self) -> Iterator[GenerateEvent]:
        while True:
            event = self.get(timeout=max(0.0, self.deadline - time.time()) + DEADLINE_GRACE)
            if event is None:
                # The engine is stuck, in loading a base for instance; the reader is not to wait with it.
                self.send(GenerateEvent(kind="done", finish_reason="deadline"))
                continue
            yield event
            if event.kind in ("done", "error"):
                return

    def get(self, timeout: float | None = None) -> GenerateEvent | None:
        """The next event, or None when none comes within ``timeout`` seconds."""
        try:
            return self._events.get(timeout=timeout)
        except queue.Empty:
            return None

    def cancel(self) -> None:
        """Ask for the end; a ``done`` event with the reason ``cancelled`` follows."""
        self._cancelled.set()

    @property
    def cancelled(self) -> bool:
        return self._cancelled.is_set()

    @property
    def closed(self) -> bool:
        """Whether the last event has been sent."""
        return self._closed

    @property
    def expired(self) -> bool:
        return time.time() >= self.deadline

    def interrupted(self) -> Literal["cancelled", "deadline"] | None:
        """Why the generation has to end for reasons outside its text, if it has to."""
        if self.cancelled:
            return "cancelled"
        return "deadline" if self.expired else None

    def send(self, event: GenerateEvent) -> None:
        """Hand an event to the reader; what comes after the last event is dropped."""
        with self._lock:
            if self._closed:
                return
            self._closed = event.kind in ("done", "error")
            self._events.put(event)

    def fail(self, error: EngineError) -> None:
        """End with an error, or, when nobody waits for it any more, with the reason for that."""
        reason = self.interrupted()
        if reason is not None:
            self.send(GenerateEvent(kind="done", finish_reason=reason))
        self.send(GenerateEvent(kind="error", error_code=error.code, error=error.message))


@dataclass(eq=False)
class Sequence:
    """One row. ``length`` counts the tokens whose keys and values are computed."""

    handle: GenerationHandle
    prompt: tuple[int, ...]
    composition: Composition[LoadedAdapter]
    sampler: RowSampler
    text: TextStream
    max_tokens: int
    stop_tokens: frozenset[int]
    #: Tokens to be scored behind the prompt; such a row ends with its prefill and writes nothing.
    continuation: tuple[int, ...] = ()
    #: Gives back what the row holds (adapters, base); called once, when it has ended.
    release: Callable[[], None] = field(default=lambda: None)
    tokens: list[int] = field(default_factory=list)
    length: int = 0
    #: Of an ensemble: the other members, and the share of the vote that each has, the row's own first.
    voices: list[Voice] = field(default_factory=list)
    shares: tuple[float, ...] = (1.0,)

    @property
    def lanes(self) -> list[Sequence | Voice]:
        """What is computed for this row: itself and its voices."""
        return [self, *self.voices]

    @property
    def width(self) -> int:
        """Rows of the batch that this one takes."""
        return 1 + len(self.voices)

    @property
    def leader(self) -> Sequence:
        """Itself; see ``Voice``."""
        return self

    @property
    def budget(self) -> int:
        """The most tokens this row can come to hold."""
        return len(self.prompt) + (len(self.continuation) or self.max_tokens)

    def interrupted(self) -> FinishReason | None:
        """Why this row has to end now for reasons outside its text."""
        return self.handle.interrupted()

    def start(self) -> None:
        """Tell the reader that the row has been admitted."""
        self.handle.send(GenerateEvent(kind="started", prompt_tokens=len(self.prompt)))

    def advance(self, token: int) -> FinishReason | None:
        """Take the next token, send its text, and say why the row ends, if it does."""
        self.tokens.append(token)
        if token in self.stop_tokens:
            return "stop"
        self._send_text(self.text.push(token))
        if self.text.stopped:
            return "stop"
        return "length" if len(self.tokens) >= self.max_tokens else None

    def finish(self, reason: FinishReason) -> None:
        """Send the rest of the text and the last event."""
        self._give_back()
        self._send_text(self.text.finish())
        if self.text.stopped and reason == "length":
            reason = "stop"  # The last bytes completed a stop string.
        self.handle.send(
            GenerateEvent(
                kind="done",
                finish_reason=reason,
                prompt_tokens=len(self.prompt),
                completion_tokens=len(self.tokens),
            )
        )

    def finish_scored(self, logprobs: list[float], greedy: bool) -> None:
        """End with the log-probabilities of the continuation's tokens."""
        self._give_back()
        self.handle.send(
            GenerateEvent(
                kind="done",
                finish_reason="scored",
                prompt_tokens=len(self.prompt),
                completion_tokens=len(logprobs),
                logprobs=tuple(logprobs),
                greedy=greedy,
            )
        )

    def fail(self, error: EngineError) -> None:
        """End with an error."""
        self._give_back()
        self.handle.fail(error)

    def _give_back(self) -> None:
        release, self.release = self.release, lambda: None
        release()

    def _send_text(self, text: str) -> None:
        if text:
            self.handle.send(GenerateEvent(kind="token", text=text, completion_tokens=len(self.tokens)))


@dataclass(eq=False)
class Voice:
    """Another composition that reads what its leader's row reads; only its distribution counts."""

    leader: Sequence
    composition: Composition[LoadedAdapter]
    length: int = 0

    @property
    def prompt(self) -> tuple[int, ...]:
        return self.leader.prompt

    @property
    def continuation(self) -> tuple[int, ...]:
        return self.leader.continuation

    @property
    def tokens(self) -> list[int]:
        return self.leader.tokens

    @property
    def budget(self) -> int:
        return self.leader.budget
