"""The group of moderators, there after every migration."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig, apps
from django.contrib.auth.management import create_permissions

MODERATORS = "Moderators"


def ensure_moderators(sender: AppConfig, using: str = "default", **_: Any) -> None:
    """Create the group ``Moderators`` with the permission ``accounts.moderate``. A group that exists is the
    operator's and stays as it is. Members also need ``is_staff`` to enter the admin."""
    group_model = apps.get_model("auth", "Group")
    permission_model = apps.get_model("auth", "Permission")
    # Permissions are made by the same signal, app after app; this one may not have had its turn.
    create_permissions(apps.get_app_config("accounts"), verbosity=0, using=using)
    group, created = group_model.objects.using(using).get_or_create(name=MODERATORS)
    if created:
        group.permissions.add(
            permission_model.objects.using(using).get(codename="moderate", content_type__app_label="accounts")
        )
