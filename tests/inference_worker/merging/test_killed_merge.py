"""A merge that is killed in the middle leaves nothing in its folder."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from reference.random_factors import write_random

ROOT = Path(__file__).parents[3]
CODE = """
import os, signal, sys
from inference_worker.adapter_format import open_directory
from inference_worker.merging import loading, merge_adapters

loading.GROUP_BYTES = 4000  # a group per module
kind, limit, out, *parents = sys.argv[1:]

def progress(fraction, message):
    if fraction >= float(limit):
        assert not os.path.exists(os.path.join(out, "adapter_model.safetensors"))
        os.kill(os.getpid(), getattr(signal, kind))

readers = [open_directory(parent) for parent in parents]
merge_adapters(readers, [1.0] * len(readers), "svd", out, progress=progress, threads=2)
"""


@pytest.mark.parametrize("kind", ["SIGKILL", "SIGTERM"])
@pytest.mark.parametrize("limit", ["0.4", "0.98"])
def test_nothing_is_left(kind: str, limit: str, tmp_path: Path) -> None:
    for seed in range(2):
        write_random(tmp_path / f"p{seed}", seed).close()
    out = tmp_path / "out"
    line = [sys.executable, "-c", CODE, kind, limit, str(out), str(tmp_path / "p0"), str(tmp_path / "p1")]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (-getattr(signal, kind), "")
    assert list(out.iterdir()) == []
