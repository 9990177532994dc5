"""``manage.py smoke``: the whole path through REST, each step with its time."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from marketplace.core.smoke.site import LeftOut, Site, SmokeFault
from marketplace.core.smoke.steps import Smoke

#: Who the demo's passwords are tried for, in this order.
_DEMO_USERS = ("demo", "studio")


class Command(BaseCommand):
    """Exit status 0 when every step held that could be done here, 1 otherwise; the last line names the others."""

    help = (
        "Upload, find, merge, try, download and compare, through REST. Exit status 0 when every step held; one that "
        "cannot be done here (comparing logits without PyTorch) is named as left out."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--url", default=settings.SITE_URL, help="the site; by default the demo on this machine")
        parser.add_argument(
            "--public-url",
            default="",
            help="the address that the site itself goes by, sent as Host and X-Forwarded-Proto; for a --url on this "
            "machine it is the environment's SITE_URL",
        )
        parser.add_argument("--token", default=os.environ.get("SMOKE_TOKEN", ""), help="an API token of scope write")
        parser.add_argument("--username", default="", help="instead of a token")
        parser.add_argument("--password", default=os.environ.get("SMOKE_PASSWORD", ""))

    def handle(self, *args: object, **options: str) -> None:
        began = time.perf_counter()
        self._left_out: list[str] = []
        try:
            with (
                Site(options["url"], _public(options)) as site,
                tempfile.TemporaryDirectory(prefix="brickyard-smoke-") as folder,
            ):
                self._step("sign in", lambda: _sign_in(site, options))
                smoke = Smoke(site, Path(folder))
                try:
                    for name, step in smoke.steps():
                        self._step(name, step)
                finally:
                    smoke.clean_up()
        except SmokeFault:
            self.stdout.write(f"FAILED after {time.perf_counter() - began:.1f} s")
            sys.exit(1)
        seconds = time.perf_counter() - began
        if self._left_out:
            self.stdout.write(f"Held in {seconds:.1f} s, but left out: {', '.join(self._left_out)}")
        else:
            self.stdout.write(f"All steps held in {seconds:.1f} s")

    def _step(self, name: str, step: Callable[[], str]) -> None:
        began = time.perf_counter()
        try:
            words, mark = step(), "ok"
        except LeftOut as reason:
            words, mark = str(reason), "LEFT"
            self._left_out.append(name)
        except SmokeFault as fault:
            self.stdout.write(f"FAILED  {name:<15} {time.perf_counter() - began:6.2f} s  {fault}")
            raise
        self.stdout.write(f"{mark:<7} {name:<15} {time.perf_counter() - began:6.2f} s  {words}")
        self.stdout.flush()


def _public(options: dict[str, str]) -> str:
    """The site's own address where ``--url`` is another way to it: inside a container, past the proxy."""
    if options["public_url"]:
        return options["public_url"]
    here = (urlsplit(options["url"]).hostname or "") in ("localhost", "127.0.0.1", "::1")
    return os.environ.get("SITE_URL", "") if here else ""


def _sign_in(site: Site, options: dict[str, str]) -> str:
    if options["token"]:
        site.use_token(options["token"])
        return f"{site.user}, by token"
    username, password = options["username"], options["password"]
    if not username:
        username, password = _demo_login()
    site.sign_in(username, password)
    return site.user


def _demo_login() -> tuple[str, str]:
    """The demo's account, from the file that ``make demo`` leaves in its data folder."""
    path = Path(os.environ.get("DEMO_PASSWORDS", ""))
    if not path.is_file():
        raise CommandError("Give --token, or --username and --password: no demo runs from this folder.")
    accounts = json.loads(path.read_text(encoding="utf-8"))
    for name in _DEMO_USERS:
        if name in accounts:
            return name, str(accounts[name])
    raise CommandError(f"{path} names no account for this: give --username and --password.")
