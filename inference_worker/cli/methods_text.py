"""The merge methods as a table: name, title, paper, and each option with its values and default."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from inference_worker.contracts.merge_methods import MergeMethodInfo


def methods_table(methods: Iterable[MergeMethodInfo]) -> str:
    """One line per method, and below it one per option."""
    return "\n".join(["methods, each with its options:", *(line for info in methods for line in _lines(info))])


def _lines(info: MergeMethodInfo) -> Iterator[str]:
    yield f"  {info.name:<17} {info.title}{f' ({info.paper})' if info.paper else ''}"
    for name, schema in info.options.model_json_schema().get("properties", {}).items():
        yield f"      --option {name}={_values(schema)}, default {_value(schema.get('default'))}"


def _values(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return "|".join(map(_value, schema["enum"]))
    if schema.get("type") == "boolean":
        return "true|false"
    low = schema.get("minimum", schema.get("exclusiveMinimum"))
    high = schema.get("maximum", schema.get("exclusiveMaximum"))
    kind = str(schema.get("type", "value")).upper()
    above = "above " if "exclusiveMinimum" in schema else ""
    below = "below " if "exclusiveMaximum" in schema else ""
    limits = [*([f"{above or 'from '}{low}"] if low is not None else [])]
    limits += [f"{below or 'to '}{high}"] if high is not None else []
    return f"{kind} {' '.join(limits)}".rstrip()


def _value(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else "none" if value is None else str(value)
