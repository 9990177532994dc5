"""Bring config and header together: the modules an adapter changes, and everything that does not fit."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from inference_worker.adapter_format.config import AdapterConfig
from inference_worker.adapter_format.faults import error, note, warning
from inference_worker.adapter_format.header import Header, TensorEntry
from inference_worker.adapter_format.keys import Key, Part, is_foreign_lora_key, is_image_key, parse_key
from inference_worker.adapter_format.names import WEIGHTS_NAME
from inference_worker.adapter_format.patterns import PatternFault, PatternMatcher, matches_list
from inference_worker.contracts.check_limits import Limits, current_limits
from inference_worker.contracts.common import Problem

ModuleKind = Literal["linear", "embedding"]


@dataclass(frozen=True, slots=True)
class ModuleInfo:
    """One adapted module. Δ = scale · B·A with A: (rank, d_in), B: (d_out, rank), whatever layout the base's own
    weight has (nn.Linear and Conv1D alike); for an embedding d_in is the vocabulary and Δ is transposed."""

    name: str
    rank: int
    d_in: int
    d_out: int
    scale: float
    kind: ModuleKind
    a: TensorEntry
    b: TensorEntry
    bias: TensorEntry | None = None  # lora_bias, (d_out,)
    magnitude: TensorEntry | None = None  # DoRA, (d_out,)

    @property
    def dtype(self) -> str:
        return self.a.dtype

    @property
    def parameters(self) -> int:
        return self.rank * (self.d_in + self.d_out)


@dataclass
class Layout:
    """``modules`` in natural order of their names; ``extras`` are tensors beside LoRA factors (name inside the base ->
    entry); ``features`` name what a plain LoRA does not have."""

    modules: dict[str, ModuleInfo] = field(default_factory=dict)
    extras: dict[str, TensorEntry] = field(default_factory=dict)
    features: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def natural_order(name: str) -> tuple[tuple[int, int | str], ...]:
    """Sort key that puts layer 2 before layer 10."""
    return tuple((0, int(part)) if part.isdecimal() else (1, part) for part in name.split("."))


def build_layout(config: AdapterConfig, header: Header, limits: Limits | None = None) -> Layout:
    layout = Layout(features=list(config.features))
    parsed = [(parse_key(name), entry) for name, entry in header.tensors.items()]
    layout.problems.extend(_check_foreign(header))
    if layout.problems:
        return layout
    layout.problems.extend(_check_prefixes([key for key, _ in parsed]))
    parts = _group_parts(parsed, layout)
    matcher = PatternMatcher((limits or current_limits()).pattern_seconds)
    for module in sorted(parts, key=natural_order):
        info = _build_module(module, parts[module], config, matcher, layout)
        if info is not None:
            layout.modules[module] = info
    checks: tuple[Callable[[AdapterConfig, Layout, PatternMatcher], list[Problem]], ...] = (
        _check_targets,
        _check_extras,
        _check_dora,
        _note_dtypes,
    )
    for check in checks:
        layout.problems.extend(check(config, layout, matcher))
    return layout


def _check_foreign(header: Header) -> list[Problem]:
    first_image = next((name for name in header.tensors if is_image_key(name)), None)
    if first_image is not None:
        message = f"Tensors such as {first_image!r} belong to an image or video model; only language models are served."
        return [error("image_adapter", first_image, message, "Upload adapters of language models.")]
    foreign = next((name for name in header.tensors if is_foreign_lora_key(name)), None)
    if foreign is not None:
        message = f"The tensor {foreign!r} is named as another trainer names it, not as PEFT does."
        return [error("foreign_layout", foreign, message, "Convert the file to PEFT's layout and upload that.")]
    return []


def _check_prefixes(keys: list[Key]) -> list[Problem]:
    problems = []
    if any(key.prefixes > 1 for key in keys):
        message = "Tensor names start with 'base_model.model.' more than once; they are read as if it stood there once."
        remedy = "PEFT would silently ignore such tensors. A merge or re-export here writes the right names."
        problems.append(warning("prefix_doubled", "tensor names", message, remedy))
    if any(key.prefixes == 0 for key in keys):
        message = "Tensor names lack the prefix 'base_model.model.'; they are read as if it stood there."
        remedy = "PEFT would silently ignore such tensors. A merge or re-export here writes the right names."
        problems.append(warning("prefix_missing", "tensor names", message, remedy))
    if any(key.repaired for key in keys):
        message = "Tensor names contain an adapter's name or a wrapper of torch.compile or FSDP; it is taken out."
        problems.append(warning("name_repaired", "tensor names", message, "A merge here writes the right names."))
    return problems


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
            remedy = "Save one adapter per file."
            layout.problems.append(error("duplicate_tensor", entry.name, message, remedy))
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
        layout.problems.append(error("factor_missing", module, message, "Save the adapter again, complete."))
        return None
    if len(a.shape) != 2 or len(b.shape) != 2:
        _report_dimensions(module, a, b, layout)
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
    if embedding and "embedding" not in layout.features:
        layout.features.append("embedding")
    return info if _vectors_fit(info, layout) else None


def _report_dimensions(module: str, a: TensorEntry, b: TensorEntry, layout: Layout) -> None:
    if len(a.shape) in (3, 4, 5) and len(a.shape) == len(b.shape):
        if "conv" not in layout.features:
            layout.features.append("conv")
            message = "The adapter changes convolution layers; they are stored but neither merged nor served."
            layout.problems.append(warning("conv_layer", module, message, "Use adapters of linear layers for both."))
        return
    message = f"lora_A has shape {list(a.shape)} and lora_B {list(b.shape)}; both must have two dimensions."
    remedy = "Gather the parameters (DeepSpeed ZeRO-3, FSDP) before save_pretrained and upload the new file."
    layout.problems.append(error("bad_shape", module, message, remedy))


def _patterns(module: str, rank: int, config: AdapterConfig, matcher: PatternMatcher, layout: Layout) -> float | None:
    """The module's alpha; None after listing a problem."""
    try:
        expected = matcher.lookup(config.rank_pattern, module, config.rank)
        alpha = matcher.lookup(config.alpha_pattern, module, config.alpha)
    except PatternFault as fault:
        message = f"The pattern {fault.key[:100]!r} cannot be used: {fault}."
        layout.problems.append(error("bad_pattern", module, message, "Write module names without wildcards."))
        return None
    if expected != rank:
        message = f"The tensors have rank {rank} but the config says {expected}."
        remedy = "Set r, or rank_pattern for this module, to the rank of the tensors."
        layout.problems.append(error("rank_mismatch", module, message, remedy))
        return None
    return alpha


