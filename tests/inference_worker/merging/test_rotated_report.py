"""What a rotation hides, the report does not tell."""

from __future__ import annotations

import json
from pathlib import Path

from reference.random_factors import write_random

from inference_worker.contracts.merge_output import MergeOutput
from inference_worker.merging import merge_adapters


def test_a_rotated_merge_tells_nothing_of_its_parents_units(tmp_path: Path) -> None:
    readers = [write_random(tmp_path / str(seed), seed) for seed in range(2)]
    reports = []
    for rotate in (False, True):
        output = MergeOutput(rank=4, rotate=rotate)
        files = merge_adapters(readers, [1.0, 1.0], "lego", tmp_path / f"out{rotate}", output=output).files
        reports.append(json.loads(files["merge_report.json"].read_text("utf-8")))
    plain, turned = reports
    assert "clusters" in plain
    assert all(module["detail"] for module in plain["modules"])
    assert "clusters" not in turned
    assert not any(module["detail"] for module in turned["modules"])
    assert [module["rank"] for module in turned["modules"]] == [4] * len(plain["modules"])
