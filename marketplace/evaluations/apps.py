from importlib import import_module

from django.apps import AppConfig
from django.db.models.signals import post_migrate, post_save


class EvaluationsConfig(AppConfig):
    name = "marketplace.evaluations"

    def ready(self) -> None:
        import_module("marketplace.evaluations.recorders")
        suites = import_module("marketplace.evaluations.suites")
        post_save.connect(suites.make_for_new_base, sender="bases.Base", dispatch_uid="evaluations.suites_of_new_base")
        post_migrate.connect(suites.make_for_all_bases, sender=self, dispatch_uid="evaluations.suites_of_bases")
