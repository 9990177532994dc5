"""``manage.py ensure_vector_index``: make an encoder's index now instead of waiting for beat."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from marketplace.catalog.vector_index import dimensions_of, ensure_vector_index, index_name


class Command(BaseCommand):
    help = "Create the HNSW index of an encoder's vectors unless it exists; the site goes on serving."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--encoder", default=settings.ENCODER)

    def handle(self, *args: Any, **options: Any) -> None:
        encoder = options["encoder"]
        if dimensions_of(encoder) is None:
            self.stdout.write(f"There are no vectors of {encoder} yet, so there is nothing to index.")
            return
        made = ensure_vector_index(encoder)
        self.stdout.write(f"{index_name(encoder)} {'was made' if made else 'is there already'}.")
