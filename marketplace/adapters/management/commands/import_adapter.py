"""``manage.py import_adapter DIR --owner NAME``: upload and publish from the server's disk."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from marketplace.accounts.models import User
from marketplace.adapters.imports import META, import_adapter, read_meta
from marketplace.adapters.models import Adapter
from marketplace.core.errors import AppError


class Command(BaseCommand):
    help = "Upload a directory (or zip) with a PEFT adapter and publish it. A meta.json in it gives the fields."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("source", type=Path, metavar="DIR", help="a directory or a zip")
        parser.add_argument("--owner", default="", help="whose it becomes; meta.json's owner unless told")
        parser.add_argument("--name", default="", help="meta.json's name or the directory's unless told")
        parser.add_argument("--title", default="")
        parser.add_argument("--description", default="")
        parser.add_argument("--license", default="")
        parser.add_argument("--tag", action="append", default=[], dest="tags", help="may be repeated")
        parser.add_argument("--base", default="", help="where the config names none that is known")
        parser.add_argument("--visibility", choices=Adapter.Visibility.values, default=Adapter.Visibility.PRIVATE)

    def handle(self, *args: Any, **options: Any) -> None:
        source: Path = options["source"]
        try:
            meta = read_meta(source / META) if (source / META).is_file() else {}
            username = options["owner"] or str(meta.get("owner", ""))
            owner = User.objects.filter(username__iexact=username).first()
            if owner is None:
                raise CommandError(f"There is no user “{username}”. Name one with --owner.")
            adapter = import_adapter(
                owner=owner,
                source=source,
                name=options["name"] or str(meta.get("name", "")) or source.resolve().stem,
                fields={**meta, **{key: value for key, value in options.items() if value}},
            )
        except AppError as error:
            raise CommandError(error.message) from error
        except OSError as error:
            raise CommandError(f"{source} cannot be read: {error.strerror}.") from error
        self.stdout.write(f"{adapter.full_name} is published ({adapter.visibility}); its check is queued.")
