"""What an adapter does to each tensor of its base, decided from names and shapes before a byte is read.

The result computes what PEFT's model with the adapter computes. Where the base shares input and output embeddings and
the adapter changes only one of the two, PEFT leaves the other as it is, so the export unties them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from inference_worker.adapter_format.header import TensorEntry
from inference_worker.adapter_format.layout import ModuleInfo
from inference_worker.adapter_format.reader import AdapterReader
from inference_worker.contracts.export import FORMATS, foreign_features
from inference_worker.errors import BadInput, Refused

_TOKENS = "trainable_tokens_delta"


@dataclass(frozen=True)
class Patch:
    """The changes of one tensor, in the order in which they are made: replaced as a whole, rows replaced, Δ added.

    ``transposed``: the tensor is stored as (d_in, d_out), as Conv1D and embeddings are. ``added`` is a module whose
    lora_bias goes onto this tensor.
    """

    whole: TensorEntry | None = None
    rows: tuple[tuple[int, ...], TensorEntry] | None = None
    delta: ModuleInfo | None = None
    transposed: bool = False
    added: ModuleInfo | None = None


@dataclass(frozen=True)
class Plan:
    """Parameter of the model → its patch. ``untied`` when the shared embeddings become two tensors; ``tied`` are the
    names of the two (input, output) where the base shares them."""

    patches: Mapping[str, Patch]
    tied: tuple[str, str] | None
    untied: bool


def plan_patches(reader: AdapterReader, model: PreTrainedModel) -> Plan:
    """The plan of ``reader`` on ``model`` (shapes are enough: meta device).

    Raises ``Refused`` by the feature's name, and ``BadInput`` where the adapter does not fit.
    """
    refuse_features(reader, "merged")
    shapes = {name: tuple(parameter.shape) for name, parameter in model.state_dict().items()}
    patches: dict[str, Patch] = {}
    for name, info in reader.modules.items():
        _add_module(reader, model, name, info, shapes, patches)
    followed = _add_extras(reader, shapes, patches)
    tied = tied_names(model)
    if tied is None:
        return Plan(patches, None, False)
    _follow(patches, tied, followed)
    if reader.raw_config.get("ensure_weight_tying") and tied[0] in patches:
        patches[tied[1]] = patches[tied[0]]
    ours = patches.get(tied[0]), patches.get(tied[1])
    return Plan(patches, tied, ours[0] != ours[1])


def refuse_features(reader: AdapterReader, export_format: str) -> None:
    """Raise ``Refused`` naming what the format cannot hold."""
    foreign = foreign_features(export_format, reader.features)
    if foreign:
        raise Refused(
            f"{reader.label} cannot become a {FORMATS[export_format][0]}: it uses {', '.join(foreign)}.",
            code="export_refused",
            extra={"adapter": reader.label, "features": foreign},
        )


def tied_names(model: PreTrainedModel) -> tuple[str, str] | None:
    """Names of the input and output embedding's weights when they are one tensor."""
    given, taken = model.get_input_embeddings(), model.get_output_embeddings()
    if given is None or taken is None or not model.config.get_text_config(decoder=True).tie_word_embeddings:
        return None
    names = {id(module): name for name, module in model.named_modules()}
    return f"{names[id(given)]}.weight", f"{names[id(taken)]}.weight"


def _add_module(
    reader: AdapterReader,
    model: PreTrainedModel,
    name: str,
    info: ModuleInfo,
    shapes: Mapping[str, tuple[int, ...]],
    patches: dict[str, Patch],
) -> None:
    weight = f"{name}.weight"
    if weight not in shapes:
        raise _misfit(reader, f"{name} is not among its modules")
    module = model.get_submodule(name)
    if not isinstance(module, nn.Linear | nn.Embedding | Conv1D):
        raise Refused(
            f"{reader.label} adapts {name}, a {type(module).__name__}, which is not merged into a model here.",
            code="export_refused",
        )
    transposed = not isinstance(module, nn.Linear)
    expected = (info.d_in, info.d_out) if transposed else (info.d_out, info.d_in)
    if shapes[weight] != expected:
        raise _misfit(reader, f"{name} is {shapes[weight]} in the base and {expected} in the adapter")
    patches[weight] = Patch(delta=info, transposed=transposed)
    if info.bias is not None:
        bias = f"{name}.bias"
        if bias not in shapes:
            raise Refused(
                f"{reader.label} adds a bias to {name} (lora_bias), and the base has none there to add it to.",
                code="export_refused",
            )
        patches[bias] = Patch(added=info)


def _add_extras(reader: AdapterReader, shapes: Mapping[str, tuple[int, ...]], patches: dict[str, Patch]) -> set[str]:
    """Whole tensors and rows that the adapter brings; the names at which PEFT changes the base's own shared tensor, so
    that the tied one changes along."""
    followed: set[str] = set()
    for name, entry in reader.extras.items():
        if name not in reader.carried:
            continue
        target = name.replace(".base_layer.", ".")
        if target.endswith(_TOKENS):
            target = target.removesuffix(_TOKENS).rstrip(".").removesuffix(".token_adapter") + ".weight"
            patch = Patch(rows=(_indices(reader, target), entry))
            followed.add(target)
        else:
            patch = Patch(whole=entry)
            if not reader.config.saves(name):
                followed.add(target)
        if target not in shapes:
            raise _misfit(reader, f"{target.removesuffix('.weight')} is not among its modules")
        if patch.whole is not None and entry.shape != shapes[target]:
            _refuse_resized(reader, target, entry, shapes[target])
        before = patches.get(target, Patch())
        patches[target] = replace(before, whole=patch.whole or before.whole, rows=patch.rows or before.rows)
    return followed


def _indices(reader: AdapterReader, target: str) -> tuple[int, ...]:
    """Which rows ``trainable_token_indices`` names: a list for the input embedding, or one per module."""
    named = reader.raw_config.get("trainable_token_indices") or []
    if isinstance(named, dict):
        module = target.removesuffix(".weight")
        named = next((rows for key, rows in named.items() if f".{module}".endswith(f".{key}")), [])
    return tuple(int(row) for row in named)


def _follow(patches: dict[str, Patch], tied: tuple[str, str], followed: set[str]) -> None:
    """What PEFT writes into the base's own shared tensor reaches both of its users; Δ stays with the one it is for."""
    for one, other in (tied, tied[::-1]):
        if one in followed:
            mine, theirs = patches[one], patches.get(other, Patch())
            patches[other] = replace(theirs, whole=theirs.whole or mine.whole, rows=theirs.rows or mine.rows)


def _refuse_resized(reader: AdapterReader, target: str, entry: TensorEntry, shape: tuple[int, ...]) -> None:
    if entry.shape[1:] == shape[1:]:
        raise Refused(
            f"{reader.label} was trained with another vocabulary: {target} has {entry.shape[0]:,} rows where the base "
            f"has {shape[0]:,}. Its tokenizer is not kept here, so the model would not know its words.",
            code="export_vocabulary",
        )
    raise _misfit(reader, f"{target} is {shape} in the base and {entry.shape} in the adapter")


def _misfit(reader: AdapterReader, why: str) -> BadInput:
    return BadInput(f"The adapter {reader.label} does not fit this base: {why}.", code="wrong_base")
