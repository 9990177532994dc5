"""What a folder, a zip, a list or an address holds for import: one item per adapter."""

from __future__ import annotations

import csv
import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from marketplace.adapters.imports.sources import name_from, parse_source
from marketplace.adapters.uploads.selection import CONFIG
from marketplace.core.errors import Invalid

#: What ``--checkpoint`` may say beside a number of steps.
BEST, LAST = "best", "last"
_CHECKPOINT = re.compile(r"checkpoint-(\d+)\Z")
_STATE = "trainer_state.json"
_LISTS = (".json", ".csv")
_MAX_LIST = 50_000_000
_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*(@\S+)?")
#: Columns of a list that are fields of the adapter.
_COLUMNS = ("title", "description", "license", "tags", "base", "visibility")


@dataclass(frozen=True)
class Item:
    """One adapter to be imported: ``place`` on this disk, or ``source`` elsewhere. ``shown`` is how the person named
    it."""

    shown: str
    name: str
    place: Path | None = None
    source: str = ""
    owner: str = ""
    fields: Mapping[str, Any] = field(default_factory=dict)


def find_items(text: str, *, checkpoint: str = BEST) -> list[Item]:
    """Every adapter that ``text`` names: a folder of one or of many, a zip, a list, an id or an address.

    ``checkpoint`` chooses in a trainer's folder: ``best`` as the trainer noted it (else the last), ``last``, or a
    number of steps. Raises ``Invalid`` for lists that cannot be read and sources that are none.
    """
    path = Path(text)
    if "://" in text or (not path.exists() and _ID.fullmatch(text)):
        return [_elsewhere(text)]
    if path.is_file() and path.suffix.lower() in _LISTS and path.name != CONFIG:
        return unique(_listed(path, checkpoint))
    if not path.is_dir():
        return [Item(text, path.resolve().stem, place=path)]
    found = list(_in_folder(path, path, checkpoint))
    # An empty folder is an item too, so that the checks say what is missing in it.
    return unique(found) or [Item(text, path.resolve().name, place=path)]


def unique(items: Iterable[Item]) -> list[Item]:
    """The same with names that differ: two folders of one name are told apart by their parents'."""
    listed = list(items)
    counts = Counter(item.name.lower() for item in listed)
    return [
        replace(item, name=f"{item.place.resolve().parent.name}-{item.name}")
        if counts[item.name.lower()] > 1 and item.place is not None
        else item
        for item in listed
    ]


def _in_folder(folder: Path, top: Path, checkpoint: str) -> Iterable[Item]:
    """The folder itself if it is an adapter, the chosen one of its checkpoints, else what lies deeper."""
    if (folder / CONFIG).is_file():
        yield _item(folder, folder, top)
        return
    entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    # Links to folders are not followed: they may lead in a circle, or out.
    folders = [Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False)]
    folders = [path for path in folders if not path.name.startswith(".") and path.name != "__MACOSX"]
    steps = {int(match[1]): path for path in folders if (match := _CHECKPOINT.match(path.name))}
    steps = {step: path for step, path in steps.items() if (path / CONFIG).is_file()}
    if steps:
        yield _item(_chosen(steps, checkpoint), folder, top)
    for path in folders:
        if path not in steps.values():
            yield from _in_folder(path, top, checkpoint)
    for entry in entries:
        if entry.is_file() and entry.name.lower().endswith(".zip"):
            yield Item(str(Path(entry.path).relative_to(top)), Path(entry.name).stem, place=Path(entry.path))


def _item(place: Path, named: Path, top: Path) -> Item:
    shown = str(place) if place == top else str(place.relative_to(top))
    return Item(shown, named.resolve().name, place=place)


def _chosen(steps: Mapping[int, Path], checkpoint: str) -> Path:
    last = steps[max(steps)]
    if checkpoint == LAST:
        return last
    if checkpoint != BEST:
        if not checkpoint.isdecimal() or int(checkpoint) not in steps:
            there = ", ".join(str(step) for step in sorted(steps))
            raise Invalid(f"{last.parent} has no checkpoint {checkpoint}; there are {there}.")
        return steps[int(checkpoint)]
    try:
        noted = json.loads((last / _STATE).read_text(encoding="utf-8")).get("best_model_checkpoint") or ""
    except (OSError, ValueError, AttributeError):
        return last
    match = _CHECKPOINT.search(str(noted).rstrip("/"))
    return steps.get(int(match[1]), last) if match else last


def _elsewhere(text: str, **more: Any) -> Item:
    source = parse_source(text)
    return Item(text, more.pop("name", "") or name_from(source), source=text, **more)


def _listed(path: Path, checkpoint: str) -> Iterable[Item]:
    """The rows of a JSON or CSV file: at least ``source`` each, an id, an address, or a path beside the list."""
    for number, row in enumerate(_rows(path), start=1):
        source = str(row.get("source") or "").strip()
        if not source:
            raise Invalid(f"{path}, entry {number}: there is no source.")
        unknown = sorted(set(row) - {"source", "name", "owner", *_COLUMNS})
        if unknown:
            raise Invalid(f"{path}, entry {number}: unknown fields {', '.join(map(str, unknown))}.")
        fields: dict[str, Any] = {key: row[key] for key in (*_COLUMNS, "name") if row.get(key)}
        if isinstance(fields.get("tags"), str):
            fields["tags"] = [tag.strip() for tag in re.split(r"[;,]", fields["tags"]) if tag.strip()]
        said: dict[str, Any] = {"owner": str(row.get("owner") or ""), "fields": fields}
        place = path.parent / source
        if "://" in source or not place.exists():
            yield _elsewhere(source, name=str(row.get("name") or ""), **said)
            continue
        for item in find_items(str(place), checkpoint=checkpoint):
            yield replace(item, shown=source, name=str(row.get("name") or item.name), **said)


def _rows(path: Path) -> list[dict[str, Any]]:
    if path.stat().st_size > _MAX_LIST:
        raise Invalid(f"{path} is too long for a list.")
    text = path.read_text(encoding="utf-8-sig")
    if path.suffix.lower() == ".csv":
        return [dict(row) for row in csv.DictReader(text.splitlines(), restkey="more")]
    try:
        table = json.loads(text)
    except ValueError as error:
        raise Invalid(f"{path} is not valid JSON: {error}.") from error
    if not isinstance(table, list) or not all(isinstance(row, str | dict) for row in table):
        raise Invalid(f"{path} is not a list of sources or of objects with a source.")
    return [{"source": row} if isinstance(row, str) else row for row in table]
