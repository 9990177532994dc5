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
from inference_worker.serving.sequence import Sequence
from inference_worker.serving.slot_table import SlotTable


class PrefillFailed(Exception):
    """The forward pass over some prompts failed with ``cause``; the running rows are unharmed."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(str(cause))
        self.cause = cause


class ModelRunner:
    """One base and its running rows. Used by one thread."""

    def __init__(self, base: LoadedBase) -> None:
        self.base = base
        self.rows: list[Sequence] = []
        self._slots = SlotTable(base.layers, base.device, base.dtype)
        self._cache = RowCache()

    @torch.inference_mode()
    def prefill(self, joining: SequenceOf[Sequence]) -> Tensor:
        """Compute the prompts of ``joining`` and add them to the running rows.

        Returns the logits (len(joining), vocabulary) after each prompt. Raises ``PrefillFailed`` when the forward pass
        fails; nothing has joined then.
        """
        before = self._slots.rows
        cache = RowCache()
        try:
            for row in joining:
                self._slots.admit(row.composition)
            tokens, lengths = self._pad([row.prompt for row in joining])
            columns = torch.arange(tokens.shape[1], device=self.base.device)
            positions = (columns - (tokens.shape[1] - lengths)[:, None]).clamp_min_(0)
            self._slots.activate(before, before + len(joining))
            logits = self._forward(tokens, positions, lengths, cache, width=tokens.shape[1])
        except Exception as error:
            while self._slots.rows > before:
                self._slots.remove(self._slots.rows - 1)
            raise PrefillFailed(error) from error
        finally:
            self._slots.deactivate()
        self._cache.join(cache)
        for row in joining:
            row.length = len(row.prompt)
        self.rows.extend(joining)
        return logits

    @torch.inference_mode()
    def decode(self) -> Tensor:
        """One token further for every running row: feeds each row's last token, returns logits (rows, vocabulary)."""
        device = self.base.device
        width = max(row.length for row in self.rows)
        self._cache.trim(width)
        tokens = torch.tensor([[row.tokens[-1]] for row in self.rows], device=device)
        lengths = torch.tensor([row.length for row in self.rows], device=device)
        self._slots.activate(0, len(self.rows))
        try:
            logits = self._forward(tokens, lengths[:, None], lengths + 1, self._cache, width=width + 1)
        finally:
            self._slots.deactivate()
        for row in self.rows:
            row.length += 1
        return logits

    @torch.inference_mode()
    def remove(self, row: Sequence) -> None:
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

    def _forward(self, tokens: Tensor, positions: Tensor, lengths: Tensor, cache: RowCache, width: int) -> Tensor:
        """Logits (rows, vocabulary) of the last column. ``lengths`` (rows,) counts each row's columns in use."""
        columns = torch.arange(width, device=self.base.device)
        mask = columns >= (width - lengths)[:, None]  # (rows, width)
        output = self.base.model(
            input_ids=tokens,
            attention_mask=mask.long(),
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        logits: Tensor = output.logits[:, -1]
        return logits

    def _pad(self, prompts: SequenceOf[tuple[int, ...]]) -> tuple[Tensor, Tensor]:
        """Left-padded tokens (rows, longest) and lengths (rows,). The mask hides the padding, so any id will do."""
        lengths = [len(prompt) for prompt in prompts]
        longest = max(lengths)
        padded = [[0] * (longest - len(prompt)) + list(prompt) for prompt in prompts]
        device = self.base.device
        return torch.tensor(padded, device=device), torch.tensor(lengths, device=device)
