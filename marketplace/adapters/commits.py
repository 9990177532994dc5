"""Commit ids: git's own object formats over the version's files, so that the same history has the same digests.

Differs from a git repository in one point: large files stand in the tree with the digest of their own bytes, not of an
LFS pointer.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime

_FILE, _FOLDER = b"100644", b"40000"


def object_id(kind: str, content: bytes) -> str:
    """sha1 of a git object of ``kind`` (``blob``, ``tree``, ``commit``), 40 hex digits."""
    header = f"{kind} {len(content)}\0".encode()
    return hashlib.sha1(header + content, usedforsecurity=False).hexdigest()


def tree_id(files: Mapping[str, str]) -> str:
    """The tree's id; ``files`` maps paths to git-blob digests. Sub-folders become trees of their own."""
    entries: dict[str, tuple[bytes, str]] = {}
    folders: dict[str, dict[str, str]] = {}
    for path, digest in files.items():
        head, separator, rest = path.partition("/")
        if separator:
            folders.setdefault(head, {})[rest] = digest
        else:
            entries[head] = (_FILE, digest)
    for name, inner in folders.items():
        entries[name] = (_FOLDER, tree_id(inner))
    # git sorts a folder as if its name ended with a slash.
    ordered = sorted(entries.items(), key=lambda item: item[0].encode() + (b"/" if item[1][0] == _FOLDER else b""))
    content = b"".join(mode + b" " + name.encode() + b"\0" + bytes.fromhex(sha1) for name, (mode, sha1) in ordered)
    return object_id("tree", content)


def commit_id(*, files: Mapping[str, str], parents: list[str], author: str, at: datetime, message: str) -> str:
    """The commit's id. ``author`` is an owner's name; time counts in whole seconds, in UTC."""
    stamp = f"{author} <{author}@users.noreply> {int(at.astimezone(UTC).timestamp())} +0000"
    lines = [f"tree {tree_id(files)}", *(f"parent {parent}" for parent in parents)]
    lines += [f"author {stamp}", f"committer {stamp}", "", message.rstrip("\n"), ""]
    return object_id("commit", "\n".join(lines).encode())
