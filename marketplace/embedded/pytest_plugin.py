"""Real PostgreSQL and Redis for the whole run, in a folder of their own.

With ``-n 2`` each of the processes that run tests has servers of its own, so they share nothing; the process that hands
the tests out has none.

Loaded with ``-p`` (see ``pyproject.toml``) because the servers must run before Django's settings are read, which take
their addresses from the environment, and pytest-django reads those before any conftest.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

for _name, _value in {
    "DJANGO_SETTINGS_MODULE": "marketplace.settings.test",
    "OMP_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "PASSIVE",
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_OFFLINE": "1",
    # Playwright's synchronous API runs a loop in the test's thread; the ORM is used beside it on purpose.
    "DJANGO_ALLOW_ASYNC_UNSAFE": "1",
}.items():
    os.environ.setdefault(_name, _value)

from marketplace.embedded.postgres import EmbeddedPostgres
from marketplace.embedded.redis import EmbeddedRedis

_SERVERS: list[EmbeddedPostgres | EmbeddedRedis] = []
_HOME = Path(tempfile.mkdtemp(prefix="brickyard-tests-"))
#: Seconds that a server may take to start on a busy machine.
_PATIENCE = 120.0
_BROWSER = "tests/browser/"
#: Tests that start whole sites do so at different times, for the sake of memory, and not at the end: the rest is small
#: files, with which all processes end at about the same time.
_ORDER = (_BROWSER, "tests/inference_worker/", "tests/docs/", "tests/processes/")


def _set_environment(database: str, redis: str, broker: str) -> None:
    # WhiteNoise warns of a missing folder, and warnings are errors.
    (_HOME / "static").mkdir(exist_ok=True)
    os.environ.update(
        {
            "DATABASE_URL": database,
            "REDIS_URL": redis,
            "CELERY_BROKER_URL": broker,
            "BLOB_STORE_URL": f"file://{_HOME / 'blobs'}",
            "SECRET_KEY": "only-for-tests",
            "INSECURE_HTTP": "1",
            "ALLOWED_HOSTS": "*",
            "STATIC_ROOT": str(_HOME / "static"),
            "THROTTLE_ANON": "100000/min",
            "THROTTLE_USER": "100000/min",
            "THROTTLE_UPLOAD": "100000/min",
            "THROTTLE_MERGE": "100000/min",
            "THROTTLE_GENERATE": "100000/min",
            "THROTTLE_REPORT": "100000/min",
            "THROTTLE_REPORT_ANON": "100000/min",
            "THROTTLE_TOKEN": "100000/min",
            "THROTTLE_LOGIN": "100000/m/ip",
            "THROTTLE_LOGIN_FAILED": "100000/m/ip",
            "THROTTLE_SIGNUP": "100000/m/ip",
            "THROTTLE_RESET_PASSWORD": "100000/m/ip",
        }
    )


def _start_servers() -> None:
    postgres, redis = EmbeddedPostgres(_HOME), EmbeddedRedis(_HOME / "redis")
    _SERVERS.extend([postgres, redis])
    _set_environment(postgres.start(_PATIENCE), redis.start(_PATIENCE), redis.broker_url)


@pytest.hookimpl(wrapper=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> Iterator[None]:
    """A wrapper, because pytest-django reads the settings in the same hook."""
    distributed = getattr(early_config.known_args_namespace, "numprocesses", None)
    if distributed and "PYTEST_XDIST_WORKER" not in os.environ:
        _set_environment("postgres://nobody@/nothing", "redis://localhost/0", "redis://localhost/0")
    else:
        _start_servers()
    return (yield)


class ByFile(LoadFileScheduling):  # type: ignore[misc]
    """Hands out whole files in the order of collection, and the browser's as one, because they share one site."""

    def __init__(self, config: pytest.Config, log: Producer | None = None) -> None:
        super().__init__(config, log)
        config.option.loadscopereorder = False

    def _split_scope(self, nodeid: str) -> str:
        return "browser" if nodeid.startswith(_BROWSER) else super()._split_scope(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByFile:
    return ByFile(config, log)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def place(item: pytest.Item) -> int:
        return next((place for place, folder in enumerate(_ORDER) if item.nodeid.startswith(folder)), len(_ORDER))

    items.sort(key=place)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure() -> None:
    for server in _SERVERS:
        if isinstance(server, EmbeddedPostgres):
            server.stop()
            shutil.rmtree(server.home, ignore_errors=True)
        else:
            server.stop()
    shutil.rmtree(_HOME, ignore_errors=True)
