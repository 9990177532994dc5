"""Commit ids are git's own: a repository with the same files, author, time and message has the same."""

from __future__ import annotations

import os
import subprocess
from datetime import UTC, datetime
from pathlib import Path

from marketplace.adapters.commits import commit_id, object_id, tree_id

FILES = {
    "README.md": b"# Card\n",
    "adapter_config.json": b"{}",
    "a.txt": b"x",
    "a/b/c.json": b"[]",
    "a/b.txt": b"inner",
    "a-b": b"sorts between",
}
AT = datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC)


def _git(folder: Path, *arguments: str) -> str:
    who = {
        f"GIT_{role}_{what}": value
        for role in ("AUTHOR", "COMMITTER")
        for what, value in {"NAME": "ada", "EMAIL": "ada@users.noreply", "DATE": f"{int(AT.timestamp())} +0000"}.items()
    }
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "GIT_CONFIG_NOSYSTEM": "1", **who}
    run = subprocess.run(["git", *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=True)
    return run.stdout.strip()


def test_same_ids_as_git(tmp_path: Path) -> None:
    _git(tmp_path, "init", "-q")
    for path, data in FILES.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(data)
    _git(tmp_path, "add", ".")
    _git(tmp_path, "commit", "-q", "-m", "First version")
    digests = {path: object_id("blob", data) for path, data in FILES.items()}
    assert tree_id(digests) == _git(tmp_path, "rev-parse", "HEAD^{tree}")
    first = commit_id(files=digests, parents=[], author="ada", at=AT, message="First version")
    assert first == _git(tmp_path, "rev-parse", "HEAD")

    (tmp_path / "README.md").write_bytes(b"# Other\n")
    _git(tmp_path, "commit", "-q", "-am", "Edit the card")
    digests["README.md"] = object_id("blob", b"# Other\n")
    second = commit_id(files=digests, parents=[first], author="ada", at=AT, message="Edit the card")
    assert second == _git(tmp_path, "rev-parse", "HEAD")
