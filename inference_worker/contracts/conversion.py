"""The command that turns a pickled adapter into safetensors, for people to paste. Nothing here runs it."""

from __future__ import annotations

import shlex

# Double quotes outside and single ones inside are understood by POSIX shells and by Windows' alike.
_PROGRAM = (
    "import sys, torch; from safetensors.torch import save_file; "
    "tensors = torch.load(sys.argv[1], map_location='cpu', weights_only=True); "
    "save_file({name: tensor.contiguous().clone() for name, tensor in tensors.items()}, "
    "'adapter_model.safetensors', metadata={'format': 'pt'})"
)


def conversion_command(path: str) -> str:
    """One line for a shell; ``path`` is quoted, since whoever named the file may not be who pastes the line.

    ``weights_only`` refuses code inside the pickle instead of running it.
    """
    return f'python -c "{_PROGRAM}" {shlex.quote(path)}'


def conversion_remedy(path: str) -> str:
    return (
        f"Where you trust the file, run `{conversion_command(path)}` and upload the adapter_model.safetensors that it "
        "writes, with adapter_config.json."
    )
