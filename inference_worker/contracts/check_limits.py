"""What an upload may need at most. Operators set it in the environment of the workers (``.env.example``)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache


@dataclass(frozen=True)
class Limits:
    """Each field is read from ``CHECK_MAX_<FIELD>`` in the environment; sizes are bytes."""

    header_bytes: int = 1_000_000
    metadata_bytes: int = 100_000
    tensors: int = 10_000
    dimensions: int = 8
    name_length: int = 256
    config_bytes: int = 1_000_000
    config_depth: int = 12
    rank: int = 4096
    #: Inputs or outputs of an adapted module. Far beyond any vocabulary; memory for the signature grows with it.
    features: int = 4_194_304
    #: Seconds that all the patterns of one config may take together.
    pattern_seconds: float = 2.0

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Limits:
        """Raises ``ValueError`` naming the variable that is no positive number."""
        given: dict[str, float] = {}
        for field in fields(cls):
            name = f"CHECK_MAX_{field.name.upper()}"
            text = environment.get(name, "").strip()
            if text:
                given[field.name] = _positive(name, text, type(field.default))
        return cls(**given)  # type: ignore[arg-type]  # the values have their fields' types


def _positive(name: str, text: str, kind: type) -> float:
    try:
        value: float = kind(text.replace("_", ""))
    except ValueError as fault:
        raise ValueError(f"{name} is {text!r}, not a number") from fault
    if not 0 < value < 2**53:
        raise ValueError(f"{name} is {text}; it must be greater than 0")
    return value


@cache
def current_limits() -> Limits:
    """The limits of this process."""
    return Limits.from_environment()
