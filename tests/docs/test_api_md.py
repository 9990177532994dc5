"""docs/api.md does what it says: every block runs, in order, against a live site, and every call of the schema is
shown and made in both languages."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.contrib.auth.models import Group
from django.core.management import call_command
from drf_spectacular.generators import SchemaGenerator

from marketplace.accounts.models import Token, User
from marketplace.adapters.models import Adapter
from marketplace.bases.models import Base
from marketplace.bases.services import register_base
from marketplace.moderation.groups import MODERATORS
from marketplace.moderation.models import AuditEntry
from tests.docs.site import LiveSite
from tests.processes.fleet import ROOT, wait_for

DOCUMENT = ROOT / "docs" / "api.md"
SHIPPED = ROOT / "inference_worker" / "testbed" / "shipped" / "adapters"
PASSWORD = "correct horse battery"
#: What the examples write, as the audit log calls it.
WRITES = {
    "access.terms",
    "adapter.visibility",
    "collaborator.add",
    "collaborator.change",
    "collaborator.remove",
    "account.edit",
    "adapter.delete",
    "adapter.edit",
    "adapter.edit_card",
    "account.export",
    "adapter.offer",
    "adapter.publish",
    "adapter.quarantine",
    "adapter.restore",
    "adapter.rename",
    "adapter.restore_deleted",
    "adapter.withdraw_offer",
    "bytes.block",
    "bytes.unblock",
    "base.add_alias",
    "base.change",
    "base.delete",
    "base.register",
    "base.remove_alias",
    "base.reread",
    "evaluation.request",
    "export.create",
    "export.discard",
    "import.start",
    "account.choose_letters",
    "watch.end",
    "watch.set",
    "mix.delete",
    "mix.edit",
    "mix.create",
    "adapter.like",
    "adapter.unlike",
    "job.cancel",
    "job.retry",
    "merge.create",
    "merge.preview",
    "merge.sweep",
    "suite.create",
    "suite.delete",
    "suite.edit",
    "token.create",
    "token.revoke",
    "upload.create",
    "upload.discard",
    "upload.part_begin",
    "upload.part_discard",
    "upload.recheck",
    "version.deprecate",
    "version.undeprecate",
    "version.unyank",
    "version.yank",
}
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_CALL = re.compile(r"`(GET|POST|PATCH|PUT|DELETE) (/api/v1/\S+)`")


def blocks(language: str) -> str:
    return "\n".join(code for found, code in _BLOCK.findall(DOCUMENT.read_text()) if found == language)


def shape(address: str) -> str:
    """An address with its variables made alike."""
    return re.sub(r"\{\w+\}", "{}", address)


@pytest.fixture(scope="module")
def operations() -> set[tuple[str, str]]:
    """Every call of the schema, as (method, shape of its address)."""
    schema = SchemaGenerator().get_schema(request=None, public=True)
    methods = {"get", "post", "patch", "put", "delete"}
    return {
        (method.upper(), shape(address))
        for address, calls in schema["paths"].items()
        for method in calls
        if method in methods
    }


def test_every_call_has_its_section(operations: set[tuple[str, str]]) -> None:
    shown = {(method, shape(address)) for method, address in _CALL.findall(DOCUMENT.read_text())}
    assert operations - shown == set()
    assert shown - operations == set()


def test_every_call_has_one_section() -> None:
    headings = [line for line in DOCUMENT.read_text().splitlines() if line.startswith("#") and _CALL.search(line)]
    assert len(headings) > 50
    assert {heading for heading in headings if headings.count(heading) > 1} == set()


def test_schema_has_no_fault_and_no_warning(tmp_path: Path) -> None:
    call_command("spectacular", validate=True, fail_on_warn=True, file=str(tmp_path / "schema.yml"))
    assert (tmp_path / "schema.yml").stat().st_size > 10_000


@pytest.fixture
def site(transactional_db: None, tmp_path: Path) -> Iterator[LiveSite]:
    site = LiveSite(tmp_path)
    try:
        site.start()
        yield site
    finally:
        site.end()


def prepare(folder: Path, *sources: str) -> Path:
    folder.mkdir()
    for name, source in zip(("my-adapter", "other-adapter"), sources, strict=True):
        shutil.copytree(SHIPPED / source, folder / name)
    return folder


def run(command: list[str], folder: Path, site: LiveSite, username: str) -> str:
    """Run a script as a reader would; its output, or a failure with what it said last.

    Merges of tiny adapters end before anybody can cancel them, so the batch worker begins once the script has
    cancelled one and asked for another try.
    """
    environment = {**os.environ, "SITE": site.url, "USERNAME": username, "PASSWORD": PASSWORD}
    begun = len(calls_made(site.web_log))
    output = folder / "output.txt"
    with site.paused("batch") as resume, open(output, "wb") as said:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=said, stderr=subprocess.STDOUT)
        try:
            wait_for(
                lambda: process.poll() is not None or asked_again(calls_made(site.web_log)[begun:]),
                300.0,
                "the example of another try",
            )
            resume()
            status = process.wait(300)
        finally:
            if process.poll() is None:
                process.kill()
    text = output.read_text()
    assert status == 0, text[-6000:]
    return text


def asked_again(calls: list[tuple[str, str]]) -> bool:
    return any(path.endswith("/retry/") for _, path in calls)


def calls_made(log: Path) -> list[tuple[str, str]]:
    """Requests that the web server began, as (method, path)."""
    found = []
    # The last line may be half written.
    for line in log.read_text().rpartition("\n")[0].splitlines():
        if '"request_started"' in line:
            method, _, path = json.loads(line)["request"].partition(" ")
            found.append((method, path.partition("?")[0]))
    return found


def unmade(operations: set[tuple[str, str]], calls: list[tuple[str, str]]) -> set[tuple[str, str]]:
    def matches(operation: tuple[str, str], call: tuple[str, str]) -> bool:
        last = operation[1].endswith("/files/{}/{}")
        pattern = re.escape(operation[1]).replace(r"\{\}", "[^/]+")
        pattern = pattern.removesuffix("[^/]+") + ".+" if last else pattern
        return operation[0] == call[0] and re.fullmatch(pattern, call[1]) is not None

    return {operation for operation in operations if not any(matches(operation, call) for call in calls)}


@pytest.mark.processes
@pytest.mark.timeout(1200)
@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_every_example_runs(site: LiveSite, tmp_path: Path, operations: set[tuple[str, str]]) -> None:
    people = {name: User.objects.create_user(name, password=PASSWORD, is_staff=True) for name in ("ada", "grace")}
    moderators = Group.objects.get(name=MODERATORS)
    for person in people.values():
        person.groups.add(moderators)
    User.objects.create_user("emmy", password=PASSWORD)
    register_base(actor=people["ada"], name="wordsmith-v1", license="apache-2.0")
    wait_for(lambda: Base.objects.get().state == Base.State.READY, what="the base's shapes")

    script = "set -euo pipefail\n" + blocks("bash")
    said = run(["bash", "-c", script], prepare(tmp_path / "curl", "opposites", "past-tense"), site, "ada")
    assert "ada/opposites" in said
    begun = calls_made(site.web_log)
    assert unmade(operations, begun) == set()

    folder = prepare(tmp_path / "python", "reverse-words", "last-word")
    (folder / "examples.py").write_text(blocks("python"))
    said = run([sys.executable, "-W", "ignore::ResourceWarning", "examples.py"], folder, site, "grace")
    assert "grace/opposites" in said
    assert unmade(operations, calls_made(site.web_log)[len(begun) :]) == set()
    assert "meaning_and_words" in said

    left_behind(people)


def left_behind(people: dict[str, User]) -> None:
    """What the examples did is in the database, and in the audit log under the token that did it."""
    assert not Adapter.objects.filter(deleted_at=None).exists()
    assert not Token.objects.filter(revoked_at=None).exists()
    for person in people.values():
        actions = set(AuditEntry.objects.filter(actor=person).values_list("action", flat=True))
        assert actions >= WRITES, WRITES - actions
        published = AuditEntry.objects.filter(actor=person, action="adapter.publish").first()
        assert published is not None
        assert published.token_prefix == person.tokens.get().prefix
