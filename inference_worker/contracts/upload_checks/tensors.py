"""Codes about ``adapter_model.safetensors``, and about what config, tensors and base say together."""

from __future__ import annotations

from inference_worker.contracts.upload_checks.registry import Check, Stage

_REEXPORT = "Save the adapter again with a current PEFT or safetensors and upload the new file."
_FETCH = "Upload the file again; the transfer or the save broke off."
_COMPLETE = "Save the adapter again, complete."
_GATHER = "Gather the parameters (DeepSpeed ZeRO-3, FSDP) before save_pretrained and upload the new file."
_WRITTEN_RIGHT = "A merge here, and `python -m inference_worker export --format peft`, write the right names."
_BASE = "Choose the base that the adapter was trained on."

HEADER = (
    Check("truncated", "error", Stage.HEADER, "The file ends before its header or its tensors do.", _FETCH),
    Check("header_too_large", "error", Stage.HEADER, "The header is larger than a header may be.", _REEXPORT),
    Check("header_not_json", "error", Stage.HEADER, "The header is no JSON object.", _REEXPORT),
    Check("bad_metadata", "error", Stage.HEADER, "__metadata__ is no table of strings, or too long.", _REEXPORT),
    Check("no_tensors", "error", Stage.HEADER, "The file holds no tensors.", _REEXPORT),
    Check("too_many_tensors", "error", Stage.HEADER, "The file holds more tensors than are read.", _REEXPORT),
    Check(
        "bad_tensor_name",
        "error",
        Stage.HEADER,
        "A tensor's name is too long or not made of words and dots.",
        _REEXPORT,
    ),
    Check("bad_tensor_entry", "error", Stage.HEADER, "A tensor's entry has another form than the format's.", _REEXPORT),
    Check("zero_size_tensor", "error", Stage.HEADER, "A tensor holds no numbers, as ungathered shards do.", _GATHER),
    Check("bad_offsets", "error", Stage.HEADER, "Tensors overlap, leave holes or do not fill their bytes.", _REEXPORT),
    Check("trailing_bytes", "error", Stage.HEADER, "Bytes follow the last tensor.", _REEXPORT),
    Check(
        "dtype_refused",
        "error",
        Stage.HEADER,
        "A tensor is stored as integers, 8-bit floats or an unknown type, whose scales the file does not carry.",
        "Save the adapter in float32, float16 or bfloat16.",
    ),
    Check(
        "duplicate_tensor",
        "error",
        Stage.HEADER,
        "Two tensors have one name, or stand for the same part once names are repaired.",
        "Save one adapter per file.",
    ),
)

