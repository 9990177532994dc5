"""Values that all agree have an interval with a width in token F1, too: where the bootstrap left none, it is written anew.

Exact match is so since 0006. That an interval has no width says that all values are its mean.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db import migrations

from inference_worker.contracts.intervals import Interval, paired_of, share_of

Metrics = dict[str, dict[str, Any]]
_SAME = 1e-9
_AT_ONCE = 200


def renewed(metrics: Metrics, interval: Callable[[list[float]], Interval | None]) -> Metrics:
    return {name: _renewed(row, interval) if name == "token_f1" else row for name, row in metrics.items()}


def _renewed(row: dict[str, Any], interval: Callable[[list[float]], Interval | None]) -> dict[str, Any]:
    if not row.get("n") or row["high"] - row["low"] > _SAME:
        return row
    low, high = interval([row["value"]] * row["n"]) or (row["low"], row["high"])
    return {**row, "low": low, "high": high}


def renew_runs(apps: Any, schema_editor: Any) -> None:
    run_model = apps.get_model("evaluations", "EvaluationRun")
    fields = ["estimates", "difference", "differences"]
    rows = []
    for run in run_model.objects.filter(state="measured").only("pk", *fields).iterator(chunk_size=_AT_ONCE):
        levels = run.estimates
        run.estimates = {
            "overall": renewed(levels.get("overall", {}), share_of),
            **{
                level: {name: renewed(metrics, share_of) for name, metrics in levels.get(level, {}).items()}
                for level in ("tasks", "clusters")
            },
        }
        run.difference = renewed(run.difference, paired_of)
        run.differences = {key: renewed(metrics, paired_of) for key, metrics in run.differences.items()}
        rows.append(run)
        if len(rows) == _AT_ONCE:
            run_model.objects.bulk_update(rows, fields)
            rows = []
    run_model.objects.bulk_update(rows, fields)


class Migration(migrations.Migration):
    dependencies = [
        ("evaluations", "0006_score_intervals"),
    ]

    operations = [
        migrations.RunPython(renew_runs, migrations.RunPython.noop),
    ]
