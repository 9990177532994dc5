"""``manage.py reembed``: ask workers for every vector that is missing or stale."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from marketplace.adapters.models import Adapter, Embedding
from marketplace.catalog.services import embeddable, request_embeddings
from marketplace.catalog.vector_index import drop_vector_index


class Command(BaseCommand):
    help = "Queue embedding jobs for adapters whose vectors are missing or stale; --drop removes an old encoder's."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--encoder", default=settings.ENCODER, help="Which encoder to embed with.")
        parser.add_argument("--all", action="store_true", help="Embed current vectors anew as well.")
        parser.add_argument("--drop", metavar="ENCODER", help="Delete this encoder's vectors and index, queue nothing.")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["drop"]:
            self._drop(options["drop"])
            return
        queued = 0
        for adapter in embeddable(Adapter.objects.all()).order_by("pk").iterator(chunk_size=200):
            queued += request_embeddings(adapter, encoder=options["encoder"], force=options["all"]) is not None
        self.stdout.write(f"Queued {queued} embedding jobs for {options['encoder']}.")

    def _drop(self, encoder: str) -> None:
        if encoder == settings.ENCODER:
            self.stderr.write(f"{encoder} is the site's encoder; set ENCODER to another one first.")
            raise SystemExit(2)
        count, _ = Embedding.objects.filter(encoder=encoder).delete()
        drop_vector_index(encoder)
        self.stdout.write(f"Deleted {count} vectors of {encoder} and its index.")
