"""``manage.py seed_demo --passwords FILE``: people, the default base, the shipped adapters, mixes of them. Repeating it
is quick."""

from __future__ import annotations

import argparse
import json
import os
import secrets
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from inference_worker.contracts.bases import base_files
from marketplace.accounts.models import User
from marketplace.adapters.imports import META, import_adapter, read_meta
from marketplace.adapters.management import demo, demo_suites, earlier
from marketplace.adapters.models import Adapter
from marketplace.bases import services as bases
from marketplace.core.errors import AppError

SHIPPED = bases.SHIPPED["wordsmith-v1"].parent
#: Who can sign in, and whether they are staff.
LOGINS = {"demo": False, "admin": True}
#: Owners that are there in any case; others come with the adapters that are shipped. Nobody signs in as them.
PUBLISHERS = ("wordsmith", "lists", "studio")
#: Who only looks around, and likes what they find.
READERS = ("amara", "bela", "chiara", "dmitri", "esra", "farid", "greta", "hugo")


class Command(BaseCommand):
    help = "Fill an empty site: the users demo and admin, the default base and the shipped adapters."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "--passwords", type=Path, required=True, metavar="FILE", help="JSON; written on the first run, mode 600"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            people = self._people(options["passwords"])
            self._bases(people["admin"])
            new = self._adapters(people)
            demo.like_some(people, new)
            demo.download_some(people, new)
            mixes = demo.save_mixes(people)
            suites = demo_suites.upload_suites(people)
        except AppError as error:
            raise CommandError(error.message) from error
        except OSError as error:
            raise CommandError(f"{error.filename}: {error.strerror}") from error
        self.stdout.write(
            f"The demo's data is complete; {len(new)} adapters were added, {mixes} mixes, {suites} suites."
        )

    def _people(self, path: Path) -> dict[str, User]:
        passwords, fresh = read_passwords(path)
        people = {}
        for name, staff in LOGINS.items():
            user, created = User.objects.get_or_create(
                username=name, defaults={"email": f"{name}@localhost", "is_staff": staff, "is_superuser": staff}
            )
            if created or fresh:
                user.set_password(passwords[name])
                user.save(update_fields=["password"])
            people[name] = user
        for name in dict.fromkeys([*PUBLISHERS, *READERS, *(meta["owner"] for _, meta in _shipped())]):
            user, created = User.objects.get_or_create(username=name, defaults={"display_name": name.capitalize()})
            if created:
                user.set_unusable_password()
                user.save(update_fields=["password"])
            people[name] = user
        return people

    def _bases(self, admin: User) -> None:
        if (SHIPPED / "base" / "config.json").is_file():
            first = bases.register_base(
                actor=admin, name="wordsmith-v1", license="apache-2.0", aliases=["brickyard/wordsmith-v1"]
            )
            newer = bases.SHIPPED.get("wordsmith-v2")
            if newer is not None and (newer / "config.json").is_file():
                bases.register_base(
                    actor=admin,
                    name="wordsmith-v2",
                    license="apache-2.0",
                    aliases=["brickyard/wordsmith-v2"],
                    parent=first,
                )
        if settings.DEFAULT_BASE and str(bases.SHIPPED["wordsmith-v1"]) != settings.DEFAULT_BASE_SOURCE:
            base = base_files(settings.DEFAULT_BASE_SOURCE, settings.DEFAULT_BASE_REVISION)
            bases.register_base(
                actor=admin, name=settings.DEFAULT_BASE, source=base.source, revision=base.revision or ""
            )

    def _adapters(self, people: dict[str, User]) -> list[Adapter]:
        """Import what is not there; deleted ones stay deleted. Those that are new."""
        there = set(Adapter.objects.filter(owner__in=people.values()).values_list("owner__username", "name"))
        made = []
        with TemporaryDirectory(prefix="earlier-") as scratch:
            for place, (folder, meta) in enumerate(_shipped()):
                if (meta["owner"], meta["name"]) in there:
                    continue
                adapter = _publish(people[meta["owner"]], folder, meta, place, Path(scratch))
                demo.grow_card(adapter, meta)
                self.stdout.write(f"  {adapter.full_name}")
                made.append(adapter)
        return made


def _publish(owner: User, folder: Path, meta: dict[str, Any], place: int, scratch: Path) -> Adapter:
    examples = _shown(meta.get("examples", []))
    fields = {**demo.first_card(meta, place), "visibility": Adapter.Visibility.PUBLIC, "examples": examples}
    name, tried = meta["name"], earlier.EARLIER.get(f"{owner.username}/{meta['name']}")
    if tried is None:
        return import_adapter(owner=owner, source=folder, name=name, fields=fields)
    return earlier.import_with_history(
        owner=owner, source=folder, name=name, fields=fields, earlier=tried, scratch=scratch / name
    )


def _shipped() -> list[tuple[Path, dict[str, Any]]]:
    """Folder and description of every shipped adapter, by name: the library, then what it is measured against."""
    parts = ("adapters", "brackets")
    folders = [path.parent for part in parts for path in sorted((SHIPPED / part).glob(f"*/{META}"))]
    return [(folder, read_meta(folder / META)) for folder in folders]


def _shown(examples: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """All examples are open to everybody: visitors try them, and whoever merges two adapters of others has enough of
    them to find weights on one half and to judge the merge by the other."""
    return [{**example, "public": True} for example in examples]


def read_passwords(path: Path) -> tuple[dict[str, str], bool]:
    """User name → password, and whether the file was written just now."""
    if path.is_file():
        found = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(found, dict) and set(LOGINS) <= set(found):
            return {str(name): str(password) for name, password in found.items()}, False
    passwords = {name: "-".join(secrets.token_hex(2) for _ in range(4)) for name in LOGINS}
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(passwords, file, indent=2)
    temporary.replace(path)
    return passwords, True
