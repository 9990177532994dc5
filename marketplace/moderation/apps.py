from django.apps import AppConfig
from django.db.models.signals import post_migrate

from marketplace.moderation.groups import ensure_moderators


class ModerationConfig(AppConfig):
    name = "marketplace.moderation"

    def ready(self) -> None:
        post_migrate.connect(ensure_moderators, sender=self, dispatch_uid="moderation.ensure_moderators")
