"""Options of a pydantic contract as form fields: numbers with their ranges, choices, checks, texts."""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from inference_worker.contracts.common import Contract


@dataclass(frozen=True)
class Option:
    """One option. ``low`` and ``high`` are bounds with whether they themselves are allowed."""

    name: str
    label: str
    help: str
    kind: str  # "number", "check", "choice" or "text"
    value: Any
    choices: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None
    open_low: bool = False
    open_high: bool = False
    whole: bool = False

    @property
    def range(self) -> str:
        """The bounds in words, such as “above 0, at most 1”; empty without any."""
        low, high = _plain(self.low), _plain(self.high)
        if low and high and not self.open_low and not self.open_high:
            return f"{low} to {high}"
        parts = [f"{'above' if self.open_low else 'at least'} {low}"] if low else []
        parts += [f"{'below' if self.open_high else 'at most'} {high}"] if high else []
        return ", ".join(parts)


def _plain(number: float | None) -> str:
    return "" if number is None else f"{number:g}"


def option_fields(options: type[Contract], chosen: Mapping[str, Any]) -> list[Option]:
    """A contract's fields with what was chosen or their defaults."""
    return [_option(name, field, chosen) for name, field in options.model_fields.items()]


def _option(name: str, field: FieldInfo, chosen: Mapping[str, Any]) -> Option:
    label, words = (field.title or name.replace("_", " ").capitalize()), field.description or ""
    default = field.get_default(call_default_factory=True, validated_data={})
    value = chosen.get(name, "" if default is None or default is PydanticUndefined else default)
    annotation = _plain_type(field.annotation)
    if annotation is bool:
        return Option(name, label, words, "check", value is True or value == "on")
    if get_origin(annotation) is Literal:
        return Option(name, label, words, "choice", value, choices=tuple(str(one) for one in get_args(annotation)))
    if annotation not in (int, float):
        text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else value
        return Option(name, label, words, "text", text)
    bounds = {
        key: getattr(rule, key) for rule in field.metadata for key in ("ge", "gt", "le", "lt") if hasattr(rule, key)
    }
    return Option(
        name,
        label,
        words,
        "number",
        value,
        low=bounds.get("ge", bounds.get("gt")),
        high=bounds.get("le", bounds.get("lt")),
        open_low="gt" in bounds,
        open_high="lt" in bounds,
        whole=annotation is int,
    )


def _plain_type(annotation: Any) -> Any:
    """``X`` of ``X | None``; what else stands in a union is a text."""
    if get_origin(annotation) in (Union, types.UnionType):
        kinds = [one for one in get_args(annotation) if one is not type(None)]
        return kinds[0] if len(kinds) == 1 else str
    return annotation


def read_options(options: type[Contract], data: Mapping[str, str]) -> dict[str, Any]:
    """What a form says about the options, unchecked; an empty field leaves the default."""
    found: dict[str, Any] = {}
    for name, field in options.model_fields.items():
        key = f"option_{name}"
        annotation = _plain_type(field.annotation)
        if annotation is bool:
            found[name] = key in data
        elif text := data.get(key, "").strip():
            listed = get_origin(annotation) in (list, tuple)
            found[name] = [part for part in text.replace(",", " ").split() if part] if listed else text
    return found
