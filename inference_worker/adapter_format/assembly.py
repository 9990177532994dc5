"""Bring config and header together: group the tensors into modules, and check what fits and what does not."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from inference_worker.adapter_format.config import AdapterConfig
from inference_worker.adapter_format.faults import error, warning
from inference_worker.adapter_format.header import Header, TensorEntry
from inference_worker.adapter_format.keys import Key, Part, parse_key
from inference_worker.adapter_format.layout import Layout, ModuleInfo, natural_order
from inference_worker.adapter_format.layout_checks import CHECKS, check_foreign, check_names
from inference_worker.adapter_format.patterns import PatternFault, PatternMatcher
from inference_worker.contracts.check_limits import Limits, current_limits

#: Variants whose factors have shapes of their own: blocks, pooled inputs, a factor for every expert.
_OWN_SHAPES = frozenset({"bdlora", "qalora", "target_parameters"})


def build_layout(config: AdapterConfig, header: Header, limits: Limits | None = None) -> Layout:
    """Group the tensors into modules and run the chain of checks over them. Faults are listed in the layout."""
    layout = Layout(features=list(config.features))
    layout.problems.extend(check_foreign(header))
    if layout.problems:
        return layout
    parsed = _without_copies([(parse_key(name), entry) for name, entry in header.tensors.items()])
    layout.problems.extend(check_names([key for key, _ in parsed]))
    parts = _group_parts(parsed, layout)
    matcher = PatternMatcher((limits or current_limits()).pattern_seconds)
    for module in sorted(parts, key=natural_order):
        info = _build_module(module, parts[module], config, matcher, layout)
        if info is not None:
            layout.modules[module] = info
    for check in CHECKS:
        layout.problems.extend(check(config, layout, matcher))
    return layout


def _without_copies(parsed: list[tuple[Key, TensorEntry]]) -> list[tuple[Key, TensorEntry]]:
    """Leave out what PEFT saves beside a module of ``modules_to_save`` and never loads: the base's own tensors, and
    with biases the trained ones a second time below the wrapper's name."""
    plain = {key.module for key, _ in parsed if not key.copy}
    return [
        (key, entry)
        for key, entry in parsed
        if not (key.copy and key.module in plain) and ".original_module." not in f".{key.module}"
    ]


def _group_parts(parsed: list[tuple[Key, TensorEntry]], layout: Layout) -> dict[str, dict[Part, TensorEntry]]:
    parts: dict[str, dict[Part, TensorEntry]] = defaultdict(dict)
    for key, entry in parsed:
        if key.part == "extra":
            duplicate = key.module in layout.extras
            layout.extras[key.module] = entry
        else:
            duplicate = key.part in parts[key.module]
            parts[key.module][key.part] = entry
        if duplicate:
            message = f"Two tensors stand for the same part of {key.module!r} once names are repaired."
            layout.problems.append(error("duplicate_tensor", entry.name, message))
    return parts


def _build_module(
    module: str,
    parts: Mapping[Part, TensorEntry],
    config: AdapterConfig,
    matcher: PatternMatcher,
    layout: Layout,
) -> ModuleInfo | None:
    embedding = "embedding_A" in parts or "embedding_B" in parts
    a, b = (parts.get("embedding_A"), parts.get("embedding_B")) if embedding else (parts.get("A"), parts.get("B"))
    if a is None or b is None:
        missing = "A" if a is None else "B"
        message = f"The module has no lora_{missing} beside its other tensors."
        layout.problems.append(error("factor_missing", module, message))
        return None
    if len(a.shape) != 2 or len(b.shape) != 2:
        _report_dimensions(module, a, b, parts, layout)
        return None
    if _OWN_SHAPES & set(config.features) and (a.shape[0] != b.shape[1] or a.shape[0] != config.rank):
        layout.odd[module] = parts
        return None
    if a.shape[0] != b.shape[1]:
        message = f"lora_A has shape {list(a.shape)} and lora_B {list(b.shape)}: their ranks differ."
        layout.problems.append(error("rank_mismatch", module, message, "Save the adapter again from one training run."))
        return None
    rank = a.shape[0]
    alpha = _patterns(module, rank, config, matcher, layout)
    if alpha is None:
        return None
    info = ModuleInfo(
        name=module,
        rank=rank,
        d_in=a.shape[1],
        d_out=b.shape[0],
        scale=config.scale(rank, alpha),
        kind="embedding" if embedding else "linear",
        a=a,
        b=b,
        bias=parts.get("bias"),
        magnitude=parts.get("magnitude"),
    )
    if embedding:
        layout.add_feature("embedding")
    return info if _vectors_fit(info, layout) else None


def _report_dimensions(
    module: str, a: TensorEntry, b: TensorEntry, parts: Mapping[Part, TensorEntry], layout: Layout
) -> None:
    if len(a.shape) in (3, 4, 5) and len(a.shape) == len(b.shape):
        layout.odd[module] = parts
        if layout.add_feature("conv"):
            message = "The adapter changes convolution layers; they are stored but neither merged nor generated with."
            layout.problems.append(warning("conv_layer", module, message))
        return
    message = f"lora_A has shape {list(a.shape)} and lora_B {list(b.shape)}; both must have two dimensions."
    layout.problems.append(error("bad_shape", module, message))


def _patterns(module: str, rank: int, config: AdapterConfig, matcher: PatternMatcher, layout: Layout) -> float | None:
    """The module's alpha; None after listing a problem."""
    try:
        expected = matcher.lookup(config.rank_pattern, module, config.rank)
        alpha = matcher.lookup(config.alpha_pattern, module, config.alpha)
    except PatternFault as fault:
        message = f"The pattern {fault.key[:100]!r} cannot be used: {fault}."
        layout.problems.append(error("bad_pattern", module, message))
        return None
    if expected != rank:
        message = f"The tensors have rank {rank} but the config says {expected}."
        layout.problems.append(error("rank_mismatch", module, message))
        return None
    return alpha


def _vectors_fit(info: ModuleInfo, layout: Layout) -> bool:
    for what, entry in (("lora_bias", info.bias), ("lora_magnitude_vector", info.magnitude)):
        # The bias is a vector; magnitudes were once saved as columns and rows, too.
        fits = entry is None or (entry.count == info.d_out and (entry is not info.bias or len(entry.shape) == 1))
        if entry is not None and not fits:
            message = f"{what} has shape {list(entry.shape)}; {info.d_out} numbers were expected."
            remedy = "Save the adapter again from one training run."
            layout.problems.append(error("bad_shape", info.name, message, remedy))
            return False
    return True
