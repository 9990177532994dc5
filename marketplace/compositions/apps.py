from importlib import import_module

from django.apps import AppConfig


class CompositionsConfig(AppConfig):
    name = "marketplace.compositions"

    def ready(self) -> None:
        import_module("marketplace.compositions.recorders")
        import_module("marketplace.compositions.pairs.recorders")
