"""Jobs that made vectors and have ended let go of the texts: private examples are among them."""

from __future__ import annotations

from django.db import migrations

FORGET = """
UPDATE jobs_job SET request = jsonb_set(request, '{items}', '[]')
WHERE kind = 'embed' AND state IN ('succeeded', 'failed', 'cancelled');
"""


class Migration(migrations.Migration):
    dependencies = [("catalog", "0001_search_column"), ("jobs", "0001_initial")]

    operations = [migrations.RunSQL(sql=FORGET, reverse_sql=migrations.RunSQL.noop)]