TENSORS = (
    Check(
        "image_adapter",
        "error",
        Stage.TENSORS,
        "Tensor names or ss_* metadata belong to an image or video model (kohya, diffusers, LyCORIS).",
        "Upload adapters of language models.",
    ),
    Check(
        "foreign_layout",
        "error",
        Stage.TENSORS,
        "Tensors are named as another trainer names them, not as PEFT does.",
        "Convert the file to PEFT's layout and upload that.",
    ),
    Check(
        "prefix_doubled",
        "warning",
        Stage.TENSORS,
        "Names start with base_model.model. more than once, and PEFT would silently load nothing; read as if once.",
        _WRITTEN_RIGHT,
    ),
    Check(
        "prefix_missing",
        "warning",
        Stage.TENSORS,
        "Names lack base_model.model., and PEFT would silently load nothing; read as if it stood there.",
        _WRITTEN_RIGHT,
    ),
    Check(
        "name_repaired",
        "warning",
        Stage.TENSORS,
        "An adapter's name or a wrapper of torch.compile, FSDP or modules_to_save inside names is taken out.",
        _WRITTEN_RIGHT,
    ),
    Check("factor_missing", "error", Stage.TENSORS, "A module has only one of lora_A and lora_B.", _COMPLETE),
    Check(
        "rank_mismatch",
        "error",
        Stage.TENSORS,
        "The ranks of lora_A, lora_B and the config differ.",
        "Set r, or rank_pattern for this module, to the rank of the tensors.",
    ),
    Check("bad_shape", "error", Stage.TENSORS, "A tensor has other dimensions than its part has.", _GATHER),
    Check(
        "no_lora_tensors",
        "error",
        Stage.TENSORS,
        "There are no lora_A and lora_B.",
        "Upload the adapter's own weights.",
    ),
    Check(
        "module_not_targeted",
        "error",
        Stage.TENSORS,
        "Modules in the file are not among those that the config targets, so PEFT would not load them.",
        "Add them to target_modules, or correct exclude_modules and layers_to_transform.",
    ),
    Check(
        "target_without_tensors",
        "warning",
        Stage.TENSORS,
        "target_modules names modules that the file holds no tensors of.",
        "Nothing to do if they were left untrained on purpose.",
    ),
    Check(
        "unknown_tensor",
        "warning",
        Stage.TENSORS,
        "Tensors belong to nothing that the config names; PEFT ignores them.",
        "Name their modules in modules_to_save, or leave them out.",
    ),
    Check("saved_module_missing", "warning", Stage.TENSORS, "No tensor of a module in modules_to_save.", _COMPLETE),
    Check("dora_incomplete", "error", Stage.TENSORS, "use_dora and the lora_magnitude_vectors disagree.", _COMPLETE),
    Check(
        "conv_layer",
        "warning",
        Stage.TENSORS,
        "The adapter changes convolution layers; they are stored but neither merged nor generated with.",
        "Use adapters of linear layers for both.",
    ),
    Check(
        "alpha_by_version",
        "warning",
        Stage.TENSORS,
        "PEFT before 0.15 and PEFT since read rank_pattern and alpha_pattern differently here; read as since.",
        "Name each module in both patterns, or train and load with the same PEFT.",
    ),
    Check(
        "float64",
        "info",
        Stage.TENSORS,
        "Tensors are stored in 64-bit floats; they are read and rounded to 32 bits.",
        "Saving in bfloat16 makes the file a quarter of the size.",
    ),
    Check(
        "not_generated_with",
        "info",
        Stage.TENSORS,
        "The adapter is stored and found, but text cannot be generated with it; the message says why.",
    ),
    Check(
        "not_merged",
        "info",
        Stage.TENSORS,
        "The adapter cannot be merged, or only carried through alone; the message says why.",
    ),
)

BASE = (
    Check(
        "base_unknown",
        "warning",
        Stage.BASE,
        "The config names no base, or one that is not known here: stored, found and merged, but not tried.",
        "Choose the base when you publish, or ask the operator to register it.",
    ),
    Check("module_not_in_base", "error", Stage.BASE, "The base has no module of this name.", _BASE),
    Check("shape_mismatch", "error", Stage.BASE, "A module has another shape than the base's.", _BASE),
)

VALUES = (
    Check(
        "nonfinite_values",
        "error",
        Stage.VALUES,
        "A tensor holds NaN or infinity.",
        "Training diverged or a conversion overflowed. Save from an earlier step, or in bfloat16 or float32.",
    ),
    Check(
        "no_effect",
        "warning",
        Stage.VALUES,
        "Every B·A is zero: the base answers as without the adapter.",
        "The adapter is probably untrained, or saved before training. Upload the trained one.",
    ),
    Check(
        "modules_without_effect",
        "warning",
        Stage.VALUES,
        "B·A of some modules is zero.",
        "Nothing to do if they were left untrained on purpose.",
    ),
)

VERDICT = (
    Check(
        "check_crashed",
        "error",
        Stage.VERDICT,
        "A check crashed. That means not accepted, and the operators are alerted.",
        "Report this with the adapter's name; it is a fault of this site.",
    ),
    Check(
        "check_failed",
        "error",
        Stage.VERDICT,
        "The check was lost, cancelled or ended by a limit. What was not checked is not accepted.",
        "Choose “Check again” on the upload's page.",
    ),
)
