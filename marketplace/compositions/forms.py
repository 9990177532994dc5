"""The combine page's form: members in order with weights, a method with its options, what is written.

The same fields travel with every request, so that the page works without scripts; ``parameters_of`` writes the fields
of a planned merge again, for “Save this merge” and “Change the settings”.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, get_args

from django.http import QueryDict

from inference_worker.contracts.merge import MergeRequest, OutputDtype
from inference_worker.contracts.merge_checks import INERTIA_BUDGET
from inference_worker.contracts.merge_methods import METHODS
from marketplace.adapters.models import Adapter
from marketplace.compositions.members import MAX_WEIGHT, Choice, find_adapter
from marketplace.compositions.option_fields import read_options
from marketplace.compositions.output_fields import (
    SHARES,
    read_groups,
    read_rule,
    read_selectors,
    read_weight,
    write_layer_weights,
    write_number,
    write_ranks,
    write_rule,
)
from marketplace.core.errors import AppError, Invalid

DTYPES = list(get_args(OutputDtype))
_DTYPE_WORDS = {"same": "that of the adapters, float32 where they differ"}
DEFAULT_METHOD = "lego"
#: How a rank is chosen → in words. The share of ``energy`` and ``inertia`` stands in the field of the number.
RANK_RULES = {
    "number": "this number",
    "same": "in each module the largest of the adapters",
    "energy": "in each module the smallest that keeps this share of the energy",
    "inertia": "in each module the fewest bricks that keep this share",
}


@dataclass(frozen=True)
class Chosen:
    """One member; ``weight`` and ``layers`` as written, so that a wrong one can be shown again."""

    adapter: Adapter
    weight: str
    layers: str = ""


@dataclass
class CombineForm:
    """What the page's form says. ``faults`` maps fields to sentences; a fault of a whole member is under members."""

    members: list[Chosen]
    method: str
    rank_rule: str
    rank: str
    ranks: str
    rotate: bool
    include: str
    exclude: str
    seed: str
    dtype: str
    name: str
    key: str
    options: dict[str, Any]
    faults: dict[str, list[str]] = field(default_factory=dict)

    def fault(self, error: AppError) -> None:
        """Take up the service's sentences."""
        fields = error.extra.get("fields")
        if not isinstance(fields, dict) or not fields:
            fields = {"": [error.message]}
        for name, sentences in fields.items():
            self.say(name, *(str(sentence) for sentence in sentences))

    def say(self, name: str, *sentences: str) -> None:
        self.faults.setdefault(name, []).extend(sentences)

    def read(self, name: str, text: str, reader: Callable[[str], Any], otherwise: Any) -> Any:
        """``reader(text)``, or ``otherwise`` for an empty field and for a faulty one, which is noted."""
        if not text.strip():
            return otherwise
        try:
            return reader(text.strip())
        except ValueError as error:
            self.say(name, str(error))
            return otherwise

    def weights(self) -> list[tuple[Adapter, float]]:
        """Members with numbers; what is no number is a fault and counts as 1."""
        return [
            (
                member.adapter,
                self.read("members", member.weight, lambda text, member=member: _weight(text, member.adapter), 1.0),
            )
            for member in self.members
        ]

    def factors(self) -> list[list[dict[str, Any]]]:
        """The members' factors by layers, as far as they can be read; ``settings`` tells what cannot."""
        return [_factors(member.layers) for member in self.members]

    def settings(self) -> dict[str, Any]:
        """What ``planning.plan_merge`` takes. Raises ``Invalid`` when something written here cannot be read at all."""
        found = {
            "members": self.weights(),
            "method": self.method,
            "options": self.options,
            "seed": self.read("seed", self.seed, _whole, 0),
            "output": self._output(),
            "layer_weights": [
                self.read("members", member.layers, lambda text: read_groups(text, read_weight, "factor"), [])
                for member in self.members
            ],
        }
        if self.faults:
            raise Invalid("The form has faults.", extra={"fields": {}})
        return found

    def arguments(self) -> dict[str, Any]:
        """What ``services.create_merge`` takes. Raises ``Invalid`` as ``settings`` does."""
        return {**self.settings(), "name": self.name.strip(), "idempotency_key": self.key or None}

    def _output(self) -> dict[str, Any]:
        share = self.rank_rule in SHARES
        written = f"{self.rank_rule} {self.rank}" if share and self.rank.strip() else "" if share else self.rank
        return {
            "rank": "same" if self.rank_rule == "same" else self.read("rank", written, read_rule, None),
            "ranks": self.read("ranks", self.ranks, lambda text: read_groups(text, read_rule, "rank"), []),
            "dtype": self.dtype,
            "rotate": self.rotate,
            "include": read_selectors(self.include),
            "exclude": read_selectors(self.exclude),
        }


