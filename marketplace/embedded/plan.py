"""What the demo runs and with which environment."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Protocol

from inference_worker.roles import ROLES
from marketplace.embedded.address import Address
from marketplace.embedded.data_folder import DataFolder
from marketplace.embedded.faults import Fault
from marketplace.embedded.postgres import EmbeddedPostgres
from marketplace.embedded.service import Command

ROOT = Path(__file__).resolve().parent.parent.parent
#: Never handed to the workers: they look nothing up.
MARKETPLACE_ONLY = ("DATABASE_URL", "SECRET_KEY", "DJANGO_SETTINGS_MODULE")
#: In root's database folder: the path of the data folder that it belongs to.
ORIGIN = "origin"
IN_ENV_FILE = (
    "SECRET_KEY",
    "DATABASE_URL",
    "REDIS_URL",
    "CELERY_BROKER_URL",
    "BLOB_STORE_URL",
    "STATIC_ROOT",
    "SITE_URL",
    "INSECURE_HTTP",
    "ALLOWED_HOSTS",
    "LOG_FORMAT",
    "DEFAULT_BASE",
)


class Postgres(Protocol):
    @property
    def url(self) -> str: ...


class Redis(Protocol):
    @property
    def url(self) -> str: ...
    @property
    def broker_url(self) -> str: ...


def marketplace_environment(folder: DataFolder, address: Address, postgres: Postgres, redis: Redis) -> dict[str, str]:
    """The environment of the web process, the marketplace worker and ``manage.py``; what the user has set stays."""
    settings = {
        "SECRET_KEY": folder.remembered("secret_key"),
        "DATABASE_URL": postgres.url,
        "REDIS_URL": redis.url,
        "CELERY_BROKER_URL": redis.broker_url,
        "BLOB_STORE_URL": folder.blobs.as_uri(),
        "STATIC_ROOT": str(folder.static),
        "SITE_URL": address.url,
        "INSECURE_HTTP": "1",
    }
    defaults = {
        "ALLOWED_HOSTS": address.allowed_hosts,
        "LOG_FORMAT": "console",
        "DEFAULT_BASE": "wordsmith-v1",
        "OMP_NUM_THREADS": "1",
        "OMP_WAIT_POLICY": "PASSIVE",
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONUNBUFFERED": "1",
        "DJANGO_SETTINGS_MODULE": "marketplace.settings",
    }
    set_by_user = {name: value for name, value in os.environ.items() if value}
    return {**defaults, **set_by_user, **settings}


def worker_environment(environment: dict[str, str]) -> dict[str, str]:
    """The same without what only the marketplace may know."""
    return {name: value for name, value in environment.items() if name not in MARKETPLACE_ONLY}


def write_env_file(environment: dict[str, str], folder: DataFolder) -> None:
    """Leave the settings for ``manage.py``, so that its commands reach the running demo."""
    lines = [f"{name}={environment[name]}" for name in IN_ENV_FILE]
    folder.write("env", "\n".join([*lines, f"DEMO_PASSWORDS={folder.passwords}", ""]), mode=0o600)


def manage(*arguments: str) -> list[str]:
    return [sys.executable, str(ROOT / "manage.py"), *arguments]


def web_command(folder: DataFolder, address: Address, environment: dict[str, str]) -> Command:
    argv = [sys.executable, "-m", "uvicorn", "marketplace.asgi:application"]
    argv += ["--host", address.host, "--port", str(address.port)]
    # Readers of streams would keep a stopping server waiting for as long as they read.
    argv += ["--lifespan", "off", "--no-access-log", "--timeout-graceful-shutdown", "3", "--timeout-keep-alive", "75"]
    return Command(argv, environment, ROOT, folder.logs / "web.log", grace=6.0)


def worker_commands(folder: DataFolder, environment: dict[str, str]) -> dict[str, Command]:
    """Every Celery worker by its role."""
    commands = {}
    for name, role in ROLES.items():
        own = environment if name == "marketplace" else worker_environment(environment)
        own = {**own, **role.environment}
        argv = [sys.executable, "-m", *role.arguments]
        commands[name] = Command(argv, own, ROOT, folder.logs / f"{name}.log", grace=8.0)
    return commands


def seed_arguments(folder: DataFolder) -> list[str]:
    return ["seed_demo", "--passwords", str(folder.passwords)]


def check_origin(folder: DataFolder, postgres: EmbeddedPostgres) -> None:
    """Where root's database lies outside the data folder, a copied data folder must not share it.

    Raises:
        Fault: the data folder is a copy of one that still exists.
    """
    first = origin_of(postgres)
    if first is not None and first != folder.path and folder.same_instance(first):
        raise Fault(f"{folder.path} is a copy of {first} without its database: `make reset` empties the copy.")
    if postgres.home != folder.path:
        postgres.home.mkdir(mode=0o755, parents=True, exist_ok=True)
        (postgres.home / ORIGIN).write_text(str(folder.path), encoding="utf-8")


def origin_of(postgres: EmbeddedPostgres) -> Path | None:
    """The data folder for which root's database was made; None where there is none elsewhere."""
    origin = postgres.home / ORIGIN
    return Path(origin.read_text(encoding="utf-8")) if origin.exists() else None
