"""The compute of a running batch: prefill what joins, decode what runs, let go of what ends. No policy.

Rows are right-aligned in the cache. A row's own length gives its mask and its positions, so left padding is right for
rotary and for learned positions alike.
"""

from __future__ import annotations

from collections.abc import Sequence as SequenceOf

import torch
from torch import Tensor

from inference_worker.serving.base_loader import LoadedBase
from inference_worker.serving.kv_cache import RowCache
from inference_worker.serving.sampling import average_logprobs
from inference_worker.serving.sequence import Sequence, Voice
from inference_worker.serving.slot_table import SlotTable


class PrefillFailed(Exception):
    """The forward pass over some prompts failed with ``cause``; the running rows are unharmed."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(str(cause))
        self.cause = cause


class ModelRunner:
    """One base and its running rows, voices of ensembles among them. Used by one thread."""

    def __init__(self, base: LoadedBase) -> None:
        self.base = base
        self.rows: list[Sequence | Voice] = []
        self._slots = SlotTable(base.layers, base.device, base.dtype)
        self._cache = RowCache()

    @torch.inference_mode()
    def prefill(self, joining: SequenceOf[Sequence | Voice]) -> Tensor:
        """Compute the prompts of ``joining`` and add them to the running rows.

        Returns the logits (len(joining), vocabulary) after each prompt. Raises ``PrefillFailed`` when the forward pass
        fails; nothing has joined then.
        """
        cache = RowCache()
        logits = self._beside(joining, [row.prompt for row in joining], cache, keep=1)[:, -1]
        self._cache.join(cache)
        for row in joining:
            row.length = len(row.prompt)
        self.rows.extend(joining)
        return logits

    @torch.inference_mode()
    def score(self, rows: SequenceOf[Sequence]) -> list[tuple[list[float], bool]]:
        """Log-probabilities of each row's continuation and whether greedy decoding would write it; nothing joins.

        One forward pass over prompts and continuations: the logits before a token are those at the position before it.
        Raises ``PrefillFailed`` as ``prefill`` does.
        """
        before = self._slots.rows
        lanes = [lane for row in rows for lane in row.lanes]
        # The last token is only predicted, so it is not fed.
        fed = [lane.prompt + lane.continuation[:-1] for lane in lanes]
        keep = max(len(row.continuation) for row in rows)
        logits = self._beside(lanes, fed, RowCache(), keep=keep)  # (lanes, keep, vocabulary)
        while self._slots.rows > before:
            self._slots.remove(self._slots.rows - 1)
        scores, start = [], 0
        for row in rows:
            own = logits[start : start + row.width, -len(row.continuation) :]
            start += row.width
            scores.append(_scores(average_logprobs(own, row.shares) if row.voices else own[0], row.continuation))
        return scores

    def _beside(
        self, rows: SequenceOf[Sequence | Voice], fed: list[tuple[int, ...]], cache: RowCache, keep: int
    ) -> Tensor:
        """Logits (rows, keep, vocabulary) of the last ``keep`` tokens of ``fed``, beside the running rows.

        The rows hold slots behind the running ones afterwards, unless it raises ``PrefillFailed``.
        """
        before = self._slots.rows
        try:
            for row in rows:
                self._slots.admit(row.composition)
            self._slots.activate(before, before + len(rows))
            lengths = [len(tokens) for tokens in fed]
            longest = max(lengths)
            # The mask hides the padding, so any token will do there.
            padded = [[0] * (longest - len(tokens)) + list(tokens) for tokens in fed]
            positions = [[max(0, column - longest + length) for column in range(longest)] for length in lengths]
            return self._forward(padded, positions, lengths, cache, keep)
        except Exception as error:
            while self._slots.rows > before:
                self._slots.remove(self._slots.rows - 1)
            raise PrefillFailed(error) from error
        finally:
            self._slots.deactivate()

    @torch.inference_mode()
    def decode(self) -> Tensor:
        """One token further for every running row: feeds each row's last token, returns logits (rows, vocabulary)."""
        self._cache.trim(max(row.length for row in self.rows))
        self._slots.activate(0, len(self.rows))
        try:
            logits = self._forward(
                [[row.tokens[-1]] for row in self.rows],
                [[row.length] for row in self.rows],
                [row.length + 1 for row in self.rows],
                self._cache,
            )[:, -1]
        finally:
            self._slots.deactivate()
        for row in self.rows:
            row.length += 1
        return logits

    @torch.inference_mode()
    def remove(self, row: Sequence | Voice) -> None:
        """Let go of a row; the last row takes its place."""
        number = next(index for index, other in enumerate(self.rows) if other is row)
        self._slots.remove(number)
        self._cache.remove(number)
        last = self.rows.pop()
        if number < len(self.rows):
            self.rows[number] = last
        if not self.rows:
            self._cache = RowCache()

    def clear(self) -> None:
        """Let go of everything, after a failed step."""
        while self._slots.rows:
            self._slots.remove(self._slots.rows - 1)
        self.rows = []
        self._cache = RowCache()

    def _forward(
        self, tokens: list[list[int]], positions: list[list[int]], lengths: list[int], cache: RowCache, keep: int = 1
    ) -> Tensor:
        """Logits (rows, keep, vocabulary) of the last ``keep`` columns.

        ``tokens`` and ``positions``: (rows, new columns); ``lengths``: each row's columns in use, new ones included.
        """
        device, width = self.base.device, max(lengths)
        mask: Tensor | None = None
        if min(lengths) < width:  # Without padding the models choose their faster, unmasked attention.
            padding = torch.tensor([width - length for length in lengths], device=device)
            mask = (torch.arange(width, device=device) >= padding[:, None]).long()  # (rows, width)
        output = self.base.model(
            input_ids=torch.tensor(tokens, device=device),
            attention_mask=mask,
            position_ids=torch.tensor(positions, device=device),
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=keep,
        )
        logits: Tensor = output.logits[:, -keep:]
        return logits


def _scores(logits: Tensor, tokens: tuple[int, ...]) -> tuple[list[float], bool]:
    """Log-probabilities of ``tokens`` (n,) under ``logits`` (n, vocabulary), and whether each is the likeliest."""
    wanted = torch.tensor(tokens, device=logits.device)
    logprobs = logits.float().log_softmax(dim=-1).gather(-1, wanted[:, None])[:, 0]
    return logprobs.tolist(), bool((logits.argmax(dim=-1) == wanted).all())
