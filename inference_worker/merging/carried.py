"""What goes into the result beside merged factors: whole tensors that only one adapter has, and config keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from inference_worker.adapter_format.layout import natural_order
from inference_worker.contracts.merge_output import PLAIN_OUTPUT, MergeOutput
from inference_worker.contracts.module_selectors import select_modules
from inference_worker.errors import Refused
from inference_worker.merging.compatibility import Member

#: Config keys that describe behaviour beside B·A and go through with the one adapter that has them.
_ALONE_KEYS = ("use_dora", "alora_invocation_tokens", "layer_replication", "ensure_weight_tying")


def carried_tensors(members: Sequence[Member], output: MergeOutput = PLAIN_OUTPUT) -> dict[str, tuple[Member, str]]:
    """Name in the result -> (member, name in that member) of every tensor beside LoRA factors.

    What ``output`` leaves out by its selectors stays behind.
    A tensor that several adapters have is carried when its bytes are the same in all, else ``Refused`` names both.
    Tensors that no config accounts for are left out, as PEFT leaves them out.
    """
    adapted = {name for member in members for name in member.weights}
    chosen: dict[str, tuple[Member, str]] = {}
    for member in members:
        wanted = set(select_modules(member.reader.extras, output.include, output.exclude))
        for name in member.reader.extras:
            if name not in member.reader.carried or name not in wanted:
                continue
            target = _name_in_result(name, adapted)
            if target not in chosen:
                chosen[target] = (member, name)
            elif not _same_bytes(chosen[target], (member, name)):
                first = chosen[target][0]
                message = (
                    f"{first.label} and {member.label} both bring their own {name} (modules_to_save, bias, tokens or "
                    "embeddings), which cannot be added up; leave one of them out"
                )
                raise Refused(message, code="refused_modules_to_save", extra={"tensor": name})
    for member in members:
        _check_replaced(member, members, chosen)
    return {name: chosen[name] for name in sorted(chosen, key=natural_order)}


def _name_in_result(name: str, adapted: set[str]) -> str:
    """A bias of a module that another adapter adapts moves below PEFT's ``base_layer``."""
    module, _, leaf = name.rpartition(".")
    return f"{module}.base_layer.{leaf}" if module in adapted and leaf in ("bias", "weight") else name


def _check_replaced(member: Member, members: Sequence[Member], chosen: Mapping[str, object]) -> None:
    """A module that one adapter replaces as a whole cannot at the same time get another adapter's update."""
    for other in members:
        if other is member:
            continue
        config = member.reader.config
        for target in (*config.modules_to_save, *config.heads):
            if not any(f".{target}." in f".{name}." for name in chosen):
                continue
            clash = next((name for name in other.weights if f".{target}." in f".{name}."), None)
            if clash is not None:
                message = f"{member.label} replaces {clash} (modules_to_save) while {other.label} adapts it"
                raise Refused(message, code="refused_modules_to_save", extra={"module": clash})


def _same_bytes(first: tuple[Member, str], second: tuple[Member, str]) -> bool:
    one, two = (member.reader.extras[name] for member, name in (first, second))
    if (one.dtype, one.shape) != (two.dtype, two.shape):
        return False
    pieces = zip(first[0].reader.file.pieces(one), second[0].reader.file.pieces(two), strict=True)
    return all(torch.equal(left, right) for left, right in pieces)


def carried_shapes(carried: Mapping[str, tuple[Member, str]]) -> dict[str, tuple[int, ...]]:
    return {name: member.reader.extras[own].shape for name, (member, own) in carried.items()}


def settings(members: Sequence[Member], names: Sequence[str], carried: Mapping[str, object]) -> dict[str, Any]:
    """Config keys of the result beside ranks, alphas and patterns."""
    configs = [member.reader.config for member in members]
    first = configs[0]
    result: dict[str, Any] = {
        "base_model_name_or_path": next((c.base_model_name for c in configs if c.base_model_name), None),
        "task_type": next((c.task_type for c in configs if c.task_type), None),
        "fan_in_fan_out": any(c.fan_in_fan_out for c in configs),
        "target_modules": _target_modules(members, names),
    }
    if all(c.revision == first.revision for c in configs) and first.revision:
        result["revision"] = first.revision
    biases = {c.bias for c in configs if c.bias != "none"}
    if biases and any(name.endswith(".bias") for name in carried):
        result["bias"] = "all" if "all" in biases else "lora_only"
    named = {target for c in configs for target in c.modules_to_save}
    saved = sorted(target for target in named if any(f".{target}." in f".{name}." for name in carried))
    if saved:
        result["modules_to_save"] = saved
    if any(c.lora_bias for c in configs):
        result["lora_bias"] = True
    tokens = [m.reader.raw_config.get("trainable_token_indices") for m in members]
    if any(tokens) and any("trainable_tokens" in name for name in carried):
        result["trainable_token_indices"] = next(item for item in tokens if item)
    if len(members) == 1:
        raw = members[0].reader.raw_config
        result |= {key: raw[key] for key in _ALONE_KEYS if raw.get(key)}
    return result


def _target_modules(members: Sequence[Member], names: Sequence[str]) -> list[str]:
    """The parents' own suffixes where they describe exactly the merged modules, else every full name.

    Suffixes are readable and understood by every tool; they are kept only if all parents list suffixes for all layers
    and every suffix has a module wherever any suffix has one.
    """
    configs = [member.reader.config for member in members]
    plain = all(
        isinstance(config.target_modules, tuple)
        and not any(config.raw.get(key) for key in ("layers_to_transform", "exclude_modules"))
        and all("." not in target and not target.isdecimal() for target in config.target_modules)
        for config in configs
    )
    full = list(names)
    if not plain:
        return full
    suffixes = {name.rpartition(".")[2] for name in names}
    declared = {target for config in configs for target in config.target_modules or ()}
    layers = {suffix: {_layer(name) for name in names if name.endswith(suffix)} for suffix in suffixes}
    complete = len({frozenset(found) for found in layers.values()}) == 1
    left_out = {name.rpartition(".")[2] for member in members for name in member.reader.modules.keys() - set(names)}
    return sorted(suffixes) if suffixes <= declared - left_out and complete else full


def _layer(name: str) -> tuple[str, ...]:
    return tuple(part for part in name.split(".") if part.isdecimal())