def _weight(text: str, adapter: Adapter) -> float:
    try:
        return read_weight(text)
    except ValueError:
        raise ValueError(
            f"The weight of {adapter.full_name} is “{text[:20]}”. Write a number from −{MAX_WEIGHT} to {MAX_WEIGHT} "
            "such as 0.5."
        ) from None


def _factors(text: str) -> list[dict[str, Any]]:
    try:
        return read_groups(text, read_weight, "factor")
    except ValueError:
        return []


def _whole(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise ValueError("Write a whole number.")
    return int(text)


def read_form(user: Any, data: QueryDict) -> CombineForm:
    """The form of a request: ``with`` (owner/name), ``weight`` and ``layers`` (as many), ``add`` and ``drop``."""
    faults: dict[str, list[str]] = {}
    method = data.get("method", "")
    if method not in METHODS:
        method = DEFAULT_METHOD if DEFAULT_METHOD in METHODS else next(iter(METHODS))
    dtype, rule = data.get("dtype", "same"), data.get("rank_rule", "")
    return CombineForm(
        members=_members(user, data, faults),
        method=method,
        rank_rule=rule if rule in RANK_RULES else "number",
        rank=data.get("rank", ""),
        ranks=data.get("ranks", ""),
        rotate="rotate" in data,
        include=data.get("include", ""),
        exclude=data.get("exclude", ""),
        seed=data.get("seed", "0"),
        dtype=dtype if dtype in DTYPES else "same",
        name=data.get("name", ""),
        key=data.get("key", "")[:100],
        # Nothing without the form's own mark: an unticked box and a box that was not shown look alike.
        options=read_options(METHODS[method].options, data.dict()) if data.get("options_of") == method else {},
        faults=faults,
    )


def _members(user: Any, data: QueryDict, faults: dict[str, list[str]]) -> list[Chosen]:
    weights, layers = [*data.getlist("weight"), *["1"] * 64], [*data.getlist("layers"), *[""] * 64]
    named = list(dict.fromkeys(zip(data.getlist("with"), weights, layers, strict=False)))
    if data.get("add") and data["add"] not in [name for name, _, _ in named]:
        named.append((data["add"], "1", ""))
    members: list[Chosen] = []
    for name, weight, groups in named:
        if name == data.get("drop") or not name.strip():
            continue
        try:
            adapter = find_adapter(user=user, full_name=name.strip())
        except AppError as error:
            faults.setdefault("members", []).append(error.message)
            continue
        if adapter not in [member.adapter for member in members]:
            members.append(Chosen(adapter, weight or "1", groups))
    return members


def dtype_choices() -> list[tuple[str, str]]:
    return [(dtype, _DTYPE_WORDS.get(dtype, dtype)) for dtype in DTYPES]


def rank_rules(method: str) -> list[tuple[str, str]]:
    """Those that the method takes: it keeps a share of its clusters' inertia or of its result's energy."""
    return [(rule, words) for rule, words in RANK_RULES.items() if rule not in SHARES or rule == share_of(method)]


def share_of(method: str) -> str:
    """The kind of share that the method's rank can keep."""
    return "inertia" if INERTIA_BUDGET in METHODS[method].options.model_fields else "energy"


def parameters_of(request: MergeRequest, members: Sequence[Choice] = ()) -> list[tuple[str, str]]:
    """The form's fields that say what a planned merge says. ``members`` names the adapters as they are called now."""
    labels = [member.adapter.full_name for member in members] or [files.label for files in request.adapters]
    layers = request.layer_weights or [()] * len(labels)
    fields: list[tuple[str, str]] = []
    for label, weight, groups in zip(labels, request.weights, layers, strict=True):
        fields += [("with", label), ("weight", write_number(weight)), ("layers", write_layer_weights(groups))]
    output = request.output
    rule = write_rule(output.rank)
    kind, _, share = rule.partition(" ")
    fields += [("method", request.method), ("rank_rule", kind if kind in RANK_RULES else "number")]
    fields += [("rank", share or (rule if rule != "same" else "")), ("ranks", write_ranks(output.ranks))]
    fields += [("include", " ".join(output.include)), ("exclude", " ".join(output.exclude))]
    fields += [("dtype", output.dtype), ("seed", str(request.seed)), ("options_of", request.method)]
    fields += [("rotate", "on")] if output.rotate else []
    for name, value in request.options.items():
        if isinstance(value, bool):
            fields += [(f"option_{name}", "on")] if value else []
        elif value is not None:
            text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
            fields.append((f"option_{name}", text))
    return fields
