"""``manage.py import_adapter SOURCE… --owner NAME``: one adapter or folders of many, from disk or from elsewhere."""

from __future__ import annotations

import argparse
from collections import Counter
from dataclasses import replace
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from marketplace.adapters.imports.bulk import FAILED, Outcome, Wishes, import_item
from marketplace.adapters.imports.finding import BEST, Item, find_items
from marketplace.adapters.models import Adapter
from marketplace.core.errors import AppError

_FIELDS = ("title", "description", "license", "tags", "base")


class Command(BaseCommand):
    help = (
        "Upload and publish adapters: a folder with a PEFT adapter, a folder of such folders, a zip, a list of sources "
        "(.json or .csv), an id of the hub, or an https address. A meta.json beside an adapter gives its fields."
    )

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("sources", nargs="+", metavar="SOURCE", help="folder, zip, list, owner/name, or address")
        parser.add_argument(
            "--owner", default="", help="whose they become; meta.json's or the list's owner unless told"
        )
        parser.add_argument("--name", default="", help="for one adapter alone; else the folder's, or meta.json's")
        parser.add_argument("--title", default="")
        parser.add_argument("--description", default="")
        parser.add_argument("--license", default="")
        parser.add_argument("--tag", action="append", default=[], dest="tags", help="may be repeated")
        parser.add_argument("--base", default="", help="where the config names none that is known")
        parser.add_argument("--visibility", choices=Adapter.Visibility.values, default="")
        parser.add_argument(
            "--checkpoint",
            default=BEST,
            metavar="STEPS",
            help="in trainers' folders: best (default), last, or a number",
        )
        parser.add_argument("--dry-run", action="store_true", help="say what would be done and change nothing")
        parser.add_argument(
            "--continue", action="store_true", dest="skip_known", help="skip what is there by its name or weights"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        items = self._items(options)
        wishes = Wishes(
            owner=options["owner"],
            fields={key: options[key] for key in (*_FIELDS, "visibility") if options[key]},
            dry_run=options["dry_run"],
            skip_known=options["skip_known"],
        )
        outcomes = []
        for item in items:
            outcomes.append(import_item(item, wishes))
            self._say(outcomes[-1], len(items))
        failed = [outcome for outcome in outcomes if outcome.state == FAILED]
        if len(items) == 1 and failed:
            raise CommandError(failed[0].words)
        if len(items) > 1:
            counts = Counter(outcome.state for outcome in outcomes)
            self.stdout.write(", ".join(f"{count} {state}" for state, count in counts.items()) + ".")
        if failed:
            raise CommandError(f"{len(failed)} of {len(items)} could not be imported; the reasons are above.")

    def _items(self, options: dict[str, Any]) -> list[Item]:
        try:
            found = [find_items(source, checkpoint=options["checkpoint"]) for source in options["sources"]]
        except AppError as error:
            raise CommandError(error.message) from error
        except (OSError, UnicodeError) as error:
            raise CommandError(str(error)) from error
        items = [item for some in found for item in some]
        if not options["name"]:
            return items
        if len(items) != 1:
            raise CommandError(f"--name is for one adapter, and there are {len(items)}.")
        return [replace(items[0], name=options["name"], fields={**items[0].fields, "name": options["name"]})]

    def _say(self, outcome: Outcome, count: int) -> None:
        if count == 1 and outcome.state == FAILED:
            return  # Said once, as the command's own error.
        line = outcome.words if count == 1 else f"{outcome.state:<10} {outcome.item.shown}: {outcome.words}"
        (self.stderr if outcome.state == FAILED else self.stdout).write(line)
