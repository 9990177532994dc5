"""Write canonical PEFT adapters: alpha = r, rank-stabilised scaling off, patterns only where ranks differ.

The file grows module by module. Room for the header is reserved from the largest shapes and filled at the end, so a
module may turn out with a smaller rank than planned without being held in memory.
"""

from __future__ import annotations

import json
import re
import struct
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from torch import Tensor

from inference_worker.adapter_format.finite import is_finite, nonfinite_values
from inference_worker.adapter_format.header import TensorEntry
from inference_worker.adapter_format.keys import PREFIX
from inference_worker.adapter_format.layout import ModuleKind, natural_order
from inference_worker.adapter_format.names import CONFIG_NAME, WEIGHTS_NAME
from inference_worker.adapter_format.new_file import NewFile, publish_together
from inference_worker.adapter_format.patterns import PatternMatcher
from inference_worker.adapter_format.reader import Factors
from inference_worker.adapter_format.stream import TORCH_DTYPES, TensorFile
from inference_worker.errors import Refused

DTYPE_NAMES = {dtype: name for name, dtype in TORCH_DTYPES.items()}
#: What people write for a type -> torch's.
DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


@dataclass(frozen=True)
class ModulePlan:
    """A module to be written: its largest rank, and whether a lora_bias or a DoRA magnitude goes with it."""

    name: str
    rank: int
    d_in: int
    d_out: int
    kind: ModuleKind = "linear"
    bias: bool = False
    magnitude: bool = False


def tensor_name(module: str, part: str, kind: ModuleKind = "linear") -> str:
    """PEFT's name of one part (``A``, ``B``, ``bias``, ``magnitude``) of a module."""
    if part == "magnitude":
        return f"{PREFIX}{module}.lora_magnitude_vector"
    if part == "bias":
        return f"{PREFIX}{module}.lora_B.bias"
    if kind == "embedding":
        return f"{PREFIX}{module}.lora_embedding_{part}"
    return f"{PREFIX}{module}.lora_{part}.weight"


