"""What the demo's steps depend on, as fingerprints, so that a second start skips what is done."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

import psycopg

from marketplace.embedded.faults import Fault

ROOT = Path(__file__).resolve().parent.parent.parent
MARKETPLACE = ROOT / "marketplace"


def known_migrations() -> set[tuple[str, str]]:
    """(application, migration) of every migration of this project."""
    files = MARKETPLACE.glob("*/migrations/[0-9]*.py")
    return {(file.parent.parent.name, file.stem) for file in files}


def check_known(url: str, folder: Path) -> None:
    """Raises ``Fault`` when the database holds migrations that this code does not know."""
    applications = sorted(folder.parent.name for folder in MARKETPLACE.glob("*/migrations"))
    with psycopg.connect(url) as connection:
        exists = connection.execute("SELECT to_regclass('django_migrations')").fetchone()
        if exists is None or exists[0] is None:
            return
        rows = connection.execute(
            "SELECT app, name FROM django_migrations WHERE app = ANY(%s) ORDER BY id", [applications]
        ).fetchall()
    unknown = [f"{app}.{name}" for app, name in rows if (app, name) not in known_migrations()]
    if unknown:
        raise Fault(
            f"The data in {folder} was written by a newer Brickyard (unknown migration {unknown[0]}): "
            "update the code, or choose DATA=."
        )


def migrations_fingerprint() -> str:
    names = sorted(f"{application}.{name}" for application, name in known_migrations())
    return _digest([*names, (ROOT / "constraints.txt").read_text(encoding="utf-8")])


def static_fingerprint() -> str:
    """Names, sizes and times of our static files; the libraries' change only with the pinned versions."""
    folders = [ROOT / "static", *MARKETPLACE.glob("*/static")]
    files = [file for folder in folders for file in sorted(folder.rglob("*")) if file.is_file()]
    facts = [f"{file.relative_to(ROOT)} {file.stat().st_size} {file.stat().st_mtime_ns}" for file in files]
    return _digest([*facts, (ROOT / "constraints.txt").read_text(encoding="utf-8")])


def seed_fingerprint() -> str:
    """The shipped adapters: new ones are added to a data folder that was seeded before."""
    manifest = ROOT / "inference_worker" / "testbed" / "shipped" / "manifest.json"
    return _digest([manifest.read_text(encoding="utf-8")])


def _digest(parts: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
