"""Whether PEFT loads the merged adapter and computes what the merge promises.

The web side carries no torch, so the comparison runs in a process of its own, and only where torch is installed.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

from marketplace.core.smoke.site import LeftOut, SmokeFault

TOLERANCE = 1e-4
_WITHIN = 300.0


def compare_logits(base: Path, merged: Path, parents: list[tuple[Path, float]], prompts: list[str]) -> str:
    """Logits of ``merged`` in PEFT against the weighted sum of ``parents`` in PEFT.

    Returns a sentence with the largest difference. Raises ``SmokeFault`` beyond ``TOLERANCE`` and ``LeftOut`` without
    PyTorch.
    """
    if importlib.util.find_spec("torch") is None or importlib.util.find_spec("peft") is None:
        raise LeftOut(
            "PyTorch and PEFT are not installed here, so only the files' digests were compared. To compare the logits "
            "too, run the same against this site from a clone of the repository: `make setup`, then "
            "`.venv/bin/python manage.py smoke --url … --token …`."
        )
    command = [sys.executable, "-m", "inference_worker.testbed.compare", "--base", str(base), "--merged", str(merged)]
    for prompt in prompts:
        command += ["--prompt", prompt]
    command += [f"{folder}:{weight}" for folder, weight in parents]
    environment = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE", "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}
    try:
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=_WITHIN, check=False)
    except subprocess.TimeoutExpired as error:
        raise SmokeFault(f"Comparing the logits took longer than {_WITHIN:g} s") from error
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines()
        raise SmokeFault(f"The logits could not be compared: {lines[-1] if lines else done.returncode}")
    result = json.loads(done.stdout)
    difference, base_difference = float(result["max_difference"]), float(result["max_difference_to_base"])
    if difference > TOLERANCE:
        raise SmokeFault(f"Logits differ by {difference:.2e}, more than {TOLERANCE:g}.")
    if base_difference <= 10 * TOLERANCE:
        raise SmokeFault("The merged adapter changes nothing: its logits are the base's.")
    return f"largest difference {difference:.1e}; {base_difference:.1f} from the base alone"
