"""A loopback server per test, and settings that name it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from inference_worker.contracts.fetch import AddressSource, FetchRequest, HubSource
from inference_worker.fetching import FetchSettings
from inference_worker.fetching.fetch import Fetched, fetch
from tests.inference_worker.fetching.loopback import Loopback, serving

CONFIG = b'{"peft_type": "LORA", "r": 4}'
WEIGHTS = bytes(range(256)) * 2000
CARD = b"# Card\n"

Fetch = Callable[..., Fetched]


@pytest.fixture
def loopback() -> Iterator[Loopback]:
    with serving() as server:
        yield server


@pytest.fixture
def messages() -> list[str]:
    """What a fetch said: log lines and progress."""
    return []


@pytest.fixture
def run(loopback: Loopback, tmp_path: Path, messages: list[str]) -> Fetch:
    """``run(path or HubSource, max_bytes=…, max_seconds=…, **settings)``."""

    def go(source: str | HubSource, *, max_bytes: int = 10**8, max_seconds: int = 60, **settings: Any) -> Fetched:
        defaults = {"allowed_hosts": frozenset({loopback.allowed}), "backoff": 0.001}
        chosen = source if isinstance(source, HubSource) else AddressSource(url=source)
        return fetch(
            FetchRequest(source=chosen, max_bytes=max_bytes, max_seconds=max_seconds),
            FetchSettings(**{**defaults, **settings}),
            tmp_path / "partial",
            lambda fraction, message: messages.append(f"{fraction:.2f} {message}"),
            messages.append,
        )

    return go


def contents(done: Fetched) -> dict[str, bytes]:
    return {name: path.read_bytes() for name, path in done.files}
