"""Names of tensors in adapter files: which module, and which part of its LoRA.

PEFT writes ``base_model.model.<module>.lora_A.weight``. In the wild the prefix is missing or doubled, an adapter's name
stands inside (``lora_A.default.weight``), and wrappers of torch.compile or FSDP left their mark.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

PREFIX = "base_model.model."
_WRAPPERS = re.compile(r"(?:(?<=\.)|^)(?:_orig_mod|_fsdp_wrapped_module)\.")

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

#: Marks of image and video LoRAs, which are no adapters of language models.
_IMAGE = re.compile(
    r"^(lora_unet_|lora_te\d?_|lora_transformer_|lycoris_|unet\.|diffusion_model\.|text_encoder(_\d)?\.|"
    r"transformer\.(single_)?transformer_blocks\.)"
)


@dataclass(frozen=True, slots=True)
class Key:
    """``module`` is the name inside the base model; for ``extra`` it is the whole cleaned tensor name."""

    module: str
    part: Part
    prefixes: int  # how often the PEFT prefix stood before the name; 1 is right
    repaired: bool = False  # an adapter's name or a wrapper was taken out


def parse_key(name: str) -> Key:
    cleaned = _WRAPPERS.sub("", name)
    repaired = cleaned != name
    prefixes = 0
    while cleaned.startswith(PREFIX):
        cleaned = cleaned[len(PREFIX) :]
        prefixes += 1
    match = _PART.match(cleaned)
    if match is None:
        return Key(cleaned, "extra", prefixes, repaired)
    part = _PARTS.get((match["kind"], match["leaf"] or ""))
    if part is None:
        return Key(cleaned, "extra", prefixes, repaired)
    return Key(match["module"], part, prefixes, repaired or match["adapter"] is not None)


def is_image_key(name: str) -> bool:
    return _IMAGE.match(name) is not None


def is_foreign_lora_key(name: str) -> bool:
    """Names as other trainers write them (kohya, LyCORIS): the numbers may be fine, the layout is not PEFT's."""
    return name.endswith((".lora_down.weight", ".lora_up.weight", ".hada_w1_a", ".lokr_w1", ".alpha"))
