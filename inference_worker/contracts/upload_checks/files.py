"""Codes about the files that arrive, before any worker looks at them, and about archives."""

from __future__ import annotations

from inference_worker.contracts.upload_checks.registry import Check, Stage

_SAVE = "Save the adapter with PEFT's save_pretrained and upload the files it writes."
_REZIP = "Pack the adapter's files again with your system's own zip tool, without a password, and upload that."
_FETCH = "Upload the file again; the transfer or the save broke off."

FILES = (
    Check("no_files", "error", Stage.FILES, "No file arrived.", "Choose the adapter's files, or a zip of its folder."),
    Check(
        "file_name",
        "error",
        Stage.FILES,
        "A name is absolute, leaves its folder, is too long or deep, or has a backslash or control characters.",
        "Rename the file and upload again.",
    ),
    Check(
        "duplicate_file",
        "error",
        Stage.FILES,
        "Two files have the same name, or names that some systems take for the same.",
        "Upload the files of one adapter only; from a training run, those of one checkpoint.",
    ),
    Check(
        "several_adapters",
        "error",
        Stage.FILES,
        "The upload holds several adapters side by side.",
        "Upload them one at a time.",
    ),
    Check("config_missing", "error", Stage.FILES, "There is no adapter_config.json.", _SAVE),
    Check("weights_missing", "error", Stage.FILES, "There is no adapter_model.safetensors.", _SAVE),
    Check("missing_file", "error", Stage.FILES, "A folder lacks one of the adapter's two files.", _SAVE),
    Check("empty_file", "error", Stage.FILES, "The file is empty.", _FETCH),
    Check(
        "lfs_pointer",
        "error",
        Stage.FILES,
        "The file is a Git LFS pointer, a short text that stands for the file.",
        "This is a pointer; fetch the file: run `git lfs pull` in your clone and upload what it brings.",
    ),
    Check(
        "pickle_refused",
        "error",
        Stage.FILES,
        "The file is a Python pickle, judged by name or content. Loading one can run code.",
        "Convert it with the command that the message shows, where you trust the file, and upload the result.",
    ),
    Check(
        "pickle_left_out",
        "warning",
        Stage.FILES,
        "A pickle lies beside a good adapter (training_args.bin, optimizer.pt); it is not stored.",
        "Nothing to do.",
    ),
    Check("not_safetensors", "error", Stage.FILES, "The weights are another kind of file: GGUF, a web page, …", _SAVE),
    Check("weights_renamed", "info", Stage.FILES, "The only safetensors file has another name; it gets PEFT's."),
    Check("left_out", "info", Stage.FILES, "A file that is no part of an adapter is not stored."),
    Check(
        "weights_taken_down",
        "error",
        Stage.FILES,
        "A moderator has taken an adapter with these weights down.",
        "If you think that this is wrong, answer the moderator's mail or ask the operator.",
    ),
    Check(
        "bytes_blocked",
        "error",
        Stage.FILES,
        "A moderator has blocked a file with these bytes.",
        "If you think that this is wrong, answer the moderator's mail or ask the operator.",
    ),
)

ZIP = (
    Check("zip_and_files", "error", Stage.ZIP, "A zip came with other files.", "Upload the zip alone or the files."),
    Check("zip_damaged", "error", Stage.ZIP, "The archive is cut off, or its checksums do not fit.", _REZIP),
    Check("zip_split", "error", Stage.ZIP, "The archive is one part of several.", _REZIP),
    Check("zip_entries", "error", Stage.ZIP, "The archive has too many entries.", _REZIP),
    Check("zip_zip64", "error", Stage.ZIP, "The archive has an end record that only larger archives need.", _REZIP),
    Check("zip_trailing", "error", Stage.ZIP, "Bytes follow the end of the archive.", _REZIP),
    Check("zip_polyglot", "error", Stage.ZIP, "There are bytes that the archive's directory does not name.", _REZIP),
    Check("zip_path", "error", Stage.ZIP, "An entry's name leaves its folder or is unusable.", _REZIP),
    Check("zip_duplicate", "error", Stage.ZIP, "Two entries have the same name, or differ only in capitals.", _REZIP),
    Check("zip_overlap", "error", Stage.ZIP, "Entries overlap.", _REZIP),
    Check("zip_link", "error", Stage.ZIP, "An entry is a link or a device.", _REZIP),
    Check("zip_encrypted", "error", Stage.ZIP, "An entry is encrypted.", _REZIP),
    Check("zip_method", "error", Stage.ZIP, "An entry is neither stored nor deflated.", _REZIP),
    Check("zip_headers", "error", Stage.ZIP, "An entry's own header and the directory disagree.", _REZIP),
    Check(
        "zip_too_large",
        "error",
        Stage.ZIP,
        "The archive unpacks to more than an upload may have.",
        "Leave out what does not belong to the adapter.",
    ),
    Check(
        "zip_ratio",
        "error",
        Stage.ZIP,
        "The archive unpacks to many times its size.",
        "Upload the files themselves instead of a zip.",
    ),
)
