"""Two versions side by side: what a reader of an adapter's history sees."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from marketplace import policy
from marketplace.adapters import diffs, selectors
from marketplace.adapters.gone import gone_files
from marketplace.adapters.models import Adapter, Version
from marketplace.adapters.services.card_files import card_of
from marketplace.adapters.uploads.selection import CARD, CONFIG
from marketplace.core.errors import NotFound
from marketplace.core.store import blob_store

_MAX_CONFIG = 1_000_000


@dataclass(frozen=True)
class VersionDiff:
    """What changed from ``before`` to ``after``."""

    before: Version
    after: Version
    files: list[diffs.FileChange]
    config: list[diffs.ValueChange]
    card: list[diffs.Line]
    prompt_format: list[diffs.ValueChange]
    tensors: diffs.TensorDiff
    #: Files of either version whose bytes were deleted; they are not compared within.
    gone: list[str]


def compare_versions(*, user: policy.Person, adapter: Adapter, before: str = "", after: str = "") -> VersionDiff:
    """The changes from revision ``before`` to ``after``.

    Raises what ``versions_of_comparison`` raises.
    """
    old, new = versions_of_comparison(user=user, adapter=adapter, before=before, after=after)
    gone = sorted({*gone_files(old), *gone_files(new)})
    with_config = policy.may_download(user, adapter) and CONFIG not in gone
    return VersionDiff(
        before=old,
        after=new,
        files=diffs.file_changes(selectors.files_of(old), selectors.files_of(new)),
        # The config is one of the files, which not everybody who sees the adapter may have.
        config=diffs.config_changes(_config_of(old), _config_of(new)) if with_config else [],
        card=diffs.card_lines(card_of(old), card_of(new)) if CARD not in gone else [],
        prompt_format=diffs.config_changes(old.prompt_format, new.prompt_format),
        tensors=diffs.tensor_diff(old.artifact, new.artifact),
        gone=gone,
    )


def versions_of_comparison(
    *, user: policy.Person, adapter: Adapter, before: str = "", after: str = ""
) -> tuple[Version, Version]:
    """The versions of revisions ``before`` and ``after``.

    ``after`` is the current version unless told, ``before`` the one that ``after`` was committed on. Raises
    ``NotFound`` for a revision out of the user's sight, and for a first version without ``before``.
    """
    new = _visible(user, adapter, after or "main")
    if not before and new.parent is None:
        raise NotFound(f"{adapter.full_name} has no version before {new.commit[:8]} to compare it with.")
    return _visible(user, adapter, before or str(new.parent.commit if new.parent else "")), new


def _visible(user: policy.Person, adapter: Adapter, revision: str) -> Version:
    version = selectors.get_version(adapter=adapter, revision=revision)
    if not selectors.versions_of(user=user, adapter=adapter).filter(pk=version.pk).exists():
        raise NotFound(f"{adapter.full_name} has no revision “{revision}”.")
    return version


def _config_of(version: Version) -> dict[str, Any]:
    """The config as it was uploaded; empty where it cannot be read (a version that was not accepted)."""
    with blob_store().open(version.artifact.config_blob_id) as file:
        try:
            config = json.loads(file.read(_MAX_CONFIG).decode("utf-8-sig"))
        except (ValueError, RecursionError):
            return {}
    return config if isinstance(config, dict) else {}
