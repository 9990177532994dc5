"""What a derived adapter's card and files say of its parents.

They reach everybody who may load it: collaborators, whom it is handed over to, whoever gets the files. So only
parents that everybody may see are named in them. Pages and REST ask for every reader anew (``selectors.recipe_of``).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from django.contrib.auth.models import AnonymousUser

from inference_worker.contracts.common import OutputFile
from marketplace import policy
from marketplace.adapters.models import Adapter, Version
from marketplace.core.store import blob_store

#: Stands for a parent that has no name here.
UNNAMED = "a private adapter"
#: The files of a job in which parents are named.
_NAMING = ("recipe.json", "merge_report.json")


def is_open(adapter: Adapter) -> bool:
    """Whether everybody may see it, and so its name."""
    return policy.may(AnonymousUser(), policy.Action.VIEW, adapter)


def hidden_names(parents: Sequence[Version], recipe: Mapping[str, Any]) -> frozenset[str]:
    """The names of ``parents`` that stay unnamed: those of now, and those that ``recipe`` has in their places. It was
    written by the plan; a parent may have got another name or owner while the job ran."""
    planned = [str(parent.get("label", "")) for parent in recipe.get("parents") or ()]
    hidden = [position for position, version in enumerate(parents) if not is_open(version.adapter)]
    now = {parents[position].adapter.full_name for position in hidden}
    return frozenset(now | {planned[position] for position in hidden if position < len(planned)}) - {""}


def without_names(value: Any, hidden: Collection[str]) -> Any:
    """JSON in which every string that is one of ``hidden`` is empty."""
    if isinstance(value, Mapping):
        return {key: without_names(item, hidden) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_names(item, hidden) for item in value]
    return "" if isinstance(value, str) and value in hidden else value


def files_without_names(files: Sequence[OutputFile], hidden: Collection[str]) -> list[OutputFile]:
    """A job's files, those that name parents written again without ``hidden``."""
    return [_rewritten(file, hidden) if hidden and file.path in _NAMING else file for file in files]


def _rewritten(file: OutputFile, hidden: Collection[str]) -> OutputFile:
    store = blob_store()
    with store.open(file.sha256) as stream:
        table = json.loads(stream.read())
    indent = 2 if file.path == _NAMING[0] else None
    info = store.put_bytes(f"{json.dumps(without_names(table, hidden), indent=indent, ensure_ascii=False)}\n".encode())
    return OutputFile(path=file.path, sha256=info.sha256, git_sha1=info.git_sha1, size=info.size)
