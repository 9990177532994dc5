"""The combine page's form: members in order with weights, a method with its options."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, get_args

from django.http import QueryDict
from pydantic.fields import FieldInfo

from inference_worker.contracts.merge import OutputDtype
from inference_worker.contracts.merge_methods import METHODS
from marketplace.adapters.models import Adapter
from marketplace.compositions.members import find_adapter
from marketplace.core.errors import AppError, Invalid

DTYPES = list(get_args(OutputDtype))
_DTYPE_WORDS = {"same": "as the first adapter"}
DEFAULT_METHOD = "lego"


@dataclass(frozen=True)
class Option:
    """One option of a method as a form field."""

    name: str
    label: str
    help: str
    kind: str  # "number", "check" or "choice"
    value: Any
    choices: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Chosen:
    """One member; ``weight`` as written, so that a wrong one can be shown again."""

    adapter: Adapter
    weight: str


@dataclass
class CombineForm:
    """What the page's form says. ``faults`` maps fields to sentences; a fault of a whole member is under members."""

    members: list[Chosen]
    method: str
    rank: str
    seed: str
    dtype: str
    name: str
    key: str
    options: dict[str, Any]
    faults: dict[str, list[str]]

    def fault(self, error: AppError) -> None:
        """Take up the service's sentences."""
        fields = error.extra.get("fields")
        if not isinstance(fields, dict) or not fields:
            fields = {"": [error.message]}
        for name, sentences in fields.items():
            self.faults.setdefault(name, []).extend(str(sentence) for sentence in sentences)

    def weights(self) -> list[tuple[Adapter, float]]:
        """Members with numbers; what is no number is a fault and counts as 1."""
        pairs = []
        for member in self.members:
            try:
                weight = float(member.weight.replace(",", ".") or "1")
            except ValueError:
                self.faults.setdefault("members", []).append(
                    f"The weight of {member.adapter.full_name} is “{member.weight[:20]}”. Write a number such as 0.5."
                )
                weight = 1.0
            pairs.append((member.adapter, weight))
        return pairs

    def number(self, field: str, text: str, otherwise: int | None) -> int | None:
        if not text.strip():
            return otherwise
        if not text.strip().isascii() or not text.strip().isdigit() or len(text.strip()) > 9:
            self.faults.setdefault(field, []).append("Write a whole number.")
            return otherwise
        return int(text)

    def arguments(self) -> dict[str, Any]:
        """The service's arguments. Raises ``Invalid`` when something written here is no number at all."""
        found = {
            "members": self.weights(),
            "rank": self.number("rank", self.rank, None) if METHODS[self.method].rank == "choose" else None,
            "seed": self.number("seed", self.seed, 0) or 0,
        }
        if self.faults:
            raise Invalid("The form has faults.", extra={"fields": {}})
        return {
            **found,
            "name": self.name.strip(),
            "method": self.method,
            "dtype": self.dtype,
            "options": self.options,
            "idempotency_key": self.key or None,
        }


def read_form(user: Any, data: QueryDict) -> CombineForm:
    """The form of a request: ``with`` (owner/name, repeated), ``weight`` (as many), ``add`` and ``drop``."""
    faults: dict[str, list[str]] = {}
    weights = data.getlist("weight")
    named = list(dict.fromkeys(zip(data.getlist("with"), [*weights, *["1"] * 64], strict=False)))
    if data.get("add") and data["add"] not in [name for name, _ in named]:
        named.append((data["add"], "1"))
    members: list[Chosen] = []
    for name, weight in named:
        if name == data.get("drop") or not name.strip():
            continue
        try:
            adapter = find_adapter(user=user, full_name=name.strip())
        except AppError as error:
            faults.setdefault("members", []).append(error.message)
            continue
        if adapter not in [member.adapter for member in members]:
            members.append(Chosen(adapter, weight or "1"))
    method = data.get("method", "")
    if method not in METHODS:
        method = DEFAULT_METHOD if DEFAULT_METHOD in METHODS else next(iter(METHODS))
    dtype = data.get("dtype", "same")
    return CombineForm(
        members=members,
        method=method,
        rank=data.get("rank", ""),
        seed=data.get("seed", "0"),
        dtype=dtype if dtype in DTYPES else "same",
        name=data.get("name", ""),
        key=data.get("key", "")[:100],
        options=_options(method, data),
        faults=faults,
    )


def _options(method: str, data: QueryDict) -> dict[str, Any]:
    """What the form says about the method's options; the service checks it. Nothing without the form's own mark."""
    if data.get("options_of") != method:
        return {}
    found: dict[str, Any] = {}
    for name, field in METHODS[method].options.model_fields.items():
        key = f"option_{name}"
        if field.annotation is bool:
            found[name] = key in data
        elif data.get(key, "").strip():
            found[name] = data[key].strip()
    return found


def options_of(method: str, chosen: dict[str, Any]) -> list[Option]:
    """A method's options as form fields, with what was chosen or the defaults."""
    return [
        _option(name, field, chosen.get(name, field.default))
        for name, field in METHODS[method].options.model_fields.items()
    ]


def _option(name: str, field: FieldInfo, value: Any) -> Option:
    label = name.replace("_", " ").capitalize()
    words = field.description or ""
    if field.annotation is bool:
        return Option(name, label, words, "check", value)
    choices = tuple(str(choice) for choice in get_args(field.annotation))
    if choices:
        return Option(name, label, words, "choice", value, choices=choices)
    bounds = {key: getattr(rule, key) for rule in field.metadata for key in ("ge", "le") if hasattr(rule, key)}
    return Option(name, label, words, "number", value, low=bounds.get("ge"), high=bounds.get("le"))


def dtype_choices() -> list[tuple[str, str]]:
    return [(dtype, _DTYPE_WORDS.get(dtype, dtype)) for dtype in DTYPES]
