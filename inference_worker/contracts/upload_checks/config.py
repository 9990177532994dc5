"""Codes about ``adapter_config.json``."""

from __future__ import annotations

from inference_worker.contracts.upload_checks.registry import Check, Stage

_SAVED = "Upload the adapter_config.json that PEFT's save_pretrained wrote."

CONFIG = (
    Check("config_too_large", "error", Stage.CONFIG, "The file is larger than a config may be.", _SAVED),
    Check("config_not_json", "error", Stage.CONFIG, "The file is no JSON object, or names a key twice.", _SAVED),
    Check("config_too_deep", "error", Stage.CONFIG, "The file is nested deeper than a config may be.", _SAVED),
    Check("peft_type_missing", "error", Stage.CONFIG, "No peft_type is named.", 'Set "peft_type": "LORA".'),
    Check(
        "peft_type_refused",
        "error",
        Stage.CONFIG,
        "The adapter is of another type than LoRA (IA3, AdaLoRA, LoHa, …); the message says why that type is refused.",
        "Train a LoRA adapter, or convert this one with PEFT's convert_to_lora.",
    ),
    Check(
        "merged_linear_refused",
        "error",
        Stage.CONFIG,
        "enable_lora of PEFT 0.2 is set: the factors are grouped convolutions, which no later PEFT loads.",
        "Train the adapter again with a current PEFT.",
    ),
    Check(
        "remote_code_refused", "error", Stage.CONFIG, "The config points at code to import or run.", "Remove the key."
    ),
    Check(
        "bad_rank", "error", Stage.CONFIG, "r is no whole number in the accepted range.", "Set r to the rank trained."
    ),
    Check(
        "bad_alpha", "error", Stage.CONFIG, "lora_alpha is no number.", "Set lora_alpha to the value used in training."
    ),
    Check("bad_dropout", "error", Stage.CONFIG, "lora_dropout is no number from 0 to 1.", 'Set "lora_dropout": 0.'),
    Check(
        "bad_pattern",
        "error",
        Stage.CONFIG,
        "A pattern (rank, alpha, targets, exclusions) is no regular expression, or takes too long to match.",
        "Write module names without wildcards.",
    ),
    Check(
        "bad_target_modules",
        "error",
        Stage.CONFIG,
        "target_modules or exclude_modules is neither a list of names nor one pattern.",
        "List the modules' names.",
    ),
    Check(
        "bad_modules_to_save",
        "error",
        Stage.CONFIG,
        "modules_to_save is no list of names.",
        "Write null if there are none.",
    ),
    Check(
        "bad_layers",
        "error",
        Stage.CONFIG,
        "layers_to_transform, layers_pattern or layer_replication has another form than PEFT's.",
        "Write null if there are none.",
    ),
    Check(
        "bad_tokens",
        "error",
        Stage.CONFIG,
        "trainable_token_indices is neither a list of token ids nor lists by module.",
        "Write null if there are none.",
    ),
    Check("bad_flag", "error", Stage.CONFIG, "A switch has a value that it cannot have.", "Correct the value."),
    Check("bad_text", "error", Stage.CONFIG, "A text is too long or no text.", "Correct the value."),
    Check(
        "unknown_task_type",
        "warning",
        Stage.CONFIG,
        "task_type is none that PEFT knows; PEFT refuses to load such a config.",
        "Set task_type to CAUSAL_LM, SEQ_CLS, SEQ_2_SEQ_LM, TOKEN_CLS, QUESTION_ANS, FEATURE_EXTRACTION or null.",
    ),
    Check(
        "mutated_base",
        "warning",
        Stage.CONFIG,
        "The initialisation (PiSSA, OLoRA, CorDA, LoftQ, LoRA-GA) changes the base's own weights when PEFT loads it.",
        "Convert it with PEFT's save_pretrained(path_initial_model_for_weight_conversion=…) to plain LoRA.",
    ),
    Check(
        "targets_left_open",
        "warning",
        Stage.CONFIG,
        "target_modules is null: PEFT then takes what is usual for the base's architecture, and drops the tensors of "
        "other modules without a word.",
        "List the modules' names in target_modules. Merges and exports made here use all of them.",
    ),
    Check(
        "null_not_loaded",
        "warning",
        Stage.CONFIG,
        "bias, rank_pattern or alpha_pattern is null: PEFT 0.21 cannot load this as it is; merges and exports here "
        "write it right.",
        'Write "none" for bias, {} for a pattern.',
    ),
    Check("duplicate_entries", "info", Stage.CONFIG, "A list names the same module twice; it counts once."),
    Check("unknown_config_keys", "info", Stage.CONFIG, "Keys that this version does not know are kept."),
)
