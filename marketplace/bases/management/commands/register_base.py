"""``manage.py register_base NAME [SOURCE]``: make a base known to the site."""

from __future__ import annotations

import argparse
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from marketplace.accounts.models import User
from marketplace.bases import selectors, services
from marketplace.core.errors import AppError


class Command(BaseCommand):
    help = "Register a base model; a worker reads its shapes. Repeating it changes nothing."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("name", help="for example HuggingFaceTB/SmolLM2-135M-Instruct, or a name of your own")
        parser.add_argument("source", nargs="?", default="", help="hub id or directory; the name unless told")
        parser.add_argument("--revision", default="")
        parser.add_argument("--license", default="")
        parser.add_argument("--alias", action="append", default=[], help="another name of it; may be repeated")
        parser.add_argument("--parent", default="", help="the base that it was made from")
        served = parser.add_mutually_exclusive_group()
        served.add_argument("--served", action="store_true", help="adapters are tried on it, as on every new base")
        served.add_argument("--not-served", action="store_true", help="adapters are stored, but not tried on it")
        parser.add_argument("--by", default="", help="a staff account; the first one unless told")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            base = services.register_base(
                actor=staff(options["by"]),
                name=options["name"],
                source=options["source"],
                revision=options["revision"],
                license=options["license"],
                aliases=options["alias"],
                parent=selectors.get_base(name=options["parent"]) if options["parent"] else None,
                served=True if options["served"] else False if options["not_served"] else None,
            )
        except AppError as error:
            raise CommandError(error.message) from error
        self.stdout.write(f"{base.name} ({base.source}) is {base.get_state_display().lower()}.")


def staff(username: str) -> User:
    """The staff account of that name, or the first one. Raises ``CommandError``."""
    people = User.objects.filter(is_staff=True, is_active=True).order_by("pk")
    found = people.filter(username__iexact=username).first() if username else people.first()
    if found is None:
        words = f"{username} is no staff account" if username else "There is no staff account yet"
        raise CommandError(f"{words}: make one with `manage.py createsuperuser`.")
    return found