def _vectors_fit(info: ModuleInfo, layout: Layout) -> bool:
    for what, entry in (("lora_bias", info.bias), ("lora_magnitude_vector", info.magnitude)):
        if entry is not None and entry.count != info.d_out:
            message = f"{what} has shape {list(entry.shape)}; {info.d_out} numbers were expected."
            remedy = "Save the adapter again from one training run."
            layout.problems.append(error("bad_shape", info.name, message, remedy))
            return False
    return True


def _check_targets(config: AdapterConfig, layout: Layout, matcher: PatternMatcher) -> list[Problem]:
    """Modules in the file that the config does not target would never be loaded by PEFT, and the other way round."""
    target = config.target_modules
    if not layout.modules and "conv" not in layout.features and not layout.problems:
        message = "The file holds no lora_A and lora_B tensors, so the adapter changes nothing."
        return [error("no_lora_tensors", WEIGHTS_NAME, message, "Upload the adapter's own weights.")]
    if target is None or target == "all-linear" or config.raw.get("target_parameters"):
        return []
    try:
        outside = [name for name in layout.modules if not _targeted(target, name, matcher)]
    except PatternFault as fault:
        message = f"target_modules cannot be used as a pattern: {fault}."
        return [error("bad_pattern", "target_modules", message, "List the adapted modules' names.")]
    problems = []
    if outside:
        message = f"{len(outside)} modules in the file are not among target_modules, for example {outside[0]!r}."
        remedy = "Add them to target_modules; PEFT would not load them."
        problems.append(error("module_not_targeted", outside[0], message, remedy))
    if isinstance(target, tuple) and layout.modules:
        idle = [name for name in target if not any(matches_list([name], module) for module in layout.modules)]
        if idle and "conv" not in layout.features:
            message = f"target_modules names {', '.join(idle[:5])} but the file holds no tensors for them."
            remedy = "Nothing to do if they were left untrained on purpose."
            problems.append(warning("target_without_tensors", "target_modules", message, remedy))
    return problems


def _targeted(target: tuple[str, ...] | str, module: str, matcher: PatternMatcher) -> bool:
    if isinstance(target, str):
        return matcher.full_match(target, module)
    return matches_list(target, module)


def _check_extras(config: AdapterConfig, layout: Layout, matcher: PatternMatcher) -> list[Problem]:
    """Tensors that are no LoRA factors: accounted for by the config, or unknown."""
    unknown = []
    for name in layout.extras:
        module, _, leaf = name.rpartition(".")
        saved = any(f".{target}." in f".{name}" for target in config.modules_to_save)
        bias = leaf == "bias" and config.bias != "none"
        tokens = leaf == "trainable_tokens_delta"
        embedding = leaf == "weight" and module.rpartition(".")[2] in ("embed_tokens", "lm_head", "wte", "base_layer")
        if embedding and not saved and "full_embedding" not in layout.features:
            layout.features.append("full_embedding")
        if not (saved or bias or tokens or embedding):
            unknown.append(name)
    problems = []
    if unknown:
        message = f"{len(unknown)} tensors belong to nothing that the config names, for example {unknown[0]!r}."
        remedy = "PEFT ignores them. Name their modules in modules_to_save, or leave them out."
        problems.append(warning("unknown_tensor", unknown[0], message, remedy))
        layout.features.append("unknown_tensors")
    for target in config.modules_to_save:
        if not any(f".{target}." in f".{name}" for name in layout.extras):
            message = f"modules_to_save names {target!r} but the file holds no tensor of it."
            problems.append(warning("saved_module_missing", target, message, "Save the adapter again, complete."))
    return problems


def _check_dora(config: AdapterConfig, layout: Layout, matcher: PatternMatcher) -> list[Problem]:
    with_magnitude = [info.name for info in layout.modules.values() if info.magnitude is not None]
    if config.use_dora:
        bare = [info.name for info in layout.modules.values() if info.magnitude is None]
        if bare:
            message = "use_dora is set but the module has no lora_magnitude_vector."
            return [error("dora_incomplete", bare[0], message, "Save the adapter again, complete.")]
    elif with_magnitude:
        message = "The module has a lora_magnitude_vector but use_dora is not set."
        return [error("dora_incomplete", with_magnitude[0], message, 'Set "use_dora": true in the config.')]
    return []


def _note_dtypes(config: AdapterConfig, layout: Layout, matcher: PatternMatcher) -> list[Problem]:
    doubles = [info.name for info in layout.modules.values() if info.dtype == "F64"]
    if not doubles:
        return []
    message = "Tensors are stored in 64-bit floats; they are read and rounded to 32 bits."
    return [note("float64", doubles[0], message, "Saving in bfloat16 makes the file a quarter of the size.")]
