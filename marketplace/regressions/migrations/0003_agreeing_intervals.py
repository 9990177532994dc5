"""Differences of checks whose interval has no width, because all pairs differed by the same, get one."""

from __future__ import annotations

from typing import Any

from django.db import migrations

from inference_worker.contracts.intervals import paired_of

_SAME = 1e-9


def renewed(row: dict[str, Any] | None) -> dict[str, Any] | None:
    if not row or not row.get("n") or row["high"] - row["low"] > _SAME:
        return row
    low, high = paired_of([row["value"]] * row["n"]) or (row["low"], row["high"])
    return {**row, "low": low, "high": high}


def renew_checks(apps: Any, schema_editor: Any) -> None:
    checks = apps.get_model("regressions", "Check").objects
    for check in checks.exclude(difference=None, since_difference=None).iterator(chunk_size=500):
        found = renewed(check.difference), renewed(check.since_difference)
        if found != (check.difference, check.since_difference):
            check.difference, check.since_difference = found
            check.save(update_fields=["difference", "since_difference"])


class Migration(migrations.Migration):
    dependencies = [
        ("regressions", "0002_references_and_labels"),
    ]

    operations = [
        migrations.RunPython(renew_checks, migrations.RunPython.noop),
    ]
