"""A miniature of the demo that starts in a moment: the real guard and supervisor over real, small processes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.marketplace.embedded.running import MINIATURE, Miniature


@pytest.fixture
def miniature(tmp_path: Path) -> Iterator[Miniature]:
    process = subprocess.Popen(
        [sys.executable, str(MINIATURE), str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    running = Miniature(tmp_path, process)
    running.wait(lambda: len(running.pids("child")) > 0 and len(running.pids("second")) > 0)
    left = running.everybody()
    yield running
    for found in left:
        if found.is_running():
            found.kill()
    process.kill()
    process.communicate()
