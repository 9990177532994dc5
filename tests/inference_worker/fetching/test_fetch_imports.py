"""The fetch worker is small: it loads no tensor library."""

from __future__ import annotations

import subprocess
import sys


def test_fetching_loads_no_torch() -> None:
    code = "import sys, inference_worker.tasks.handlers.fetch; print({'torch', 'numpy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
