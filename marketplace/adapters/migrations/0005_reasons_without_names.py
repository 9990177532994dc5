"""Reasons that merges have from their parents no longer name them: whoever sees the merge reads its reason."""

import re
from typing import Any

from django.db import migrations

_NAMED = re.compile(r"^[^\s/]+/[^\s/]+ must stay private: ")
_NAMELESS = "A parent must stay private: "


def forget_names(apps: Any, schema_editor: Any) -> None:
    adapters = apps.get_model("adapters", "Adapter")
    for adapter in adapters.objects.filter(private_reason__contains=" must stay private: ").iterator():
        reason = adapter.private_reason
        while _NAMED.match(reason) or reason.startswith(_NAMELESS):
            reason = _NAMED.sub("", reason).removeprefix(_NAMELESS)
        adapters.objects.filter(pk=adapter.pk).update(private_reason=f"{_NAMELESS}{reason}")


class Migration(migrations.Migration):
    dependencies = [("adapters", "0004_likes")]

    operations = [migrations.RunPython(forget_names, migrations.RunPython.noop, elidable=True)]
