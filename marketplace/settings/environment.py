"""Where settings come from besides the environment itself."""

from __future__ import annotations

import os
import secrets
import sys
from pathlib import Path

import environ


def complete_environment(project: Path) -> None:
    """Without a ``DATABASE_URL``, take the addresses that a demo leaves in its data folder.

    ``manage.py smoke`` talks to a site over HTTP alone; where neither exists, it gets placeholders so that it runs
    from a bare clone.
    """
    if "DATABASE_URL" in os.environ:
        return
    demo = Path(os.environ.get("DATA") or project / ".brickyard") / "env"
    if demo.exists():
        environ.Env.read_env(demo)
    elif sys.argv[1:2] == ["smoke"]:
        os.environ.setdefault("SECRET_KEY", secrets.token_hex(32))
        os.environ.setdefault("DATABASE_URL", "postgres://nobody@/nothing")
        os.environ.setdefault("REDIS_URL", "redis://localhost/0")
