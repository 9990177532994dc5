"""Marks of adapters of image and video models, in the names of tensors and in kohya's metadata. Free of torch."""

from __future__ import annotations

import re

#: What a tensor's name starts with.
TENSOR_NAME = re.compile(
    r"(lora_unet_|lora_te\d?_|lora_transformer_|lora_prior_|lycoris_|oft_unet_|unet\.|diffusion_model\.|"
    r"text_encoder(_\d)?\.|transformer\.(single_)?transformer_blocks\.|(single_)?transformer_blocks\.|"
    r"(down|up)_blocks\.|mid_block\.|double_blocks\.|single_blocks\.)"
)
#: What keys of ``__metadata__`` start with.
METADATA = "ss_"

_IN_HEADER = re.compile(rb'"(ss_|modelspec\.|' + TENSOR_NAME.pattern.encode().removeprefix(b"("))


def starts_like_one(head: bytes) -> bool:
    """Judged by the first few hundred bytes of a safetensors file, where names or metadata begin."""
    return head[8:9] == b"{" and _IN_HEADER.search(head) is not None
