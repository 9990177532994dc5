from importlib import import_module

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    name = "marketplace.accounts"

    def ready(self) -> None:
        # Both register themselves: the schema's security scheme, and the audit of what django-allauth does.
        import_module("marketplace.accounts.schema")
        import_module("marketplace.accounts.receivers")
