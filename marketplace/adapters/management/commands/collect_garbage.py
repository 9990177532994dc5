"""``manage.py collect_garbage``: what beat does every hour, now."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from marketplace.adapters.garbage import collect_garbage


class Command(BaseCommand):
    help = "Delete abandoned uploads and bytes that nothing needs any more (after a day of grace)."

    def handle(self, *args: Any, **options: Any) -> None:
        found = collect_garbage()
        self.stdout.write(
            f"Deleted {found.uploads} uploads, {found.versions} versions, {found.artifacts} artefacts and "
            f"{found.blobs} blobs ({found.size:,} bytes)."
        )
