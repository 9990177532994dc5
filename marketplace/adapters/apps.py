from importlib import import_module

from django.apps import AppConfig


class AdaptersConfig(AppConfig):
    name = "marketplace.adapters"

    def ready(self) -> None:
        import_module("marketplace.adapters.recorders")
        import_module("marketplace.adapters.imports.recorders")
        import_module("marketplace.adapters.exports.recorders")
