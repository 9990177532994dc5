"""Bytes that are gone: what is left to read of a version when a moderator had one of its files deleted."""

from __future__ import annotations

from marketplace.adapters.models import Version, VersionFile
from marketplace.adapters.services.card_files import card_of
from marketplace.adapters.uploads.selection import CARD


def is_gone(file: VersionFile) -> bool:
    """Whether the file's bytes were deleted; its row stays, without git's digest."""
    return not file.blob.git_sha1


def gone_files(version: Version | None) -> list[str]:
    """Paths of the version's files whose bytes were deleted."""
    files = version.files.filter(blob__git_sha1="") if version else VersionFile.objects.none()
    return list(files.order_by("path").values_list("path", flat=True))


def readable_card(version: Version | None) -> str:
    """The text of a version's card; empty when it has none, or none any more."""
    return "" if version is None or CARD in gone_files(version) else card_of(version)
