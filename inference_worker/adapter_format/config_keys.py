"""The keys of ``adapter_config.json`` that PEFT 0.2–0.21 writes, and what some of them mean for Δ = B·A."""

from __future__ import annotations

import re

KNOWN_KEYS = frozenset(
    {
        "alora_invocation_tokens",
        "alpha_pattern",
        "arrow_config",
        "auto_mapping",
        "base_model_name_or_path",
        "bias",
        "corda_config",
        "enable_lora",
        "ensure_weight_tying",
        "eva_config",
        "exclude_modules",
        "fan_in_fan_out",
        "inference_mode",
        "init_lora_weights",
        "kasa_config",
        "layer_replication",
        "layers_pattern",
        "layers_to_transform",
        "loftq_config",
        "lora_alpha",
        "lora_bias",
        "lora_dropout",
        "lora_ga_config",
        "megatron_config",
        "megatron_core",
        "merge_weights",
        "modules_to_save",
        "monteclora_config",
        "peft_type",
        "peft_version",
        "qalora_group_size",
        "r",
        "rank_pattern",
        "revision",
        "runtime_config",
        "target_modules",
        "target_parameters",
        "task_type",
        "trainable_token_indices",
        "use_bdlora",
        "use_dora",
        "use_qalora",
        "use_rslora",
        "velora_config",
    }
)

#: Variants of LoRA whose forward pass is not B·A alone: config key -> what people call it.
VARIANT_KEYS = {
    "use_dora": "dora",
    "alora_invocation_tokens": "activated_lora",
    "arrow_config": "arrow",
    "kasa_config": "kasa",
    "monteclora_config": "monteclora",
    "use_bdlora": "bdlora",
    "use_qalora": "qalora",
    "layer_replication": "layer_replication",
    "target_parameters": "target_parameters",
    "trainable_token_indices": "trainable_tokens",
    "lora_bias": "lora_bias",
    "ensure_weight_tying": "tied",
    "megatron_config": "megatron",
}

#: All initialisations of PEFT 0.2–0.21 that have a name.
INITS = re.compile(r"gaussian|eva|olora|pissa|pissa_niter_\d+|corda|loftq|orthogonal|lora_ga")

#: Initialisations after which the base's own weights are changed when PEFT loads the adapter.
MUTATING_INITS = re.compile(r"(pissa(_niter_\d+)?|olora|corda|loftq|lora_ga)\Z")

#: peft.TaskType. What each means for generation and merging: ``contracts/adapter_uses.py``.
TASK_TYPES = frozenset({"CAUSAL_LM", "SEQ_CLS", "SEQ_2_SEQ_LM", "TOKEN_CLS", "QUESTION_ANS", "FEATURE_EXTRACTION"})

#: Task -> modules that PEFT adds to ``modules_to_save`` by itself. PEFT before 0.11 left the config's own list alone.
HEADS = {
    "SEQ_CLS": ("classifier", "score"),
    "TOKEN_CLS": ("classifier", "score"),
    "QUESTION_ANS": ("qa_outputs",),
}

#: How class names of transformers end -> the task, for configs that name the class but no task.
IMPLIED_TASKS = {
    "ForSequenceClassification": "SEQ_CLS",
    "ForTokenClassification": "TOKEN_CLS",
    "ForQuestionAnswering": "QUESTION_ANS",
    "ForCausalLM": "CAUSAL_LM",
}
