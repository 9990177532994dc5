from importlib import import_module

from django.apps import AppConfig


class CatalogConfig(AppConfig):
    name = "marketplace.catalog"

    def ready(self) -> None:
        # Recorders register themselves; models have to be loaded before.
        import_module("marketplace.catalog.recorders")
