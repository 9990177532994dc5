"""The manifest of a built testbed: digest and size of every file, and the training's figures."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from inference_worker.errors import BlobCorrupt, BlobMissing

MANIFEST = "manifest.json"
SHIPPED = Path(__file__).parent / "shipped"
PARTS = ("base", "bases", "adapters", "brackets")


def built_files(directory: Path) -> Iterator[Path]:
    """Every file that belongs to the built testbed, in a fixed order."""
    for part in PARTS:
        yield from sorted(path for path in (directory / part).rglob("*") if path.is_file())


def write_manifest(directory: Path, figures: dict[str, Any], seeds: dict[str, Any]) -> dict[str, Any]:
    """Digest everything in ``directory`` and write its ``manifest.json``. ``seeds`` has None where nobody knows."""
    files = {
        path.relative_to(directory).as_posix(): {
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "size": path.stat().st_size,
        }
        for path in built_files(directory)
    }
    manifest = {
        "format": 1,
        "base": "base",
        "bases": _names(directory / "bases"),
        "adapters": _names(directory / "adapters"),
        "brackets": _names(directory / "brackets"),
        "size": sum(path.stat().st_size for path in built_files(directory)),
        "files": files,
        "seeds": seeds,
        "figures": figures,
    }
    (directory / MANIFEST).write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return manifest


def _names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.glob("*") if path.is_dir())


def read_manifest(directory: Path = SHIPPED) -> dict[str, Any]:
    """The manifest of a built testbed. Raises BlobMissing when nothing is built there."""
    path = directory / MANIFEST
    if not path.exists():
        raise BlobMissing(f"No testbed is built in {directory}: run “python -m inference_worker testbed build”.")
    manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return manifest


def check_manifest(directory: Path = SHIPPED) -> dict[str, Any]:
    """Read the manifest and compare every file with it.

    Raises BlobMissing for a file that the manifest names and the folder lacks, BlobCorrupt for other bytes or for a
    file that the manifest does not name.
    """
    manifest = read_manifest(directory)
    for name, entry in manifest["files"].items():
        path = directory / name
        if not path.exists():
            raise BlobMissing(f"{name} is missing from the testbed in {directory}.")
        if hashlib.sha256(path.read_bytes()).hexdigest() != entry["sha256"]:
            raise BlobCorrupt(f"{name} in {directory} is not the file that the manifest names; rebuild the testbed.")
    strangers = {path.relative_to(directory).as_posix() for path in built_files(directory)} - set(manifest["files"])
    if strangers:
        raise BlobCorrupt(f"The manifest of {directory} does not name {', '.join(sorted(strangers))}.")
    return manifest