class AdapterWriter:
    """Writes ``adapter_model.safetensors`` and ``adapter_config.json`` into a directory, atomically.

    Modules arrive in any order through ``add``; ``finish`` writes the config, fills the header and puts both files in
    place. Nothing stays of what was written before, whether the context is left without ``finish`` or the process is
    killed: a directory that is new comes into being with the first name in it.
    """

    def __init__(
        self,
        directory: Path,
        plans: Sequence[ModulePlan],
        dtype: torch.dtype,
        extras: Mapping[str, tuple[int, ...]] | None = None,
    ) -> None:
        self._directory = directory
        self._plans = {plan.name: plan for plan in plans}
        self._dtype = dtype
        self._entries: dict[str, dict[str, Any]] = {}
        self._ranks: dict[str, int] = {}
        self._position = 0
        self._reserved = self._header_bound(extras or {})
        self._new = NewFile(directory)
        self._file = self._new.file
        self._file.seek(8 + self._reserved)

    def __enter__(self) -> AdapterWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._new.__exit__(kind, value, trace)

    def add(self, name: str, factors: Factors, bias: Tensor | None = None, magnitude: Tensor | None = None) -> None:
        """Append one module: A (r, d_in) and B (d_out, r) with Δ = B·A, r at most the planned rank.

        Raises ``Refused`` if a value does not fit the output's type.
        """
        plan = self._plans[name]
        rank = factors.A.shape[0]
        expected = ((rank, plan.d_in), (plan.d_out, rank))
        if (tuple(factors.A.shape), tuple(factors.B.shape)) != expected or not 1 <= rank <= plan.rank:
            raise ValueError(f"{name}: shapes {tuple(factors.A.shape)}, {tuple(factors.B.shape)} do not fit {plan}")
        self._append(tensor_name(name, "A", plan.kind), self.cast(name, factors.A))
        self._append(tensor_name(name, "B", plan.kind), self.cast(name, factors.B))
        if bias is not None:
            self._append(tensor_name(name, "bias"), self.cast(name, bias))
        if magnitude is not None:
            self._append(tensor_name(name, "magnitude"), self.cast(name, magnitude))
        self._ranks[name] = rank

    def copy_extra(self, name: str, file: TensorFile, entry: TensorEntry, label: str = "") -> None:
        """Append a tensor beside the LoRA factors byte for byte, in pieces: an embedding may be larger than all else.

        ``name`` is its name inside the base model. Raises ``BadInput`` naming it, and the adapter ``label`` that it is
        from, for values that are not finite.
        """
        self._place(PREFIX + name, entry.dtype, entry.shape, entry.nbytes)
        kind = TORCH_DTYPES.get(entry.dtype)
        for piece in file.pieces(entry):
            if kind is not None and not is_finite(piece.view(kind)):
                raise nonfinite_values(label, name)
            self._write(piece.numpy().data)

    def finish(self, settings: Mapping[str, Any], notes: Mapping[str, bytes] | None = None) -> dict[str, Any]:
        """Write the config made of ``settings`` and the ranks, and put both files in place, with ``notes`` about them
        (names and bytes of further files). Returns the config."""
        missing = sorted(set(self._plans) - set(self._ranks))
        if missing:
            raise ValueError(f"modules never written: {missing[:3]}")
        config = canonical_config(self._ranks, settings)
        check_patterns(config, self._ranks)
        return self.finish_with(config, notes)

    def finish_with(self, config: dict[str, Any], notes: Mapping[str, bytes] | None = None) -> dict[str, Any]:
        """Write ``config`` as it is, fill the header and put both files in place, as ``finish`` does."""
        header = {"__metadata__": {"format": "pt"}, **self._entries}
        encoded = json.dumps(header, separators=(",", ":")).encode()
        if len(encoded) > self._reserved:
            raise ValueError(f"the header needs {len(encoded)} bytes, {self._reserved} were reserved")
        self._file.seek(0)
        self._write(struct.pack("<Q", self._reserved) + encoded.ljust(self._reserved))
        with ExitStack() as stack:
            small = {name: stack.enter_context(NewFile(self._directory)) for name in (CONFIG_NAME, *(notes or {}))}
            for name, data in {CONFIG_NAME: to_json(config), **(notes or {})}.items():
                small[name].write(data)
            content = {CONFIG_NAME: small.pop(CONFIG_NAME), WEIGHTS_NAME: self._new}
            publish_together(self._directory, content, small)
        return config

    def cast(self, name: str, tensor: Tensor) -> Tensor:
        """``tensor`` of module ``name`` as it is written; threads that make results may call this, as waiting ones are
        smaller so. Raises ``Refused`` if a value does not fit the output's type."""
        result = tensor.to(self._dtype).contiguous()
        if not is_finite(result):
            raise _overflow(name, tensor, self._dtype)
        return result

    def _append(self, name: str, tensor: Tensor) -> None:
        self._place(name, DTYPE_NAMES[tensor.dtype], tensor.shape, tensor.nbytes)
        self._write(tensor.view(-1).view(torch.uint8).numpy().data)

    def _place(self, name: str, dtype: str, shape: Sequence[int], size: int) -> None:
        """Enter a tensor of ``size`` bytes into the header, at the end of what is written."""
        end = self._position + size
        self._entries[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [self._position, end]}
        self._position = end

    def _write(self, data: bytes | memoryview) -> None:
        view = memoryview(data)
        while view:
            view = view[self._file.write(view) :]

    def _header_bound(self, extras: Mapping[str, tuple[int, ...]]) -> int:
        """Bytes that no header of these plans exceeds, a multiple of 8 so that the data stays aligned."""
        entries = 64
        for plan in self._plans.values():
            shapes: dict[str, tuple[int, ...]] = {"A": (plan.rank, plan.d_in), "B": (plan.d_out, plan.rank)}
            shapes |= {"bias": (plan.d_out,)} if plan.bias else {}
            shapes |= {"magnitude": (plan.d_out,)} if plan.magnitude else {}
            for part, shape in shapes.items():
                entries += _entry_bound(tensor_name(plan.name, part, plan.kind), shape)
        entries += sum(_entry_bound(PREFIX + name, shape) for name, shape in extras.items())
        return (entries + 7) // 8 * 8


