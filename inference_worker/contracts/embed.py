"""Embed: turn texts into vectors (kind ``embed``). One item may hold many texts; its vector is their mean."""

from __future__ import annotations

from pydantic import Field, model_validator

from inference_worker.contracts.common import Contract


class EmbedItem(Contract):
    """Texts that become one vector: every text is embedded to a unit row, the rows are averaged, the mean is scaled
    to length 1 again (LoraRetriever, section 3.1, embeds an adapter as the mean of its samples)."""

    key: str = Field(min_length=1, max_length=200)
    texts: tuple[str, ...] = Field(min_length=1, max_length=256)


class EmbedRequest(Contract):
    """``encoder`` None means the worker's default."""

    encoder: str | None = None
    items: tuple[EmbedItem, ...] = Field(min_length=1, max_length=1024)

    @model_validator(mode="after")
    def _keys_are_distinct(self) -> EmbedRequest:
        keys = [item.key for item in self.items]
        if len(set(keys)) != len(keys):
            raise ValueError("two items have the same key")
        return self


class EmbedResult(Contract):
    """``vectors`` maps each item's key to ``dim`` numbers of unit length; ``encoder`` names the vector space."""

    encoder: str
    dim: int = Field(gt=0)
    vectors: dict[str, tuple[float, ...]]
