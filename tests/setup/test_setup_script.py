"""The script that every start begins with; it runs under whatever Python there is."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts" / "setup.py"


@pytest.fixture
def setup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script as a module, over an empty project."""
    spec = importlib.util.spec_from_file_location("brickyard_setup", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name in ("pyproject.toml", "constraints.txt"):
        (tmp_path / name).write_text("", encoding="utf-8")
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "python").touch()
    monkeypatch.setattr(module, "ROOT", str(tmp_path))
    monkeypatch.setattr(module, "PYTHON", str(tmp_path / ".venv" / "bin" / "python"))
    monkeypatch.setattr(module, "STAMP", str(tmp_path / ".venv" / "brickyard-setup.json"))
    return module


def old_pythons() -> list[Path]:
    """Interpreters on this machine that are too old, where a version manager has some."""
    found = [
        path for version in ("2.7", "3.6", "3.8", "3.10") for path in Path.home().glob(f".pyenv/versions/{version}.*")
    ]
    return [path / "bin" / "python" for path in found]


@pytest.mark.parametrize("python", old_pythons(), ids=lambda path: path.parts[-3])
def test_an_old_python_says_so_in_one_line(python: Path) -> None:
    done = subprocess.run([python, SCRIPT, "demo"], capture_output=True, text=True)
    assert done.returncode == 1
    assert re.fullmatch(r"Python 3\.11 or newer is needed, this is \d\.\d+ \(.*\)\.( Found .*)?\n", done.stderr)


def test_a_finished_installation_is_not_repeated(setup: ModuleType) -> None:
    assert not setup.satisfied("demo")
    Path(setup.STAMP).write_text(json.dumps({"fingerprint": setup.fingerprint(), "tiers": ["dev"]}))
    assert setup.satisfied("dev")
    assert setup.satisfied("demo")


def test_changed_pins_install_again(setup: ModuleType) -> None:
    Path(setup.STAMP).write_text(json.dumps({"fingerprint": setup.fingerprint(), "tiers": ["demo"]}))
    assert setup.satisfied("demo")
    assert not setup.satisfied("dev")
    (Path(setup.ROOT) / "constraints.txt").write_text("django==5.2.0\n")
    assert not setup.satisfied("demo")


def test_a_full_disk_is_said_in_one_line(
    setup: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(setup, "NEEDED_MEBIBYTES", 10**12)
    assert setup.main(["demo"]) == 1
    assert re.fullmatch(r"The disk is too full to install: \d+ MiB are free .*\n", capsys.readouterr().err)


@pytest.mark.parametrize(
    ("output", "line"),
    [
        ("x\nOSError: [Errno 28] No space left on device\n", "The disk is full: free some space"),
        ("x\nERROR: No matching distribution found for torch==2.13.0\ny", "No matching distribution found for torch"),
    ],
)
def test_installers_faults_become_one_line(setup: ModuleType, output: str, line: str) -> None:
    explained = setup.explain(output)
    assert line in explained
    assert "\n" not in explained


def test_wrong_arguments_exit_with_2() -> None:
    assert subprocess.run([sys.executable, SCRIPT, "everything"], capture_output=True).returncode == 2


def test_constraints_pin_every_dependency_once() -> None:
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    names = [re.fullmatch(r"([A-Za-z0-9._-]+)==[\w.]+", line) for line in lines]
    assert all(names), [line for line, name in zip(lines, names, strict=True) if not name]
    assert len({name[1].lower() for name in names if name}) == len(lines)
