"""Adapters from a directory on the server: the same services as an upload."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from marketplace.accounts.models import User
from marketplace.adapters import services
from marketplace.adapters.models import Adapter, Upload
from marketplace.adapters.uploads.incoming import IncomingFile
from marketplace.adapters.uploads.selection import CARD, CONFIG
from marketplace.bases import selectors as bases
from marketplace.core.errors import Invalid

META = "meta.json"
_FIELDS = ("title", "description", "license", "tags", "prompt_format", "examples", "base", "visibility")
_MAX_META = 1_000_000


def read_meta(path: Path) -> dict[str, Any]:
    """Name, owner and fields of an adapter from a JSON file beside it. Raises ``Invalid``."""
    try:
        meta = json.loads(path.read_bytes()[:_MAX_META])
    except ValueError as error:
        raise Invalid(f"{path} is not valid JSON: {error}.") from error
    if not isinstance(meta, dict):
        raise Invalid(f"{path} is not a JSON object.")
    if bases.resolve_base(str(meta.get("base", ""))) is None:
        # A hint, not an answer: the config's own name counts until the base is registered.
        meta.pop("base", None)
    return meta


def files_in(source: Path) -> list[IncomingFile]:
    """A zip, or the files of a directory that can belong to an adapter; pickles only where nothing else is there."""
    if source.is_file():
        return [IncomingFile.from_disk(source)]
    if not source.is_dir():
        raise Invalid(f"There is no directory or zip {source}.")
    tensors = sorted(source.glob("*.safetensors")) or sorted(source.glob("*.bin"))
    named = [source / CONFIG, *tensors, source / CARD]
    return [IncomingFile.from_disk(path) for path in named if path.is_file()]


def import_adapter(*, owner: User, source: Path, name: str, fields: Mapping[str, Any], message: str = "") -> Adapter:
    """Upload and publish what lies in ``source`` as ``owner/name``; fields that are missing come from its card.

    Raises ``Invalid`` with the problems of the files, and whatever the services raise.
    """
    upload = services.create_upload(user=owner, files=files_in(source))
    if upload.state == Upload.State.REFUSED:
        words = " ".join(f"{problem['place']}: {problem['message']}" for problem in upload.problems)
        raise Invalid(f"{source} was refused. {words}", extra={"problems": upload.problems})
    wanted = {key: fields[key] for key in _FIELDS if fields.get(key)}
    suggested = {key: value for key, value in upload.suggested.items() if key in _FIELDS and key != "base"}
    return services.publish_upload(user=owner, upload=upload, name=name, message=message, **{**suggested, **wanted})
