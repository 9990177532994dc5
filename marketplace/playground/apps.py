from django.apps import AppConfig


class PlaygroundConfig(AppConfig):
    name = "marketplace.playground"
