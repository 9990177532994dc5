"""The checks of an adapter's tensors against its config, one small function each. None of them raises."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from inference_worker.adapter_format.config import AdapterConfig
from inference_worker.adapter_format.faults import error, note, warning
from inference_worker.adapter_format.header import Header
from inference_worker.adapter_format.keys import Key, is_foreign_lora_key, is_image_key
from inference_worker.adapter_format.layout import Layout
from inference_worker.adapter_format.names import CONFIG_NAME, WEIGHTS_NAME
from inference_worker.adapter_format.patterns import PatternFault, PatternMatcher
from inference_worker.adapter_format.targeting import EMBEDDINGS, Paths, Targets, tails
from inference_worker.contracts.adapter_uses import why_not_generated, why_not_merged
from inference_worker.contracts.common import Problem
from inference_worker.contracts.image_adapters import METADATA

#: Variants that keep further tensors (``lora_…``) beside A and B.
_WITH_TENSORS = ("kasa_config", "monteclora_config", "velora_config", "arrow_config", "use_bdlora")
_VERSION = re.compile(r"(\d+)\.(\d+)")


def check_foreign(header: Header) -> list[Problem]:
    """Adapters of image models and of other trainers, recognised before anything else is said about them."""
    kohya = next((key for key in header.metadata if key.startswith(METADATA)), None)
    if kohya is not None:
        message = f"The metadata ({kohya[:60]}) is that of kohya's trainer for image models."
        return [error("image_adapter", "__metadata__", f"{message} Brickyard is for language models.")]
    image = next((name for name in header.tensors if is_image_key(name)), None)
    if image is not None:
        message = f"Tensors such as {image!r} belong to an image or video model; only language models are served."
        return [error("image_adapter", image, message)]
    foreign = next((name for name in header.tensors if is_foreign_lora_key(name)), None)
    if foreign is not None:
        message = f"The tensor {foreign!r} is named as another tool names it, not as PEFT does."
        return [error("foreign_layout", foreign, message)]
    return []


def check_names(keys: list[Key]) -> list[Problem]:
    """What had to be repaired in tensor names."""
    problems = []
    if any(key.prefixes > 1 for key in keys):
        message = "Tensor names start with 'base_model.model.' more than once, so PEFT would silently load nothing. "
        message += "They are read as if it stood there once."
        problems.append(warning("prefix_doubled", "tensor names", message))
    if any(key.prefixes == 0 for key in keys):
        message = "Tensor names lack the prefix 'base_model.model.', so PEFT would silently load nothing. "
        message += "They are read as if it stood there."
        problems.append(warning("prefix_missing", "tensor names", message))
    if any(key.repaired for key in keys):
        message = "Tensor names contain an adapter's name or a wrapper (torch.compile, FSDP, DDP); it is taken out."
        problems.append(warning("name_repaired", "tensor names", message))
    return problems


def _any_factors(config: AdapterConfig, layout: Layout, matcher: PatternMatcher) -> list[Problem]:
    if layout.modules or layout.odd or layout.problems:
        return []
    message = "The file holds no lora_A and lora_B tensors, so the adapter changes nothing."
    return [error("no_lora_tensors", WEIGHTS_NAME, message)]


def _targets(config: AdapterConfig, layout: Layout, matcher: PatternMatcher) -> list[Problem]:
    """Modules that the config does not target would never be loaded by PEFT."""
    if config.raw.get("target_parameters"):
        return []  # Bare parameters are adapted below modules that no name in target_modules stands for.
    try:
        targets = Targets(config, matcher)
        outside = [name for name in layout.modules if not targets.include(name)]
    except PatternFault as fault:
        message = f"The pattern {fault.key[:100]!r} cannot be used: {fault}."
        return [error("bad_pattern", "target_modules", message)]
    if not outside:
        return []
    message = f"{len(outside)} modules in the file are not among those that the config targets, for example "
    return [error("module_not_targeted", outside[0], f"{message}{outside[0]!r}. PEFT would not load them.")]


def _idle_targets(config: AdapterConfig, layout: Layout, matcher: PatternMatcher) -> list[Problem]:
    """Names in ``target_modules``, or a whole pattern, that no tensor belongs to."""
    target = config.target_modules
    names = [*layout.modules, *layout.odd]
    if not isinstance(target, tuple) or not names:
        return []
    known = {tail for name in names for tail in tails(name)}
    idle = [name for name in target if name not in known]
    if not idle:
        return []
    shown = ", ".join(idle[:5]) + (f" and {len(idle) - 5} more" if len(idle) > 5 else "")
    message = f"target_modules names {shown} but the file holds no tensors for them."
    return [warning("target_without_tensors", "target_modules", message)]


def _extras(config: AdapterConfig, layout: Layout, matcher: PatternMatcher) -> list[Problem]:
    """Tensors that are no LoRA factors: accounted for by the config, or unknown to PEFT."""
    unknown = []
    variant = any(config.raw.get(key) for key in _WITH_TENSORS)
    for name in layout.extras:
        if variant and ".lora_" in name:
            continue
        if feature := _purpose(name, config):
            layout.carried.add(name)
            layout.add_feature(feature)
        else:
            unknown.append(name)
    if not unknown:
        return []
    layout.add_feature("unknown_tensors")
    message = f"{len(unknown)} tensors belong to nothing that the config names, for example {unknown[0]!r}. "
    return [warning("unknown_tensor", unknown[0], f"{message}PEFT ignores them.")]


def _purpose(name: str, config: AdapterConfig) -> str:
    """The feature that a tensor beside the factors belongs to; empty when there is none."""
    module, _, leaf = name.rpartition(".")
    if config.saves(name):
        return "modules_to_save"
    if leaf == "trainable_tokens_delta":
        return "trainable_tokens"
    if leaf == "bias" and config.bias != "none":
        return "bias"
    if leaf == "weight" and (
        EMBEDDINGS.fullmatch(module.removesuffix(".base_layer")) or module.endswith(".base_layer")
    ):
        return "full_embedding"
    return ""


def _saved_modules(config: AdapterConfig, layout: Layout, matcher: PatternMatcher) -> list[Problem]:
    """Modules that the config saves and the file lacks. Of the names of heads that PEFT adds, a model has one."""
    paths = Paths(layout.extras)
    missing = [target for target in config.modules_to_save if not paths.any_ends_with(target)]
    if any(paths.any_ends_with(head) for head in config.heads):
        missing = [target for target in missing if target not in config.heads]
    message = "modules_to_save names {!r} but the file holds no tensor of it."
    return [warning("saved_module_missing", target, message.format(target)) for target in missing]


def _dora(config: AdapterConfig, layout: Layout, matcher: PatternMatcher) -> list[Problem]:
    with_magnitude = [info.name for info in layout.modules.values() if info.magnitude is not None]
    if config.use_dora:
        bare = [info.name for info in layout.modules.values() if info.magnitude is None]
        if bare:
            message = "use_dora is set but the module has no lora_magnitude_vector."
            return [error("dora_incomplete", bare[0], message)]
    elif with_magnitude:
        message = "The module has a lora_magnitude_vector but use_dora is not set."
        return [error("dora_incomplete", with_magnitude[0], message, 'Set "use_dora": true in the config.')]
    return []


def _alpha_by_version(config: AdapterConfig, layout: Layout, matcher: PatternMatcher) -> list[Problem]:
    """Where PEFT before 0.15, which may have trained the adapter, took another alpha than PEFT takes now."""
    if not config.alpha_pattern or _since(config.peft_version, (0, 15)):
        return []
    defaults = (float(config.rank), config.alpha)
    ranks = {key: float(value) for key, value in config.rank_pattern.items()}
    for info in layout.modules.values():
        try:
            _, then = matcher.lookup_before_0_15(ranks, config.alpha_pattern, info.name, defaults)
            now = matcher.lookup(config.alpha_pattern, info.name, config.alpha)
        except PatternFault:
            return []  # Said where the pattern is first used.
        if then != now:
            message = f"PEFT before 0.15 took alpha {then:g} for this module and since takes {now:g}, which is used."
            return [warning("alpha_by_version", info.name, message)]
    return []


def _since(version: str, first: tuple[int, int]) -> bool:
    found = _VERSION.match(version)
    return found is not None and (int(found[1]), int(found[2])) >= first


def _dtypes(config: AdapterConfig, layout: Layout, matcher: PatternMatcher) -> list[Problem]:
    doubles = [info.name for info in layout.modules.values() if info.dtype == "F64"]
    if not doubles:
        return []
    return [note("float64", doubles[0], "Tensors are stored in 64-bit floats; they are read and rounded to 32 bits.")]


def _uses(config: AdapterConfig, layout: Layout, matcher: PatternMatcher) -> list[Problem]:
    """What the adapter cannot be used for, said at once and not when somebody tries."""
    problems = []
    if reason := why_not_generated(config.task_type, layout.features):
        message = f"It is stored and found, but text cannot be generated with it: {reason}."
        problems.append(note("not_generated_with", _place(config, layout.features), message))
    if reason := why_not_merged(layout.features):
        problems.append(note("not_merged", CONFIG_NAME, f"It cannot be merged with others: {reason}."))
    return problems


def _place(config: AdapterConfig, features: Iterable[str]) -> str:
    return "task_type" if not why_not_generated("", features) else CONFIG_NAME


#: In this order their problems are listed; extras are sorted into features before uses are judged by them.
CHECKS: tuple[Callable[[AdapterConfig, Layout, PatternMatcher], list[Problem]], ...] = (
    _any_factors,
    _targets,
    _idle_targets,
    _extras,
    _saved_modules,
    _dora,
    _alpha_by_version,
    _dtypes,
    _uses,
)
