"""Inspect an adapter: every problem with its place and remedy, its statistics and its signature."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from inference_worker.adapter_format.assembly import build_layout
from inference_worker.adapter_format.config import AdapterConfig, read_config
from inference_worker.adapter_format.faults import Unreadable, error, warning
from inference_worker.adapter_format.header import Header, read_header
from inference_worker.adapter_format.layout import Layout
from inference_worker.adapter_format.names import CONFIG_NAME, WEIGHTS_NAME
from inference_worker.adapter_format.replication import base_name
from inference_worker.adapter_format.values import ValueReader
from inference_worker.contracts.adapter_uses import why_not_generated
from inference_worker.contracts.check_limits import Limits, current_limits
from inference_worker.contracts.common import Problem
from inference_worker.contracts.inspect import AdapterSummary, InspectResult, ModuleStats
from inference_worker.errors import BadInput, EngineError

logger = logging.getLogger(__name__)

BaseShapes = Mapping[str, tuple[int, int]]
#: More findings of one kind than this are summed up in one line.
MAX_REPEATS = 20


@dataclass
class Inspection:
    """What the chain of checks knows so far."""

    config_path: Path
    weights_path: Path
    base_shapes: BaseShapes | None
    limits: Limits
    problems: list[Problem] = field(default_factory=list)
    raw: dict[str, Any] = field(default_factory=dict)
    config: AdapterConfig | None = None
    header: Header | None = None
    layout: Layout | None = None
    modules: list[ModuleStats] = field(default_factory=list)
    signature: tuple[float, ...] = ()

    @property
    def failed(self) -> bool:
        return any(problem.severity == "error" for problem in self.problems)


def inspect_adapter(
    config_path: str | Path,
    weights_path: str | Path,
    base_shapes: BaseShapes | None = None,
    *,
    limits: Limits | None = None,
) -> InspectResult:
    """Check and measure an adapter. Faults of the files are listed in the result and never raised.

    ``base_shapes`` maps the base's modules to (d_out, d_in); without it names and shapes are only checked against the
    config. Reads one module at a time. A check that crashes means that the adapter is not accepted.
    """
    state = Inspection(Path(config_path), Path(weights_path), base_shapes, limits or current_limits())
    for step in (_read_config, _read_header, _read_layout, _compare_with_base, _read_values):
        try:
            step(state)
        except Unreadable as fault:
            state.problems.append(fault.problem)
        except FileNotFoundError as fault:
            place = CONFIG_NAME if fault.filename == str(state.config_path) else WEIGHTS_NAME
            state.problems.append(error("missing_file", place, f"There is no {place}.", "Upload both files."))
        except BadInput as fault:
            state.problems.append(error(fault.code, WEIGHTS_NAME, fault.message))
        except EngineError:
            raise  # The job was cancelled or met a limit, which says nothing about the file.
        except Exception as fault:  # A crash must reject the upload, not pass it.
            logger.exception("inspection step %s crashed on %s", step.__name__, state.weights_path)
            message = f"A check could not finish ({type(fault).__name__}), so the adapter is not accepted."
            remedy = "Report this with the adapter's name; it is a fault of this site."
            state.problems.append(error("check_crashed", step.__name__.strip("_"), message, remedy))
    valid = not state.failed
    return InspectResult(
        valid=valid,
        problems=tuple(_condense(state.problems)),
        summary=_summary(state),
        modules=tuple(state.modules) if valid else (),
        signature=state.signature if valid else (),
    )


def _read_config(state: Inspection) -> None:
    state.config, state.raw, problems = read_config(state.config_path, state.limits)
    state.problems.extend(problems)


def _read_header(state: Inspection) -> None:
    state.header = read_header(state.weights_path, state.limits)


def _read_layout(state: Inspection) -> None:
    if state.config is not None and state.header is not None:
        state.layout = build_layout(state.config, state.header, state.limits)
        state.problems.extend(state.layout.problems)


def _compare_with_base(state: Inspection) -> None:
    """Names and shapes of all modules against the base's own."""
    if state.layout is None or state.base_shapes is None:
        return
    for info in state.layout.modules.values():
        expected = state.base_shapes.get(base_name(info.name, state.raw.get("layer_replication")))
        found = (info.d_out, info.d_in)
        if expected is None:
            if info.kind == "linear":
                message = "The base has no module of this name."
                remedy = "Check that the right base is chosen; the adapter may belong to another model."
                state.problems.append(error("module_not_in_base", info.name, message, remedy))
        elif tuple(expected) not in ({found, found[::-1]} if info.kind == "embedding" else {found}):
            message = f"The adapter expects a layer of {found[1]} inputs and {found[0]} outputs; the base's has "
            message += f"{expected[1]} and {expected[0]}."
            remedy = "Choose the base that the adapter was trained on."
            state.problems.append(error("shape_mismatch", info.name, message, remedy))
    state.problems.extend(_compare_saved(state.layout, state.base_shapes))


