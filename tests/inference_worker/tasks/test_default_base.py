"""One setting, one name and one source: in the worker that loads the base and in the marketplace that asks for it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from inference_worker.contracts.bases import SHIPPED_BASES
from inference_worker.contracts.common import BaseFiles
from inference_worker.serving.pool import base_key
from inference_worker.tasks.live_service import default_base

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "models" / "tiny").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path / "models")
    return tmp_path


SPELLINGS = ["./tiny", "~/models/tiny", "../models/tiny", "{home}/models/tiny/", "{home}/models/./tiny"]


@pytest.mark.parametrize("setting", SPELLINGS)
def test_every_spelling_of_a_directory_is_one_base(home: Path, setting: str) -> None:
    setting = setting.format(home=home)
    base = default_base(setting)
    assert base is not None
    assert (base.name, base.source) == ("tiny", str(home / "models" / "tiny"))
    assert base_key(base) == base_key(BaseFiles(name="other", source=setting))


def test_hub_ids_and_shipped_bases_stay_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEFAULT_BASE_REVISION", "abc")
    assert default_base("org/model") == BaseFiles(name="org/model", source="org/model", revision="abc")
    shipped = default_base("wordsmith-v1")
    assert shipped == BaseFiles(name="wordsmith-v1", source=str(SHIPPED_BASES["wordsmith-v1"]))
    assert Path(shipped.source, "config.json").is_file()
    assert default_base("") is None


@pytest.mark.parametrize("setting", ["~/models/tiny", "./tiny", "org/model", "wordsmith-v1"])
def test_the_marketplaces_settings_say_the_same(home: Path, setting: str) -> None:
    code = (
        "import json; from marketplace.settings import jobs as s; "
        "print(json.dumps([s.DEFAULT_BASE, s.DEFAULT_BASE_SOURCE]))"
    )
    environment = {**os.environ, "DEFAULT_BASE": setting, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    base = default_base(setting)
    assert base is not None
    assert json.loads(done.stdout) == [base.name, base.source]
