"""``manage.py prune_evaluations [--dry-run]``: what beat does once a day, now."""

from __future__ import annotations

import argparse
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from marketplace.evaluations.retention import prune_runs


class Command(BaseCommand):
    help = "Delete evaluation runs that newer ones have superseded and that no page shows, with their answers."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="count them and delete nothing")
        parser.add_argument(
            "--keep",
            type=_count(1),
            default=settings.EVALUATION_KEEP_RUNS,
            metavar="N",
            help="runs kept of each adapter or mix on each suite (%(default)s)",
        )
        parser.add_argument(
            "--days",
            type=_count(0),
            default=settings.EVALUATION_KEEP_DAYS,
            metavar="DAYS",
            help="runs younger than this are kept (%(default)s)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        dry_run = options["dry_run"]
        found = prune_runs(keep=options["keep"], days=options["days"], dry_run=dry_run)
        verb = "Would delete" if dry_run else "Deleted"
        self.stdout.write(f"{verb} {found.runs} runs; their answers leave {found.outcomes} blobs.")


def _count(least: int) -> Any:
    def read(text: str) -> int:
        number = int(text)
        if number < least:
            raise argparse.ArgumentTypeError(f"{least} or more")
        return number

    return read
