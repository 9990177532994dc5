from importlib import import_module

from django.apps import AppConfig


class BasesConfig(AppConfig):
    name = "marketplace.bases"

    def ready(self) -> None:
        import_module("marketplace.bases.recorders")
