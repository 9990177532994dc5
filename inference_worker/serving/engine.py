"""One base, one thread: requests come in from any thread, rows join and leave the running batch between two steps."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable
from collections.abc import Sequence as SequenceOf
from contextlib import AbstractContextManager, ExitStack, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from inference_worker.contracts.common import AdapterFiles
from inference_worker.contracts.generate import GenerateRequest
from inference_worker.errors import BadInput, EngineError
from inference_worker.serving.adapter_loader import load_adapter
from inference_worker.serving.base_loader import LoadedBase
from inference_worker.serving.detokenizer import TextStream
from inference_worker.serving.ensemble import by_row, voices
from inference_worker.serving.loaded_adapter import AdapterKey, LoadedAdapter, adapter_key
from inference_worker.serving.model_runner import ModelRunner, PrefillFailed
from inference_worker.serving.prompt import encode_continuation, encode_prompt, stop_strings, stop_token_ids
from inference_worker.serving.resident_cache import CacheFull, ResidentCache
from inference_worker.serving.sampling import RowSampler, choose_tokens
from inference_worker.serving.scheduler import Limits, Scheduler
from inference_worker.serving.sequence import GenerationHandle, Sequence, Voice
from inference_worker.serving.settings import EngineSettings

log = logging.getLogger(__name__)

#: Where an adapter's config and weights lie on this machine; may fetch them, may raise an ``EngineError``.
Resolve = Callable[[AdapterFiles], tuple[str | Path, str | Path]]

#: Logits that scoring may compute at once: 256 MiB in float32.
MAX_LOGITS = 1 << 26

#: Seconds after which a request that waits for room looks whether it has been cancelled.
RELEASE_POLL = 0.25


class Engine:
    """Thread-safe. ``submit`` reads adapters in the caller's thread and returns when the row is queued.

    ``reading`` is entered around every read of an adapter, and around nothing that waits for other requests.
    """

    def __init__(
        self, base: LoadedBase, settings: EngineSettings, reading: AbstractContextManager[Any] | None = None
    ) -> None:
        self.base = base
        self._reading = reading or nullcontext()
        self.settings = settings
        self.adapters: ResidentCache[AdapterKey, LoadedAdapter] = ResidentCache(
            "adapter", settings.adapter_cache_bytes, lambda adapter: adapter.nbytes
        )
        limits = Limits(settings.max_rows, settings.max_waiting, settings.max_cache_tokens, settings.max_prefill_tokens)
        self._scheduler: Scheduler[Sequence] = Scheduler(limits)
        self._runner = ModelRunner(base)
        self._joining: list[Sequence] = []  # admitted in this step
        self._wake = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name=f"engine-{base.name}", daemon=True)
        self._thread.start()

    def submit(
        self,
        request: GenerateRequest,
        resolve: Resolve,
        handle: GenerationHandle | None = None,
        release: Callable[[], None] = lambda: None,
    ) -> GenerationHandle:
        """Queue a request; its events come through the handle.

        Raises ``BadInput``, ``Refused``, ``CacheFull`` or ``QueueFull`` when the row cannot be queued; ``release`` is
        called when a queued row has ended, and not when this raises.
        """
        handle = handle or GenerationHandle(request.request, request.deadline)
        with ExitStack() as acquired:
            members = self._members(request, resolve, handle, acquired)
            row = self._row(request, members, handle)
            # From here on the row gives its adapters back, when it ends; until then the stack does.
            held = acquired.pop_all()
            row.release = partial(_release_both, held, release)
        with self._wake:
            try:
                if self._closing:
                    raise EngineError("The engine is shutting down. Try again in a moment.", code="engine_closed")
                self._scheduler.add(row)
            except EngineError:
                held.close()
                raise
            self._wake.notify()
        return handle

    def close(self) -> None:
        """End the thread; rows still in flight end with the error ``engine_closed``."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        if self._thread is not threading.current_thread():
            self._thread.join()

    def residency(self) -> dict[str, object]:
        """What this engine holds and does, for the page of operators and for choosing a worker."""
        parameter_bytes = self.base.nbytes
        return {
            "name": self.base.name,
            "source": self.base.source,
            "bytes": parameter_bytes,
            "device": str(self.base.device),
            "dtype": str(self.base.dtype).removeprefix("torch."),
            "running": len(self._runner.rows),
            "waiting": len(self._scheduler),
            "adapter_bytes": self.adapters.nbytes,
            "adapters": [
                {
                    "label": entry.value.label,
                    "config": entry.key[0],
                    "weights": entry.key[1],
                    "bytes": entry.nbytes,
                    "users": entry.users,
                    "pinned": entry.pinned,
                }
                for entry in self.adapters.entries()
            ],
        }

    def _members(
        self, request: GenerateRequest, resolve: Resolve, handle: GenerationHandle, acquired: ExitStack
    ) -> list[tuple[LoadedAdapter, float]]:
        """The request's adapters, held until ``acquired`` closes.

        While the cache is full of adapters in use the request waits for them, holding none of its own meanwhile, so
        that two requests cannot wait for each other. Raises ``CacheFull`` when its adapters do not fit even alone.
        """
        if len(request.adapters) > self.settings.max_adapters_per_request:
            raise BadInput(
                f"The request names {len(request.adapters)} adapters; at most "
                f"{self.settings.max_adapters_per_request} can be mixed.",
                code="too_many_adapters",
            )
        alone = False  # Whether the last attempt failed while nobody else used anything.
        while True:
            try:
                with ExitStack() as attempt:
                    members = self._acquire(request, resolve, attempt)
                    acquired.push(attempt.pop_all())
                    return members
            except CacheFull:
                if handle.interrupted() or self._closing:
                    raise
                others = self.adapters.wait_for_release(RELEASE_POLL)
                if alone and not others:
                    raise
                alone = not others

    def _acquire(
        self, request: GenerateRequest, resolve: Resolve, acquired: ExitStack
    ) -> list[tuple[LoadedAdapter, float]]:
        members = []
        for weighted in request.adapters:
            if weighted.weight == 0.0:
                continue  # Absent, so not even read.
            key = adapter_key(weighted.adapter)
            adapter = self.adapters.acquire(key, partial(self._load, weighted.adapter, resolve))
            acquired.callback(self.adapters.release, key)
            members.append((adapter, weighted.weight))
        return members

    def _load(self, files: AdapterFiles, resolve: Resolve) -> LoadedAdapter:
        with self._reading:
            config_path, weights_path = resolve(files)
            return load_adapter(config_path, weights_path, files.label, self.base)

    def _row(
        self, request: GenerateRequest, members: list[tuple[LoadedAdapter, float]], handle: GenerationHandle
    ) -> Sequence:
        tokenizer = self.base.tokenizer
        prompt, continuation = self._tokens(request)
        # The last token of a continuation is only predicted, never read.
        room = self.base.context - len(prompt) + bool(continuation)
        if room < max(1, len(continuation)):
            behind = f" and the continuation {len(continuation)}" if continuation else ""
            raise BadInput(
                f"The prompt has {len(prompt)} tokens{behind}, but the base {self.base.name} reads at most "
                f"{self.base.context - 1}. Shorten it.",
                code="prompt_too_long",
            )
        stops = stop_strings(request.prompt_format, request.sampling.stop)
        compositions, shares = voices(request.strategy, members)
        row = Sequence(
            handle=handle,
            prompt=prompt,
            composition=compositions[0],
            sampler=RowSampler(request.sampling, prompt),
            text=TextStream(tokenizer, stops),
            max_tokens=min(request.sampling.max_tokens, room),
            continuation=continuation,
            stop_tokens=self.base.stop_tokens | stop_token_ids(tokenizer, stops),
            shares=shares,
        )
        row.voices = [Voice(row, composition) for composition in compositions[1:]]
        return row

    def _tokens(self, request: GenerateRequest) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Prompt and continuation (empty for a generation) as token ids of this base."""
        tokenizer = self.base.tokenizer
        prompt, continuation = request.prompt_tokens, request.continuation_tokens
        if prompt is None:
            prompt = encode_prompt(tokenizer, request.prompt_format, request.prompt)
        if continuation is None and request.continuation is not None:
            continuation = encode_continuation(tokenizer, request.prompt_format, request.prompt, request.continuation)
        given = (*prompt, *(continuation or ()))
        if min(given) < 0 or max(given) >= self.base.vocabulary:
            raise BadInput(
                f"A token id lies outside of 0 to {self.base.vocabulary - 1}, the vocabulary of {self.base.name}.",
                code="bad_token",
            )
        return prompt, continuation or ()

    def _run(self) -> None:
        with torch.inference_mode():
            while self._wait_for_work():
                try:
                    self._step()
                except Exception as error:
                    # The state of the batch is unknown, so its rows fail and are told; the engine goes on.
                    log.exception("A step failed for %d rows", len(self._runner.rows) + len(self._joining))
                    self._fail_rows([*self._runner.rows, *self._joining], as_engine_error(error))
            waiting = self._scheduler.remove_if(lambda row: True)
            closed = EngineError("The engine was shut down before the answer was complete.", code="engine_closed")
            self._fail_rows([*self._runner.rows, *waiting], closed)

    def _wait_for_work(self) -> bool:
        """Sleep while nothing runs or waits; False when the engine closes."""
        with self._wake:
            while not self._closing and not len(self._scheduler) and not self._runner.rows:
                self._wake.wait()
            return not self._closing

    def _step(self) -> None:
        """Admit what fits, then one token for every row."""
        with self._wake:
            ended = self._scheduler.remove_if(lambda row: row.interrupted() is not None)
            self._joining = self._scheduler.admit(self._runner.rows)
        for row in ended:
            row.finish(row.interrupted() or "cancelled")
        for row in self._joining:
            row.start()
        self._score([row for row in self._joining if row.continuation])
        self._joining = [row for row in self._joining if not row.continuation]
        self._prefill(self._joining)
        self._joining = []
        self._drop_interrupted()
        if self._runner.rows:
            self._advance(list(self._runner.rows), self._runner.decode())

    def _prefill(self, joining: list[Sequence]) -> None:
        if not joining:
            return
        lanes = [lane for row in joining for lane in row.lanes]
        try:
            logits = self._runner.prefill(lanes)
        except PrefillFailed as failure:
            if len(joining) > 1:  # One by one, so that only the row at fault fails.
                for row in joining:
                    self._prefill([row])
                return
            log.error("Prefill failed for request %s", joining[0].handle.request, exc_info=failure.cause)
            joining[0].fail(as_engine_error(failure.cause))
            return
        self._advance(lanes, logits)

    def _score(self, rows: list[Sequence]) -> None:
        """End rows with a continuation by its log-probabilities, as many at a time as their logits may take room."""
        while rows:
            widest = max(len(row.continuation) * row.width for row in rows)
            share = max(1, MAX_LOGITS // (widest * self.base.vocabulary))
            chunk, rows = rows[:share], rows[share:]
            try:
                for row, (logprobs, greedy) in zip(chunk, self._runner.score(chunk), strict=True):
                    if any(map(math.isnan, logprobs)):
                        row.fail(output_not_finite())
                    else:
                        row.finish_scored(logprobs, greedy)
            except PrefillFailed as failure:
                if len(chunk) > 1:  # One by one, so that only the row at fault fails.
                    for row in chunk:
                        self._score([row])
                    continue
                log.error("Scoring failed for request %s", chunk[0].handle.request, exc_info=failure.cause)
                chunk[0].fail(as_engine_error(failure.cause))

    def _advance(self, lanes: list[Sequence | Voice], logits: Tensor) -> None:
        """Choose a token for each row (logits: (lanes, vocabulary)) and end the rows that are over."""
        rows, logits = by_row(lanes, logits)
        finite = logits.isfinite().all(dim=-1).tolist()
        for row, is_finite in zip(rows, finite, strict=True):
            if not is_finite:
                self._remove(row)
                row.fail(output_not_finite())
        alive = [index for index, is_finite in enumerate(finite) if is_finite]
        if not alive:
            return
        chosen = choose_tokens(logits[alive], [rows[index].sampler for index in alive])
        for index, token in zip(alive, chosen, strict=True):
            reason = rows[index].advance(token)
            if reason is not None:
                self._remove(rows[index])
                rows[index].finish(reason)

    def _remove(self, row: Sequence) -> None:
        for lane in row.lanes:
            self._runner.remove(lane)

    def _drop_interrupted(self) -> None:
        for row in dict.fromkeys(lane.leader for lane in self._runner.rows):
            reason = row.interrupted()
            if reason is not None:
                self._remove(row)
                row.finish(reason)

    def _fail_rows(self, rows: SequenceOf[Sequence | Voice], error: EngineError) -> None:
        self._runner.clear()
        self._joining = []
        for row in dict.fromkeys(lane.leader for lane in rows):
            row.fail(error)


def output_not_finite() -> EngineError:
    return EngineError(
        "The model's output is not finite with these adapters and weights; try smaller weights.",
        code="output_not_finite",
    )


def as_engine_error(error: Exception) -> EngineError:
    """The error that a request's reader is told."""
    if isinstance(error, EngineError):
        return error
    if isinstance(error, torch.OutOfMemoryError):
        return EngineError(
            "The device has too little memory for this request. Shorten it or try later.", code="out_of_memory"
        )
    return EngineError("The engine failed on this request; the operator finds the reason in the log.")


def _release_both(held: ExitStack, release: Callable[[], None]) -> None:
    held.close()
    release()
