"""The operator's health check: what it says when a site is away, and that it catches a wrong merge."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from marketplace.core.smoke.comparison import compare_logits
from marketplace.core.smoke.site import SmokeFault, wait_for
from marketplace.core.smoke.steps import SHIPPED

ROOT = Path(__file__).resolve().parents[3]
ADAPTERS = SHIPPED / "adapters"


def smoke(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The command in a bare environment: it needs no database and no settings."""
    names = ("DATABASE_URL", "SECRET_KEY", "REDIS_URL", "DJANGO_SETTINGS_MODULE")
    bare = {name: value for name, value in os.environ.items() if name not in names}
    command = [sys.executable, "manage.py", "smoke", *arguments]
    return subprocess.run(command, cwd=ROOT, env={**bare, "DATA": "/nowhere"}, capture_output=True, text=True)


def test_a_site_that_is_away_fails_with_words() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    done = smoke("--url", f"http://127.0.0.1:{port}", "--token", "x")
    assert done.returncode == 1
    assert "FAILED  sign in" in done.stdout
    assert "no answer" in done.stdout


def test_without_a_login_it_says_what_to_give() -> None:
    done = smoke()
    assert done.returncode == 1
    assert "Give --token, or --username and --password" in done.stderr


def test_waiting_ends() -> None:
    with pytest.raises(SmokeFault, match="The merge took longer than 0 s"):
        wait_for(lambda: "queued", lambda state: state == "succeeded", 0, "The merge")


def test_comparison_accepts_the_adapter_itself_and_catches_another() -> None:
    """A merge of one adapter at weight 1 is that adapter; at another weight it is not."""
    one = ADAPTERS / "opposites"
    assert "largest difference" in compare_logits(SHIPPED / "base", one, [(one, 1.0)], ["Instruction: x"])
    with pytest.raises(SmokeFault, match="Logits differ"):
        compare_logits(SHIPPED / "base", one, [(one, 0.5)], ["Instruction: x"])


def test_comparison_says_why_it_could_not(tmp_path: Path) -> None:
    shutil.copytree(ADAPTERS / "opposites", tmp_path / "broken")
    (tmp_path / "broken" / "adapter_model.safetensors").write_bytes(b"")
    with pytest.raises(SmokeFault, match="could not be compared"):
        compare_logits(SHIPPED / "base", tmp_path / "broken", [(ADAPTERS / "opposites", 1.0)], ["x"])
