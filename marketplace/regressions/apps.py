from importlib import import_module

from django.apps import AppConfig


class RegressionsConfig(AppConfig):
    name = "marketplace.regressions"

    def ready(self) -> None:
        import_module("marketplace.regressions.keeping")
