"""The Makefile's targets: the interface that people and other scripts rely on."""

from __future__ import annotations

import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_help_lists_the_targets() -> None:
    listed = subprocess.run(["make", "-s", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for target in ("setup", "demo", "reset", "test", "check", "bench", "smoke", "fuzz"):
        assert f"make {target} " in listed


def test_demo_hands_the_settings_on() -> None:
    command = ["make", "-n", "demo", "PORT=8123", "DATA=/tmp/elsewhere", "DEFAULT_BASE=/models/base"]
    planned = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "scripts/setup.py demo" in planned
    assert "-m marketplace.embedded demo" in planned


def test_all_tests_run_in_two_processes_and_some_in_one() -> None:
    def planned(*arguments: str) -> str:
        command = ["make", "-n", "--no-print-directory", "test", *arguments]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        return done.stdout.splitlines()[-1]

    assert planned().endswith("-m pytest -n 2")
    assert planned("ARGS=tests/setup -x").endswith("-m pytest tests/setup -x")
