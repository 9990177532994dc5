"""Logs: one JSON object per line, with the request's id; without colours and local variables."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PROGRAM = """
import logging, logging.config, structlog
from marketplace.settings.logging import configure_structlog, logging_settings
configure_structlog()
logging.config.dictConfig(logging_settings({log_format!r}, "INFO"))
structlog.contextvars.bind_contextvars(request_id="r-1", job="j-1")
structlog.get_logger("marketplace.jobs").info("job_dispatched", kind="merge")
logging.getLogger("uvicorn.error").info("Started", extra={{"color_message": "\\x1b[1mStarted"}})
logging.getLogger("uvicorn.access").info("GET /")
secret = "do not tell"
try:
    raise ValueError("broken")
except ValueError:
    structlog.get_logger("marketplace").exception("failed")
"""


def output(log_format: str) -> str:
    program = PROGRAM.format(log_format=log_format)
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stderr


def test_json_lines_carry_the_ids() -> None:
    lines = [json.loads(line) for line in output("json").splitlines()]
    assert [line["event"] for line in lines] == ["job_dispatched", "Started", "failed"]
    for line in lines:
        assert (line["request_id"], line["job"]) == ("r-1", "j-1")
        assert {"timestamp", "level", "logger"} <= set(line)
        assert "color_message" not in line
    assert lines[0]["kind"] == "merge"
    assert "ValueError: broken" in lines[2]["exception"]


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_tracebacks_do_not_tell_local_variables(log_format: str) -> None:
    text = output(log_format)
    assert "ValueError: broken" in text
    assert "do not tell" not in text
    assert "\x1b[" not in text