def _compare_saved(layout: Layout, base_shapes: BaseShapes) -> Iterator[Problem]:
    """Whole weights beside the factors. A vocabulary may have grown by new tokens; everything else is the base's."""
    for name, entry in layout.extras.items():
        expected = base_shapes.get(name.removesuffix(".weight"))
        if expected is None or not name.endswith(".weight"):
            continue
        grown = len(entry.shape) == 2 and entry.shape[1] == expected[1]
        if not grown and entry.shape != tuple(expected)[::-1]:
            message = f"The saved weight has shape {list(entry.shape)}; the base's layer has {expected[1]} inputs and "
            message += f"{expected[0]} outputs."
            yield error("shape_mismatch", name, message, "Choose the base that the adapter was trained on.")


def _read_values(state: Inspection) -> None:
    """Stream every tensor once: finite values, norms, effective ranks, signature."""
    if state.layout is None or state.header is None or state.failed:
        return
    reader = ValueReader(state.weights_path, state.limits)
    reader.read(state.header, state.layout)
    state.problems.extend(reader.problems)
    state.modules, state.signature = reader.modules, reader.signature
    _check_effect(state)


def _check_effect(state: Inspection) -> None:
    silent = [module.name for module in state.modules if module.norm == 0.0]
    if not silent or state.failed:
        return
    extras = state.layout is not None and bool(state.layout.extras)
    if len(silent) == len(state.modules) and not extras:
        message = "Every B·A is zero: with this adapter the base answers as without it."
        remedy = "The adapter is probably untrained, or saved before training. Upload the trained one."
        state.problems.append(warning("no_effect", "lora_B", message, remedy))
    else:
        message = f"{len(silent)} of {len(state.modules)} modules have B·A = 0, for example {silent[0]!r}."
        remedy = "Nothing to do if they were left untrained on purpose."
        state.problems.append(warning("modules_without_effect", silent[0], message, remedy))


def _condense(problems: list[Problem]) -> list[Problem]:
    """Keep at most ``MAX_REPEATS`` findings of one code, and say how many more there were."""
    counts = Counter(problem.code for problem in problems)
    shown: Counter[str] = Counter()
    result = []
    for problem in problems:
        shown[problem.code] += 1
        if shown[problem.code] <= MAX_REPEATS:
            result.append(problem)
        elif shown[problem.code] == MAX_REPEATS + 1:
            more = counts[problem.code] - MAX_REPEATS
            message = f"The same was found in {more} more places."
            result.append(problem.model_copy(update={"place": "", "message": message}))
    return result


def _summary(state: Inspection) -> AdapterSummary:
    modules = list(state.layout.modules.values()) if state.layout else []
    config = state.config
    target = config.target_modules if config else None
    layers = {part for info in modules for part in info.name.split(".") if part.isdecimal()}
    tensors = list(state.header.tensors.values()) if state.header else []
    sizes: Counter[str] = Counter()
    for entry in tensors:
        sizes[entry.dtype] += entry.nbytes
    name = state.raw.get("base_model_name_or_path")
    features = tuple(state.layout.features) if state.layout else ()
    reason = why_not_generated(config.task_type if config else "", features)
    return AdapterSummary(
        peft_type=str(state.raw.get("peft_type") or "")[:60],
        task_type=config.task_type if config else "",
        base_model_name=name[:1000] if isinstance(name, str) else "",
        peft_version=config.peft_version if config else "",
        rank=config.rank if config else 0,
        ranks=tuple(sorted({info.rank for info in modules})),
        alpha=config.alpha if config else 0.0,
        target_modules=(target,) if isinstance(target, str) else target or (),
        layers=len(layers),
        parameters=sum(entry.count for entry in tensors),
        dtype=sizes.most_common(1)[0][0] if sizes else "",
        size=state.header.size if state.header else 0,
        features=features,
        generates=not reason,
        generates_not=reason,
        config=state.raw if config else {},
    )
