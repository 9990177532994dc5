"""A sample of ``make fuzz``: nothing crashes, hangs or is answered wrongly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.hostile.fuzzer import Fuzzer

SAMPLE = 500


@pytest.fixture
def fuzzer(tmp_path: Path, settings: Any) -> Fuzzer:
    settings.BLOB_STORE_URL = f"file://{tmp_path / 'blobs'}"
    return Fuzzer(tmp_path, seed=0, peft_every=20)


def test_a_sample_of_mutations(fuzzer: Fuzzer) -> None:
    fuzzer.run(["adapter", "zip", "card"], SAMPLE)
    assert fuzzer.findings == []
    for kind, tally in fuzzer.tallies.items():
        assert tally.tried >= SAMPLE // 10, kind
        assert tally.accepted > 0, kind
    assert fuzzer.tallies["adapter"].accepted < fuzzer.tallies["adapter"].tried / 2
    assert len(set().union(*(tally.codes for tally in fuzzer.tallies.values()))) >= 20


def test_the_judge_notices(fuzzer: Fuzzer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A check that lets overlapping tensors and infinite numbers pass is found out."""
    monkeypatch.setattr("inference_worker.adapter_format.header._check_coverage", lambda *_: None)
    monkeypatch.setattr("torch.isfinite", lambda tensor: tensor == tensor.clamp(-3e38, 3e38))
    monkeypatch.setattr("inference_worker.adapter_format.values.ValueReader._check_finite", lambda *_: True)
    fuzzer.run(["adapter"], 300)
    assert fuzzer.findings
