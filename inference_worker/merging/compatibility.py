"""What can be merged with what. Everything here is decided from headers and configs, before any work starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from inference_worker.adapter_format.layout import ModuleInfo, natural_order
from inference_worker.adapter_format.reader import AdapterReader
from inference_worker.adapter_format.stream import TORCH_DTYPES
from inference_worker.adapter_format.writer import DTYPES
from inference_worker.contracts.common import Contract
from inference_worker.contracts.merge_checks import (
    AdapterNames,
    check_selectors,
    check_weights,
    nothing_left,
    present_weights,
)
from inference_worker.contracts.merge_limits import ALONE, NEVER
from inference_worker.contracts.merge_methods import MemberFacts, MergeMethodInfo
from inference_worker.contracts.merge_output import PLAIN_OUTPUT, MemberWeights, MergeOutput, OutputDtype
from inference_worker.errors import BadInput, Refused


@dataclass(frozen=True)
class Member:
    """An adapter that takes part, with its weight and its position in the request.

    ``weights`` holds its signed weight in every module in which it takes part: modules that the output leaves out, and
    those in which its weight is 0, are absent.
    """

    reader: AdapterReader
    weight: float
    index: int
    weights: Mapping[str, float]

    @property
    def label(self) -> str:
        return self.reader.label

    @property
    def modules(self) -> dict[str, ModuleInfo]:
        """The modules in which it takes part."""
        return {name: self.reader.modules[name] for name in self.weights}


def choose_members(
    readers: Sequence[AdapterReader],
    weights: Sequence[float],
    layer_weights: Sequence[MemberWeights] = (),
    output: MergeOutput = PLAIN_OUTPUT,
) -> list[Member]:
    """The adapters that have a weight other than zero in any module of the output; the others are absent.

    Raises ``BadInput`` for weights that are no numbers, for selectors that fit no module, and if nothing is left.
    """
    if len(readers) != len(weights):
        raise BadInput(f"{len(weights)} weights for {len(readers)} adapters: give one weight each", code="bad_weights")
    check_weights(weights, layer_weights)
    check_selectors([names_of(reader) for reader in readers], layer_weights, output)
    groups = layer_weights or [()] * len(readers)
    members = []
    for index, (reader, weight, own) in enumerate(zip(readers, weights, groups, strict=True)):
        present = present_weights(reader.modules, weight, own, output)
        if present or not reader.modules:
            members.append(Member(reader, weight, index, present))
    if not any(member.weights for member in members):
        # What has no module to merge may have what no merge can hold, which says more.
        _check_features(members)
        raise nothing_left()
    return members


def names_of(reader: AdapterReader) -> AdapterNames:
    """What selectors may fit."""
    return AdapterNames(reader.label, list(reader.modules), list(reader.extras))


def check_members(members: Sequence[Member], method: MergeMethodInfo, options: Contract | None = None) -> None:
    """Raise ``Refused``, naming the adapters, if ``method`` cannot merge ``members``."""
    _check_features(members)
    _check_tasks(members)
    _check_shapes(members)
    refusal = method.refusal([member_facts(member) for member in members], options)
    if refusal is not None:
        raise Refused(f"{method.name} {refusal.words}", code=refusal.code, extra=refusal.extra)


def member_facts(member: Member) -> MemberFacts:
    """What the method's own rules look at."""
    ranks = {name: info.rank for name, info in member.modules.items()}
    features = frozenset(member.reader.features)
    if member.reader.config.lora_bias:
        features |= {"lora_bias"}
    return MemberFacts(member.label, member.weight, ranks, features, member.weights)


def _refused(label: str, feature: str, reason: str) -> Refused:
    return Refused(f"{label} cannot be merged: {reason}", code=f"refused_{feature}", extra={"adapter": label})


def _check_features(members: Sequence[Member]) -> None:
    for member in members:
        for feature in member.reader.features:
            if feature in NEVER:
                raise _refused(member.label, feature, NEVER[feature])
            if feature in ALONE and (len(members) > 1 or _is_scaled(member)):
                reason = ALONE[feature] + "; it can only be carried through alone and at weight 1"
                raise _refused(member.label, feature, reason)
    tokens = [m for m in members if m.reader.raw_config.get("trainable_token_indices")]
    if len(tokens) > 1 and any(
        m.reader.raw_config["trainable_token_indices"] != tokens[0].reader.raw_config["trainable_token_indices"]
        for m in tokens
    ):
        reason = f"it trains other tokens (trainable_token_indices) than {tokens[0].label}"
        raise _refused(tokens[1].label, "trainable_tokens", reason)


def _is_scaled(member: Member) -> bool:
    return member.weight != 1.0 or any(weight != 1.0 for weight in member.weights.values())


def _check_tasks(members: Sequence[Member]) -> None:
    """Adapters of one task may be added up; of two tasks, the result would belong to neither model."""
    named = [member for member in members if member.reader.config.task_type]
    for member in named[1:]:
        first, own = named[0].reader.config.task_type, member.reader.config.task_type
        if own != first:
            reason = f"it was trained for the task {own} and {named[0].label} for {first}, whose models differ"
            raise _refused(member.label, "task_type", reason)


def _check_shapes(members: Sequence[Member]) -> None:
    seen: dict[str, tuple[Member, tuple[int, int, str]]] = {}
    for member in members:
        for name, info in member.modules.items():
            shape = (info.d_out, info.d_in, info.kind)
            first, expected = seen.setdefault(name, (member, shape))
            if shape != expected:
                message = (
                    f"{member.label} and {first.label} do not fit one base: {name} has {shape[1]} inputs "
                    f"and {shape[0]} outputs in one and {expected[1]} and {expected[0]} in the other"
                )
                raise Refused(message, code="shape_mismatch", extra={"module": name})


def module_names(members: Sequence[Member]) -> list[str]:
    """Every module in which any member takes part, layers in their order."""
    return sorted({name for member in members for name in member.weights}, key=natural_order)


def output_dtype(members: Sequence[Member], wanted: OutputDtype) -> torch.dtype:
    """The type to write: as wanted, or with ``same`` the members' common type (float32 where they differ)."""
    if wanted != "same":
        return DTYPES[wanted]
    found = {info.dtype for member in members for info in member.modules.values()}
    common = TORCH_DTYPES[found.pop()] if len(found) == 1 else torch.float32
    return torch.float32 if common == torch.float64 else common
