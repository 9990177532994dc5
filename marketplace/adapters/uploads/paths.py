"""Names that an upload or an archive may use."""

from __future__ import annotations

import unicodedata

MAX_PATH = 255
MAX_DEPTH = 8


def fault_of(path: str) -> str:
    """Why ``path`` is refused, as the end of a sentence; empty when it is fine."""
    if not path or len(path) > MAX_PATH:
        return f"is empty or longer than {MAX_PATH} characters"
    if "\\" in path:
        return "contains a backslash"
    # Cf, Zl, Zp: invisible characters, and those that turn the direction of what follows.
    if any(unicodedata.category(character) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp") for character in path):
        return "contains control characters"
    if path.startswith("/") or path[1:2] == ":":
        return "is an absolute path"
    parts = path.rstrip("/").split("/")
    if any(part in ("", ".", "..") for part in parts):
        return "leaves its folder or has an empty part"
    if len(parts) > MAX_DEPTH:
        return f"is deeper than {MAX_DEPTH} folders"
    return ""


def folded(path: str) -> str:
    """Two paths with the same folded form would be one file on some systems."""
    return unicodedata.normalize("NFKC", path.rstrip("/")).casefold()


def is_litter(path: str) -> bool:
    """Files that operating systems leave in archives and folders."""
    parts = path.split("/")
    name = parts[-1]
    return "__MACOSX" in parts or name.startswith("._") or name in (".DS_Store", "Thumbs.db", "desktop.ini")
