"""Exact match has score intervals: those that were measured with the bootstrap's are written anew from their counts.

Token F1 of short answers is the same number; where it is another one, its interval stays the bootstrap's.
"""

from __future__ import annotations

from typing import Any

from django.db import migrations

from inference_worker.contracts.intervals import paired_interval, share_interval

Metrics = dict[str, dict[str, Any]]
_AT_ONCE = 200


def _share(row: dict[str, Any]) -> tuple[float, float]:
    return share_interval(min(max(round(row["value"] * row["n"]), 0), row["n"]), row["n"])


def _pairs(row: dict[str, Any]) -> tuple[float, float]:
    """Rows from before wins and losses were counted have as few as their difference allows."""
    net = round(row["value"] * row["n"])
    return paired_interval(row.get("wins", max(net, 0)), row.get("losses", max(-net, 0)), row["n"])


def _renewed(metrics: Metrics, interval: Any) -> Metrics:
    exact = metrics.get("exact_match")
    if not exact or not exact.get("n"):
        return metrics
    low, high = interval(exact)
    return {name: {**row, "low": low, "high": high} if row == exact else row for name, row in metrics.items()}


def renew_runs(apps: Any, schema_editor: Any) -> None:
    run_model = apps.get_model("evaluations", "EvaluationRun")
    fields = ["estimates", "difference", "differences"]
    rows = []
    for run in run_model.objects.filter(state="measured").only("pk", *fields).iterator(chunk_size=_AT_ONCE):
        levels = run.estimates
        run.estimates = {
            "overall": _renewed(levels.get("overall", {}), _share),
            **{
                level: {name: _renewed(metrics, _share) for name, metrics in levels.get(level, {}).items()}
                for level in ("tasks", "clusters")
            },
        }
        run.difference = _renewed(run.difference, _pairs)
        run.differences = {key: _renewed(metrics, _pairs) for key, metrics in run.differences.items()}
        rows.append(run)
        if len(rows) == _AT_ONCE:
            run_model.objects.bulk_update(rows, fields)
            rows = []
    run_model.objects.bulk_update(rows, fields)


def renew_gains(apps: Any, schema_editor: Any) -> None:
    """The order of the catalogue: the lower ends, of the runs that gains come from."""
    standing_model = apps.get_model("evaluations", "Standing")
    run_model = apps.get_model("evaluations", "EvaluationRun")
    for standing in standing_model.objects.exclude(gain=None).iterator(chunk_size=500):
        runs = run_model.objects.filter(
            state="measured", key__in=list(standing.keys.values()), suite__kind__in=("parents", "examples")
        )
        # Parents' examples first.
        run = runs.order_by("-suite__kind", "-finished_at", "-pk").first()
        if run is not None and run.difference.get("exact_match"):
            standing.gain_low = run.difference["exact_match"]["low"]
            standing.save(update_fields=["gain_low"])


class Migration(migrations.Migration):
    dependencies = [
        ("evaluations", "0005_standing_keys"),
    ]

    operations = [
        migrations.RunPython(renew_runs, migrations.RunPython.noop),
        migrations.RunPython(renew_gains, migrations.RunPython.noop),
    ]
