"""What an adapter can be used for, by its task and the features that its inspection reports. Free of torch.

The worker refuses by these tables before it loads or merges anything; the marketplace says the same before there is a
request, and the inspection says it when the adapter is uploaded. Merging has tables of its own: ``merge_limits``.
"""

from __future__ import annotations

from collections.abc import Iterable

from inference_worker.contracts.merge_limits import ALONE, NEVER

#: Tasks whose adapters write no text, with the reason as the end of a sentence. An empty task may be any.
TASKS_WITHOUT_TEXT = {
    "SEQ_CLS": "it classifies whole texts (task SEQ_CLS): its output is a label, not text",
    "TOKEN_CLS": "it labels single tokens (task TOKEN_CLS): its output is labels, not text",
    "QUESTION_ANS": "it marks answers inside a given text (task QUESTION_ANS) and writes none",
    "FEATURE_EXTRACTION": "it makes embeddings (task FEATURE_EXTRACTION), not text",
    "SEQ_2_SEQ_LM": "it belongs to a model with an encoder and a decoder (task SEQ_2_SEQ_LM); the engine runs "
    "decoder-only models",
}

#: Features with which the engine answers: they change how factors are read, not what the base computes. An embedding
#: matrix beside the factors is compared with the base's own when the adapter is loaded.
SERVED = frozenset({"dora", "rslora", "rank_pattern", "alpha_pattern", "unknown_tensors", "full_embedding"})

#: Why the engine does not answer with an adapter of the feature; other features are named as they are.
NOT_SERVED = {
    "modules_to_save": "it brings whole modules of its own (modules_to_save)",
    "trainable_tokens": "it changes embeddings of single tokens (trainable_token_indices)",
    "full_embedding": "it brings an embedding matrix of its own, as with added tokens",
    "embedding": "it adapts an embedding layer",
    "bias": "it changes the base's biases",
    "lora_bias": "its factors have biases (lora_bias)",
    "conv": NEVER["conv"],
    "mutated_base": "its initialisation changes the base's own weights (PiSSA and kin)",
    "qalora": NEVER["qalora"],
    "bdlora": NEVER["bdlora"],
    "kasa": NEVER["kasa"],
    "monteclora": NEVER["monteclora"],
    "arrow": NEVER["arrow"],
    "megatron": NEVER["megatron"],
    "target_parameters": NEVER["target_parameters"],
    "activated_lora": "it acts only after its invocation tokens (activated LoRA)",
    "layer_replication": "it replicates layers of the base",
    "tied": "it ties adapters of several layers together (ensure_weight_tying)",
}


def why_not_generated(task_type: str, features: Iterable[str]) -> str:
    """Why no text can be generated with such an adapter, as the end of a sentence; empty when it can."""
    reasons = [TASKS_WITHOUT_TEXT[task_type]] if task_type in TASKS_WITHOUT_TEXT else []
    reasons += [NOT_SERVED.get(feature, f"it uses {feature}") for feature in features if feature not in SERVED]
    return "; ".join(reasons)


def why_not_merged(features: Iterable[str]) -> str:
    """Why such an adapter cannot be merged with others, as the end of a sentence; empty when it can."""
    features = list(features)
    reasons = [NEVER[feature] for feature in features if feature in NEVER]
    if not reasons:
        reasons = [f"{ALONE[feature]}; it is carried through alone" for feature in features if feature in ALONE]
    return "; ".join(reasons)