def _overflow(name: str, tensor: Tensor, dtype: torch.dtype) -> Refused:
    """Why ``tensor``, of module ``name``, cannot be written as ``dtype``, and what can be done."""
    if not is_finite(tensor):
        advice = "the merged values themselves overflow; use smaller weights, and look at the adapters' own values"
    elif dtype == torch.float16:
        advice = "write bfloat16 or float32 instead"
    else:
        advice = "write float32 instead, or use smaller weights"
    words = f"{name}: values beyond {str(dtype).removeprefix('torch.')}'s range; {advice}"
    return Refused(words, code="dtype_overflow", extra={"module": name})


def _entry_bound(name: str, shape: Iterable[int]) -> int:
    # Two offsets of at most 13 digits each.
    return len(json.dumps({name: {"dtype": "BF16", "shape": list(shape), "data_offsets": [0, 0]}})) + 26


def canonical_config(ranks: Mapping[str, int], settings: Mapping[str, Any]) -> dict[str, Any]:
    """A PEFT config in which every module's scale is 1 (alpha = r), made of ``settings`` and the modules' ranks.

    ``r`` is the commonest rank; other ranks stand in ``rank_pattern`` and ``alpha_pattern`` under full module names.
    """
    counts = Counter(ranks.values())
    rank = max(counts, key=lambda value: (counts[value], value))
    tails = {tail for name in ranks for tail in _proper_tails(name)}
    patterns = {_pattern(name, tails): value for name, value in ranks.items() if value != rank}
    config: dict[str, Any] = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": None,
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
        "init_lora_weights": True,
        "lora_dropout": 0.0,
        "modules_to_save": None,
        "use_dora": False,
        "target_modules": sorted(ranks, key=natural_order),
        **settings,
        "r": rank,
        "lora_alpha": rank,
        "use_rslora": False,
        "rank_pattern": patterns,
        "alpha_pattern": dict(patterns),
    }
    return dict(sorted(config.items()))


def _proper_tails(name: str) -> Iterator[str]:
    """``b.c`` and ``c`` for ``a.b.c``."""
    while "." in name:
        name = name.partition(".")[2]
        yield name


def _pattern(name: str, tails: Container[str]) -> str:
    """The plain name, which other tools read too, unless PEFT would match it against another module as well."""
    return "^" + re.escape(name) if name in tails else name


def check_patterns(config: Mapping[str, Any], ranks: Mapping[str, int]) -> None:
    """Assert that PEFT's rules give every module its rank and scale 1. Raises ``ValueError`` naming the module."""
    matcher = PatternMatcher()
    for name, rank in ranks.items():
        if matcher.lookup(config["rank_pattern"], name, config["r"]) != rank:
            raise ValueError(f"{name} would be reloaded with another rank than {rank}")
        if matcher.lookup(config["alpha_pattern"], name, config["lora_alpha"]) != rank:
            raise ValueError(f"{name} would be reloaded with another scale than 1")


def write_adapter(
    directory: str | Path,
    modules: Mapping[str, Factors],
    *,
    base_model_name: str = "",
    dtype: str = "float32",
    settings: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Write canonical factors (module name -> A (r, d_in), B (d_out, r), Δ = B·A) as a PEFT adapter.

    ``settings`` are further keys of the config (``target_modules``, ``task_type``, …). Returns the written config.
    """
    plans = [
        ModulePlan(name, rank=pair.A.shape[0], d_in=pair.A.shape[1], d_out=pair.B.shape[0])
        for name, pair in modules.items()
    ]
    with AdapterWriter(Path(directory), plans, DTYPES[dtype]) as writer:
        for name in sorted(modules, key=natural_order):
            writer.add(name, modules[name])
        return writer.finish({"base_model_name_or_path": base_model_name or None, **(settings or {})})


def to_json(value: Any) -> bytes:
    """Deterministic, readable JSON."""
    return (json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()
