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
            self._slots.activate(before, before + len(joining))
            lengths = [len(row.prompt) for row in joining]
            longest = max(lengths)
            # The mask hides the padding, so any token will do there.
            padded = [[0] * (longest - len(row.prompt)) + list(row.prompt) for row in joining]
            positions = [[max(0, column - longest + length) for column in range(longest)] for length in lengths]
            logits = self._forward(padded, positions, lengths, cache)
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
        self._cache.trim(max(row.length for row in self.rows))
        self._slots.activate(0, len(self.rows))
        try:
            logits = self._forward(
                [[row.tokens[-1]] for row in self.rows],
                [[row.length] for row in self.rows],
                [row.length + 1 for row in self.rows],
                self._cache,
            )
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

    def _forward(
        self, tokens: list[list[int]], positions: list[list[int]], lengths: list[int], cache: RowCache
    ) -> Tensor:
        """Logits (rows, vocabulary) of the last column.

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
            logits_to_keep=1,
        )
        logits: Tensor = output.logits[:, -1]
        return logits
