"""Import directions, as processes see them: the web side never loads torch, the engine never loads Django."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
#: Neither of them may appear in a web process, not even through a library.
HEAVY = ("torch", "transformers", "peft", "sentence_transformers")
WEB_SIDE = ("marketplace.urls", "marketplace.asgi", "marketplace.celery", "marketplace.core.management.commands.smoke")
ENGINE = (
    "inference_worker.adapter_format.inspect",
    "inference_worker.merging",
    "inference_worker.retrieval.encoder",
    "inference_worker.serving.pool",
    "inference_worker.tasks.batch",
    "inference_worker.tasks.live",
    "inference_worker.__main__",
)


def loaded_after(statement: str, *suspects: str, environment: dict[str, str] | None = None) -> list[str]:
    """Which of ``suspects`` a fresh interpreter has loaded once it ran ``statement``."""
    code = f"import sys\n{statement}\nprint(*[name for name in {suspects!r} if name in sys.modules])"
    inherited = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    inherited.update(environment or {})
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=inherited, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.parametrize("module", WEB_SIDE)
def test_web_side_loads_no_torch(module: str) -> None:
    statement = f"import django; django.setup(); import {module}"
    settings = {"DJANGO_SETTINGS_MODULE": "marketplace.settings"}
    assert loaded_after(statement, *HEAVY, environment=settings) == []


def test_engine_loads_no_django() -> None:
    statement = "; ".join(f"import {module}" for module in ENGINE)
    # Where Django is installed, Celery's messaging library looks at one of its helpers; nothing is configured by that.
    assert loaded_after(statement, "django.conf", "django.db", "rest_framework", "marketplace") == []


def test_checks_load_no_more_than_they_need() -> None:
    """The child that checks an upload has what its worker has loaded; the encoder's libraries alone are 170 MB."""
    statement = "from inference_worker.tasks import batch, kinds; print(*kinds.preload(['inspect']))"
    environment = {"REDIS_URL": "redis://nowhere", "BLOB_STORE_URL": "file:///nowhere"}
    suspects = ("transformers", "sentence_transformers", "peft", "scipy", "sklearn", "sympy")
    assert loaded_after(statement, *suspects, environment=environment) == ["inspect", "compose_check"]


def test_engine_runs_where_django_does_not_exist() -> None:
    """Reading a shipped adapter on the command line, with Django and the marketplace made impossible to import."""
    code = (
        "import sys\n"
        "for name in ('django', 'marketplace', 'rest_framework', 'psycopg'): sys.modules[name] = None\n"
        "from inference_worker.__main__ import main\n"
        "sys.exit(main(['inspect', 'inference_worker/testbed/shipped/adapters/opposites', '--json']))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_contracts_load_no_torch_and_no_django() -> None:
    statement = "import inference_worker.contracts.merge, inference_worker.blobs, inference_worker.roles"
    assert loaded_after(statement, "torch", "numpy", "django", "celery") == []


def test_import_linter_keeps_every_contract() -> None:
    run = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    done = subprocess.run([sys.executable, "-c", run, "--no-cache"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert "0 broken" in done.stdout
