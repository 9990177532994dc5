"""A mergekit file as it stands: YAML of limited size and depth, unknown keys refused by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import yaml
from pydantic import Field, ValidationError, model_validator

from inference_worker.contracts.common import Contract
from inference_worker.contracts.faults import fault_words
from inference_worker.contracts.merge import MAX_ADAPTERS
from inference_worker.errors import BadInput

MOST_BYTES = 1 << 18
MOST_DEPTH = 16


#: What a setting may be; mergekit sets no bounds, the merges here do.
Number = Annotated[float, Field(ge=-1e6, le=1e6, allow_inf_nan=False)]


class Condition(Contract):
    """A value for tensors in whose name ``filter`` occurs; for all without one."""

    value: bool | Number | tuple[Number, ...]
    filter: str | None = None


#: A value, a gradient over the layers, or values by name.
Setting = bool | Number | tuple[Number, ...] | tuple[Condition, ...] | Condition


class ModelName(Contract):
    """A model as mergekit names it: ``base``, or ``base+adapter``."""

    base: str = Field(min_length=1, max_length=500)
    adapter: str = Field(default="", max_length=500)

    @model_validator(mode="before")
    @classmethod
    def _parse(cls, data: Any) -> Any:
        if isinstance(data, str):
            base, _, adapter = data.partition("+")
            return {"base": base, "adapter": adapter}
        if isinstance(data, dict) and "model" in data and data.keys() <= {"model", "lora"}:
            return {"base": _path(data["model"]), "adapter": _path(data.get("lora") or "")}
        return data

    def __str__(self) -> str:
        return f"{self.base}+{self.adapter}" if self.adapter else self.base


def _path(data: Any) -> Any:
    """``path`` or ``path@revision``."""
    if isinstance(data, dict) and data.keys() <= {"path", "revision"} and "path" in data:
        return f"{data['path']}@{data['revision']}" if data.get("revision") else data["path"]
    return data


class ModelEntry(Contract):
    model: ModelName
    parameters: dict[str, Setting] = {}


class SliceEntry(ModelEntry):
    layer_range: tuple[int, int]


class Slice(Contract):
    sources: tuple[SliceEntry, ...] = Field(min_length=1, max_length=MAX_ADAPTERS + 1)
    parameters: dict[str, Setting] = {}


class MergekitConfig(Contract):
    """The keys that mean something for adapters. ``tokenizer_source`` may only be the base's own."""

    merge_method: str = Field(max_length=100)
    base_model: ModelName | None = None
    models: tuple[ModelEntry, ...] = Field(default=(), max_length=MAX_ADAPTERS + 1)
    slices: tuple[Slice, ...] = ()
    parameters: dict[str, Setting] = {}
    dtype: str | None = None
    out_dtype: str | None = None
    tokenizer_source: str | None = None

    @model_validator(mode="after")
    def _one_kind_of_input(self) -> MergekitConfig:
        if bool(self.models) == bool(self.slices):
            raise ValueError("write either models or slices")
        if len(self.slices) > 1:
            raise ValueError("slices that put layers together anew make another model, which no adapter does")
        ranges = {entry.layer_range for entry in self.sources}
        if len(ranges) > 1 or any(first != 0 for first, _ in ranges):
            raise ValueError("a slice has to hold the same layers of all models, from layer 0 on")
        if self.tokenizer_source not in (None, "base", str(self.base_model or "")):
            raise ValueError("tokenizer_source: an adapter cannot change the tokenizer")
        return self

    @property
    def sources(self) -> tuple[SliceEntry, ...]:
        return self.slices[0].sources if self.slices else ()

    @property
    def layers(self) -> int | None:
        """How many layers there are, where the file says it."""
        return self.sources[0].layer_range[1] if self.sources else None

    @property
    def entries(self) -> Sequence[ModelEntry]:
        return self.models or self.sources

    @property
    def shared(self) -> dict[str, Setting]:
        """What holds for all models; a slice's own settings go before the file's."""
        return self.parameters | (self.slices[0].parameters if self.slices else {})


def read_mergekit(text: str | bytes) -> MergekitConfig:
    """Read a mergekit file. Raises ``BadInput`` (``bad_mergekit``) that names what is wrong or has no counterpart."""
    data = _load(text)
    if not isinstance(data, dict):
        raise fault("it is not a table of keys and values")
    try:
        return MergekitConfig.model_validate(data)
    except ValidationError as error:
        raise fault("; ".join(_words(item) for item in error.errors()[:5])) from error


def fault(reason: str) -> BadInput:
    return BadInput(f"This mergekit file has no counterpart here: {reason}.", code="bad_mergekit")


def _words(item: Any) -> str:
    place = ".".join(str(part) for part in item["loc"] if not str(part).startswith(("tuple[", "function-")))
    words = "there is nothing like it here" if item["type"] == "extra_forbidden" else fault_words(item)
    return f"{place}: {words}" if place else words


class _Loader(yaml.SafeLoader):
    """SafeLoader without aliases, which let a short file grow without end, and of limited depth."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.events.AliasEvent):
            raise fault("it uses aliases (*name); write the values out")
        self.depth += 1
        if self.depth > MOST_DEPTH:
            raise fault(f"it is nested deeper than {MOST_DEPTH} levels")
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


def _load(text: str | bytes) -> Any:
    if len(text) > MOST_BYTES:
        raise fault(f"it has more than {MOST_BYTES:,} bytes")
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 (a SafeLoader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise fault(f"it is not YAML ({' '.join(str(error).split())[:200]})") from error
