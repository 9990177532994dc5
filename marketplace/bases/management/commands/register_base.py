"""``manage.py register_base NAME [SOURCE]``: make a base known to the site."""

from __future__ import annotations

import argparse
import time
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from marketplace.accounts.models import User
from marketplace.bases import selectors, services
from marketplace.bases.models import Base
from marketplace.core.errors import AppError

_ASK_AGAIN = 0.25


class Command(BaseCommand):
    help = "Register a base model; a worker reads its shapes. Repeating it changes nothing."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("name", help="for example HuggingFaceTB/SmolLM2-135M-Instruct, or a name of your own")
        parser.add_argument("source", nargs="?", default="", help="hub id or directory; the name unless told")
        parser.add_argument("--revision", default="", help="branch, tag or commit of a hub's repository")
        parser.add_argument("--license", default="")
        parser.add_argument("--alias", action="append", default=[], help="another name of it; may be repeated")
        parser.add_argument("--parent", default="", help="the base that it was made from")
        served = parser.add_mutually_exclusive_group()
        served.add_argument("--served", action="store_true", help="adapters are tried on it, as on every new base")
        served.add_argument("--not-served", action="store_true", help="adapters are stored, but not tried on it")
        parser.add_argument(
            "--wait", nargs="?", type=float, const=600.0, default=None, metavar="SECONDS",
            help="until a worker has read it, 600 seconds unless told; ends with an error when it cannot be read",
        )  # fmt: skip
        parser.add_argument("--again", action="store_true", help="read it once more, also when it is ready")
        parser.add_argument("--by", default="", help="a staff account; the first one unless told")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            actor = staff(options["by"])
            base = services.register_base(
                actor=actor,
                name=options["name"],
                source=options["source"],
                revision=options["revision"],
                license=options["license"],
                aliases=options["alias"],
                parent=selectors.get_base(name=options["parent"]) if options["parent"] else None,
                served=True if options["served"] else False if options["not_served"] else None,
            )
            if options["again"] and services.running_read(base) is None:
                services.reread_base(actor=actor, base=base)
        except AppError as error:
            raise CommandError(error.message) from error
        if options["wait"] is not None:
            base = wait_for(base, options["wait"])
        words = f"{base.name} ({base.source}) is {base.get_state_display().lower()}."
        if base.state == Base.State.READY:
            words += f" {len(base.shapes)} modules, {base.parameters:,} parameters."
        self.stdout.write("\n".join([words, *base.notes]))


def wait_for(base: Base, seconds: float) -> Base:
    """The base once no worker reads it any more. Raises ``CommandError`` when it could not be read, or not in time."""
    until = time.monotonic() + seconds
    while services.running_read(base) is not None:
        if time.monotonic() > until:
            raise CommandError(f"{base.name} was not read within {seconds:g} seconds. Does an inspect worker run?")
        time.sleep(_ASK_AGAIN)
    base.refresh_from_db()
    if base.state == Base.State.FAILED:
        raise CommandError(f"{base.name} could not be read: {base.fault}")
    return base


def staff(username: str) -> User:
    """The staff account of that name, or the first one. Raises ``CommandError``."""
    people = User.objects.filter(is_staff=True, is_active=True).order_by("pk")
    found = people.filter(username__iexact=username).first() if username else people.first()
    if found is None:
        words = f"{username} is no staff account" if username else "There is no staff account yet"
        raise CommandError(f"{words}: make one with `manage.py createsuperuser`.")
    return found
