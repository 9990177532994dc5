from django.apps import AppConfig


class RegressionsConfig(AppConfig):
    name = "marketplace.regressions"
