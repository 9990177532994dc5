"""Standings know the key of the run that counts on each suite.

Which it is follows from the adapter as it is now, so all of them are asked for anew; what was measured is found. Until
then the newest run counts, as it did before."""

from __future__ import annotations

from typing import Any

from django.db import migrations, models


def take_the_newest(apps: Any, schema_editor: Any) -> None:
    standing_model = apps.get_model("evaluations", "Standing")
    run_model = apps.get_model("evaluations", "EvaluationRun")
    for standing in standing_model.objects.select_related("adapter__current").iterator(chunk_size=500):
        current = standing.adapter.current
        if current is not None:
            suites = standing.suites.values_list("pk", flat=True)
            runs = run_model.objects.filter(state="measured", artifact=current.artifact_id, suite__in=list(suites))
            rows = runs.order_by("finished_at", "pk").values_list("suite", "key")
            standing.keys = {str(suite): key for suite, key in rows}
        standing.digest = standing.ran_on = ""
        standing.save(update_fields=["keys", "digest", "ran_on"])


class Migration(migrations.Migration):
    dependencies = [
        ("evaluations", "0004_hidden_results"),
    ]

    operations = [
        migrations.AddField(model_name="standing", name="keys", field=models.JSONField(default=dict)),
        migrations.RunPython(take_the_newest, migrations.RunPython.noop),
    ]
