"""Names of tensors in adapter files: which module, and which part of its LoRA.

PEFT writes ``base_model.model.<module>.lora_A.weight``. In the wild the prefix is missing or doubled, an adapter's name
stands inside (``lora_A.default.weight``), and wrappers of torch.compile, FSDP or DDP left their mark.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from inference_worker.contracts.image_adapters import TENSOR_NAME

PREFIX = "base_model.model."
_WRAPPERS = re.compile(r"(?:(?<=\.)|^)(?:_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")
#: DistributedDataParallel, around PEFT's own prefix.
_PARALLEL = re.compile(r"(?:module\.)+(?=base_model\.)")
#: Early PEFT kept the wrapper of modules_to_save in names, with or without the adapter's name.
_SAVED = re.compile(r"\.modules_to_save\.(?:default\.)?")

Part = Literal["A", "B", "embedding_A", "embedding_B", "bias", "magnitude", "extra"]

_PART = re.compile(
    r"(?P<module>.+)\."
    r"(?P<kind>lora_A|lora_B|lora_embedding_A|lora_embedding_B|lora_magnitude_vector)"
    r"(?:\.(?P<adapter>(?!weight$|bias$)[^.]+))?"
    r"(?P<leaf>\.weight|\.bias)?\Z"
)
_PARTS: dict[tuple[str, str], Part] = {
    ("lora_A", ".weight"): "A",
    ("lora_B", ".weight"): "B",
    ("lora_B", ".bias"): "bias",
    ("lora_embedding_A", ""): "embedding_A",
    ("lora_embedding_B", ""): "embedding_B",
    ("lora_magnitude_vector", ""): "magnitude",
    ("lora_magnitude_vector", ".weight"): "magnitude",
}

_FOREIGN = (
    *(".lora_down.weight", ".lora_up.weight", ".lora.down.weight", ".lora.up.weight", "_lora.down.weight", ".alpha"),
    *(".hada_w1_a", ".hada_w1_b", ".lokr_w1", ".lokr_w2", ".oft_blocks", ".oft_diag", ".dora_scale", ".diff"),
    *(".lora_a", ".lora_b", ".lora_A", ".lora_B", ".linear_in.weight", ".linear_out.weight"),
)


@dataclass(frozen=True, slots=True)
class Key:
    """``module`` is the name inside the base model; for ``extra`` it is the whole cleaned tensor name."""

    module: str
    part: Part
    prefixes: int  # how often the PEFT prefix stood before the name; 1 is right
    repaired: bool = False  # an adapter's name or a wrapper was taken out
    copy: bool = False  # stands below PEFT's wrapper of modules_to_save, where early versions kept the trained module


def parse_key(name: str) -> Key:
    bare = _PARALLEL.sub("", _WRAPPERS.sub("", name))
    cleaned = _SAVED.sub(".", bare)
    repaired, copy = cleaned != name, cleaned != bare
    prefixes = 0
    while cleaned.startswith(PREFIX):
        cleaned = cleaned[len(PREFIX) :]
        prefixes += 1
    match = _PART.match(cleaned)
    if match is None:
        return Key(cleaned, "extra", prefixes, repaired, copy)
    part = _PARTS.get((match["kind"], match["leaf"] or ""))
    if part is None:
        return Key(cleaned, "extra", prefixes, repaired, copy)
    return Key(match["module"], part, prefixes, repaired or match["adapter"] is not None)


def is_image_key(name: str) -> bool:
    return TENSOR_NAME.match(name.removeprefix(PREFIX)) is not None


def is_foreign_lora_key(name: str) -> bool:
    """Names as other tools write them (kohya, LyCORIS, loralib, MLX, NeMo): the numbers may be fine, the layout is not
    PEFT's."""
    return name.endswith(_FOREIGN)
