from importlib import import_module

from django.apps import AppConfig


class EvaluationsConfig(AppConfig):
    name = "marketplace.evaluations"

    def ready(self) -> None:
        import_module("marketplace.evaluations.recorders")
