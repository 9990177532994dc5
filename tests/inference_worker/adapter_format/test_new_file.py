"""Files that appear complete or not at all, with and without unnamed files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from inference_worker.adapter_format.new_file import NewFile, write_atomically


@pytest.fixture(params=["unnamed", "hidden"])
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Also on a file system that has no unnamed files."""
    if request.param == "hidden":
        monkeypatch.delattr(os, "O_TMPFILE")
    return str(request.param)


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.usefixtures("kind")
def test_atomic_write_leaves_no_scraps(tmp_path: Path) -> None:
    write_atomically(tmp_path / "x", b"one")
    assert content(tmp_path) == {"x": b"one"}
    write_atomically(tmp_path / "x", b"two")
    assert content(tmp_path) == {"x": b"two"}


@pytest.mark.usefixtures("kind")
def test_what_was_not_published_goes(tmp_path: Path) -> None:
    with NewFile(tmp_path) as new:
        new.file.write(b"half")
    assert content(tmp_path) == {}


def test_nothing_has_a_name_before(kind: str, tmp_path: Path) -> None:
    with NewFile(tmp_path) as new:
        new.file.write(b"half")
        assert len(content(tmp_path)) == (1 if kind == "hidden" else 0)
        new.publish("x")
    assert content(tmp_path) == {"x": b"half"}
