from importlib import import_module

from django.apps import AppConfig
from django.db.models.signals import post_migrate

from marketplace.bases.shipped import ship_aliases


class BasesConfig(AppConfig):
    name = "marketplace.bases"

    def ready(self) -> None:
        import_module("marketplace.bases.recorders")
        post_migrate.connect(ship_aliases, sender=self, dispatch_uid="bases.ship_aliases")
