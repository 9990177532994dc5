"""Whether each part that the site needs answers, each with words on how to mend it."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Generic, TypeVar

import psycopg
import redis
from django.conf import settings
from django.db.migrations.loader import MigrationLoader
from kombu.exceptions import OperationalError as BrokerError

from inference_worker.errors import EngineError
from marketplace.celery import app
from marketplace.core.redis import redis_client
from marketplace.core.store import blob_store

Answer = TypeVar("Answer")

_CONNECT_SECONDS = 2
_PING_SECONDS = 0.7
#: An answer of the workers is good for this long, so that health checks do not become load.
_PING_LIFETIME = 3.0
#: All parts' states are good for this long: whoever hammers ``/readyz`` costs one question to the servers.
_PARTS_LIFETIME = 2.0
#: Role -> what stays away without it.
WORKERS = {
    "marketplace": "results of jobs are not recorded",
    "live": "search by meaning and generation do not answer",
    "inspect": "uploads are not checked",
    "embed": "new adapters are not found by meaning, and bases are not read",
    "fetch": "imports wait",
    "batch": "merges and exports wait",
}


@dataclass(frozen=True)
class Part:
    """One part's state. Without a ``required`` part the site cannot serve; without another it does less."""

    name: str
    ok: bool
    required: bool
    message: str = ""

    def as_json(self) -> dict[str, object]:
        return {"ok": self.ok, "required": self.required, "message": self.message}


def all_parts() -> list[Part]:
    """Every part, the required ones first."""
    database = _database()
    parts = [*database, _redis(), _blob_store()]
    broker_answers = next(part.ok for part in parts if part.name == "redis")
    return [*parts, *_workers(broker_answers)]


def _database() -> list[Part]:
    """The database itself, then whether its tables are the ones that this code expects.

    It is asked on a connection of its own: the pool would wait for a server that is away, and be full under load.
    """
    address = settings.DATABASES["default"]
    try:
        with psycopg.connect(
            dbname=address["NAME"],
            user=address.get("USER") or None,
            password=address.get("PASSWORD") or None,
            host=address["OPTIONS"].get("host") or address.get("HOST") or None,
            port=address.get("PORT") or None,
            connect_timeout=_CONNECT_SECONDS,
        ) as connection:
            missing = _missing_migrations(connection)
    except psycopg.Error as error:
        reason = next(iter(str(error).strip().splitlines()), repr(error))
        return [
            Part("postgres", False, True, f"PostgreSQL does not answer: {reason}"),
            Part("migrations", False, True, "Unknown while PostgreSQL does not answer."),
        ]
    if missing:
        words = f"{len(missing)} migrations are not applied, the first is {missing[0]}: run `manage.py migrate`."
        return [Part("postgres", True, True), Part("migrations", False, True, words)]
    return [Part("postgres", True, True), Part("migrations", True, True)]


@cache
def _known_migrations() -> tuple[tuple[str, str], ...]:
    return tuple(sorted(MigrationLoader(None, ignore_no_migrations=True).disk_migrations))


def _missing_migrations(connection: psycopg.Connection[tuple[object, ...]]) -> list[str]:
    table = connection.execute("SELECT to_regclass('django_migrations')").fetchone()
    applied = set()
    if table is not None and table[0] is not None:
        applied = {(app, name) for app, name in connection.execute("SELECT app, name FROM django_migrations")}
    return [f"{app}.{name}" for app, name in _known_migrations() if (app, name) not in applied]


def _redis() -> Part:
    try:
        redis_client().ping()
    except redis.RedisError as error:
        return Part("redis", False, True, f"Redis does not answer: {error}")
    return Part("redis", True, True)


def _blob_store() -> Part:
    """Writes a document and reads it again: a full or read-only disk is found before an upload finds it."""
    # A result of no job, under a name that no other asker uses at the same time.
    name = f"results/00000000-0000-0000-0000-{secrets.token_hex(6)}/0"
    try:
        store = blob_store()
        store.put_document(name, b"ok")
        found = store.get_document(name)
        store.delete_document(name)
    except (OSError, EngineError) as error:
        return Part("blob_store", False, True, f"The blob store cannot be written: {error}")
    if found != b"ok":
        return Part("blob_store", False, True, "The blob store lost what was written into it a moment ago.")
    return Part("blob_store", True, True)


def _workers(broker_answers: bool) -> list[Part]:
    present = _roles.get() if broker_answers else frozenset()
    return [
        Part(
            f"{role}_worker",
            role in present,
            False,
            "" if role in present else f"No {role} worker answers: {without}.",
        )
        for role, without in WORKERS.items()
    ]


class _Remembered(Generic[Answer]):
    """The last answer for as long as ``lifetime`` says; several askers at once wait for one question."""

    def __init__(self, ask: Callable[[], Answer], lifetime: Callable[[Answer], float]) -> None:
        self._ask = ask
        self._lifetime = lifetime
        self._lock = threading.Lock()
        self._held: tuple[float, Answer] | None = None

    def get(self) -> Answer:
        with self._lock:
            if self._held is None or time.monotonic() >= self._held[0]:
                value = self._ask()
                self._held = time.monotonic() + self._lifetime(value), value
            return self._held[1]


def _ping() -> frozenset[str]:
    """Roles of the workers that answer within ``_PING_SECONDS``; their nodes are named ``role@host``."""
    try:
        answers = app.control.ping(timeout=_PING_SECONDS)
    except (BrokerError, redis.RedisError, OSError):
        return frozenset()
    return frozenset(node.split("@")[0] for answer in answers or [] for node in answer)


def _ping_lifetime(present: frozenset[str]) -> float:
    """Where a role is missing, its return should be seen soon."""
    return _PING_LIFETIME * (1.0 if set(WORKERS) <= present else 0.1)


_roles = _Remembered(_ping, _ping_lifetime)


def live_roles() -> frozenset[str]:
    """Roles of which at least one worker answers."""
    return _roles.get()


_parts = _Remembered(all_parts, lambda parts: _PARTS_LIFETIME * (1.0 if all(part.ok for part in parts) else 0.25))


def known_parts() -> list[Part]:
    """``all_parts``, at most ``_PARTS_LIFETIME`` seconds old in this process."""
    return _parts.get()
