"""Real PostgreSQL and Redis for the whole run, in a folder of their own.

Loaded with ``-p`` (see ``pyproject.toml``) because they must run before Django's settings are read, which take their
addresses from the environment, and pytest-django reads those before any conftest.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest

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


def _start_servers() -> None:
    postgres, redis = EmbeddedPostgres(_HOME), EmbeddedRedis(_HOME / "redis")
    _SERVERS.extend([postgres, redis])
    # WhiteNoise warns of a missing folder, and warnings are errors.
    (_HOME / "static").mkdir(exist_ok=True)
    os.environ.update(
        {
            "DATABASE_URL": postgres.start(),
            "REDIS_URL": redis.start(),
            "CELERY_BROKER_URL": redis.broker_url,
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


_start_servers()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Browser tests come last: Playwright's synchronous API leaves a loop running in the thread, in which no
    asynchronous test can start."""
    items.sort(key=lambda item: "browser" in item.path.parts)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure() -> None:
    for server in _SERVERS:
        if isinstance(server, EmbeddedPostgres):
            server.stop()
            shutil.rmtree(server.home, ignore_errors=True)
        else:
            server.stop()
    shutil.rmtree(_HOME, ignore_errors=True)
