"""Print ``docs/upload-checks.md``: the register as one table."""

from __future__ import annotations

from inference_worker.contracts.upload_checks import CHECKS

_HEAD = """# Upload checks

Every upload goes through a chain of small checks. Each reports problems with a stable code, a severity, the place (a
file, a tensor, a config key), a message and a remedy. An **error** means not accepted; a **warning** is accepted and
shown; an **info** is a note. A check that crashes means not accepted, and the operators are alerted. Limits are
settings of the workers and of the site: see `.env.example`.

This page is generated: `python -m inference_worker.contracts.upload_checks > docs/upload-checks.md`.

| code | severity | found in | what it means | what to do |
| --- | --- | --- | --- | --- |
"""


def table() -> str:
    rows = (
        f"| `{check.code}` | {' or '.join(check.severities)} | {check.stage} | {_cell(check.meaning)} | "
        f"{_cell(check.remedy)} |"
        for check in CHECKS.checks
    )
    return _HEAD + "\n".join(rows) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|") or "–"


if __name__ == "__main__":
    print(table(), end="")
