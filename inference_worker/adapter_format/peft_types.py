"""PEFT's types of adapters other than LoRA, and why each is refused: none of them is Δ = B·A per module.

The names are those of peft.utils.PeftType up to 0.21, with those that earlier versions had.
"""

from __future__ import annotations

from inference_worker.adapter_format.faults import error
from inference_worker.contracts.common import Problem

ACCEPTED = "LORA"

#: Type -> what it learns instead of B·A, as the end of a sentence.
REASONS = {
    # Prompts: nothing of the weights changes.
    "PROMPT_TUNING": "it learns virtual tokens before the prompt and changes no weight",
    "MULTITASK_PROMPT_TUNING": "it learns virtual tokens shared by several tasks and changes no weight",
    "P_TUNING": "it learns an encoder of virtual tokens and changes no weight",
    "PREFIX_TUNING": "it learns keys and values before every layer's own and changes no weight",
    "CARTRIDGE": "it learns a key-value cache and changes no weight",
    "CPT": "it learns the embeddings of a context before the prompt and changes no weight",
    "ADAPTION_PROMPT": "it learns prompts inside the attention layers and gates for them",
    # Factors, but not two of them.
    "ADALORA": "its update is P·Λ·Q with pruned singular values, and its ranks differ from its config's",
    "LOHA": "its update is a Hadamard product of two low-rank products, whose rank is up to r²",
    "LOKR": "its update is a Kronecker product, which has no small factors",
    "VERA": "its factors are random matrices that the file may not hold, scaled by learned vectors",
    "PVERA": "its factors are random matrices scaled by vectors that are drawn anew",
    "VBLORA": "its factors are put together from a bank of vectors",
    "UNILORA": "its factors are a projection of one vector",
    "TINYLORA": "its update is a handful of numbers projected by the base's singular vectors",
    "RANDLORA": "its update is a sum of random matrices with learned scales, of full rank",
    "GLORA": "it scales the base's weights and biases beside adding to them",
    "GRALORA": "its factors work on blocks of the input and are shuffled between them",
    "LILY": "its factors are shared between layers and mixed by a router",
    "DELORA": "its update is normalised by the norms of its factors",
    "HIRA": "its update multiplies the base's weight element by element with B·A",
    "PSOFT": "it rotates inside a subspace of the base's own weight",
    "FROD": "it learns sparse rotations of a basis shared between layers",
    "ADAMSS": "it learns updates in clustered subspaces of the base's own weight",
    "XLORA": "it is a mixture of several LoRA adapters with a router of its own",
    "POLY": "it is a routed mixture of skills, several factors per module",
    # Whole weights, spectra, scales, rotations.
    "IA3": "it learns scales of activations, which are no sum on the weights",
    "BEFT": "it learns biases only",
    "LN_TUNING": "it learns layer norms only",
    "OFT": "it multiplies the base's weight by an orthogonal matrix",
    "BOFT": "it multiplies the base's weight by butterfly orthogonal matrices",
    "HRA": "it multiplies the base's weight by Householder reflections",
    "ROAD": "it rotates pairs of activations",
    "FOURIERFT": "it learns a sparse spectrum of the update, of full rank",
    "WAVEFT": "it learns sparse wavelet coefficients of the update, of full rank",
    "C3A": "it learns circular convolutions, of full rank",
    "SHIRA": "it learns single sparse weights, of full rank",
    "BONE": "it adds one matrix to blocks of the weight; PEFT itself no longer loads Bone",
    "MISS": "it adds one matrix to shards of the weight",
    "OSF": "it trains the base's own weight inside a subspace",
    "DEFT": "it projects parts of the base's own weight away",
    "TRAINABLE_TOKENS": "it learns embeddings of single tokens only",
    "PEANUT": "it learns a small network of the base's weights",
    "SHADOW": "it runs a small network beside the base",
    "SUPERTUNING": "it trains a sparse choice of the base's own weights",
}

#: Types whose layers PEFT can approximate by LoRA (``peft.save_as_lora``).
CONVERTIBLE = frozenset(
    {"C3A", "DELORA", "FOURIERFT", "GRALORA", "HIRA", "LOHA", "LOKR", "MISS"}
    | {"PSOFT", "RANDLORA", "SHIRA", "TINYLORA", "UNILORA", "VBLORA", "VERA", "WAVEFT"}
)
_PROMPTS = frozenset(
    {"PROMPT_TUNING", "MULTITASK_PROMPT_TUNING", "P_TUNING", "PREFIX_TUNING", "CARTRIDGE", "CPT", "ADAPTION_PROMPT"}
)


def check_type(kind: object) -> list[Problem]:
    """The problem with a ``peft_type`` other than LORA."""
    if kind == ACCEPTED:
        return []
    if kind is None:
        return [error("peft_type_missing", "peft_type", "The config names no peft_type.")]
    reason = REASONS.get(kind) if isinstance(kind, str) else None
    shown = str(kind)[:60]
    message = f"The adapter is of type {shown}; LoRA adapters (peft_type LORA) are accepted."
    if reason is None:
        remedy = 'Write "peft_type": "LORA".' if shown.upper() == ACCEPTED else "Train a LoRA adapter instead."
        return [error("peft_type_refused", "peft_type", message, remedy)]
    return [error("peft_type_refused", "peft_type", f"{message} {shown} is refused because {reason}.", _remedy(shown))]


def _remedy(kind: str) -> str:
    if kind in CONVERTIBLE:
        return "Load it with PEFT 0.19 or newer and write it as LoRA: peft.save_as_lora(folder, model, rank=16)."
    if kind in _PROMPTS:
        return "There is no conversion; train a LoRA adapter on the same data."
    return "PEFT has no conversion to LoRA for it; train a LoRA adapter on the same data."
