"""Faults of the surroundings, each in one line: data folder, address, database of a newer version."""

from __future__ import annotations

import errno
import json
import os
import shutil
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from django.db import connection

from marketplace.embedded import data_folder, plan, schema
from marketplace.embedded.address import Address, read_address
from marketplace.embedded.data_folder import DataFolder
from marketplace.embedded.faults import Fault, explain_disk
from marketplace.embedded.postgres import EmbeddedPostgres

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(autouse=True)
def _unlocked(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every folder of a test lets go of its lock, as the end of a process would."""
    made: list[DataFolder] = []
    lock = DataFolder.lock

    def remember(self: DataFolder) -> None:
        made.append(self)
        lock(self)

    monkeypatch.setattr(DataFolder, "lock", remember)
    yield
    for folder in made:
        folder.unlock()


def refused(folder: DataFolder) -> str:
    with pytest.raises(Fault) as caught:
        folder.prepare()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_prepared_folder_is_ours_and_keeps_its_secrets(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "data")
    folder.prepare()
    secret = folder.remembered("secret_key")
    assert folder.is_ours()
    assert len(secret) == 64
    assert DataFolder(folder.path).remembered("secret_key") == secret
    assert stat.S_IMODE((folder.path / "secret_key").stat().st_mode) == 0o600


def test_a_second_demo_is_refused_and_a_dead_one_is_not(tmp_path: Path) -> None:
    first = DataFolder(tmp_path)
    first.prepare()
    assert f"already runs on {tmp_path} (process {os.getpid()})" in refused(DataFolder(tmp_path))
    (tmp_path / "elsewhere").mkdir()
    stale = DataFolder(tmp_path / "elsewhere")
    (stale.path / "lock").write_text("process 1")
    stale.prepare()
    assert (stale.path / "lock").read_text() == f"process {os.getpid()}"


def test_a_newer_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "VERSION").write_text(json.dumps({"format": data_folder.FORMAT + 1}))
    assert "written by a newer Brickyard" in refused(DataFolder(tmp_path))


def test_an_unreadable_version_is_refused(tmp_path: Path) -> None:
    (tmp_path / "VERSION").write_text("?")
    assert "VERSION cannot be read" in refused(DataFolder(tmp_path))


def test_a_full_disk_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_folder, "NEEDED_MEBIBYTES", 10**12)
    assert "The disk is too full" in refused(DataFolder(tmp_path))


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    assert str(tmp_path / "data") in refused(DataFolder(tmp_path / "data"))


@pytest.mark.parametrize(
    ("number", "words"),
    [(errno.ENOSPC, "The disk is full"), (errno.EACCES, "cannot be written"), (errno.EIO, "Input/output error")],
)
def test_the_systems_faults_in_words(number: int, words: str) -> None:
    assert words in str(explain_disk(OSError(number, os.strerror(number), "/x"), "/x"))


def test_steps_are_done_once_per_fingerprint(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    assert not folder.is_done("seed", "a")
    folder.mark_done("seed", "a")
    assert folder.is_done("seed", "a")
    assert not folder.is_done("seed", "b")
    folder.forget("seed")
    assert not folder.is_done("seed", "a")


def test_a_busy_port_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        monkeypatch.setenv("PORT", str(busy.getsockname()[1]))
        with pytest.raises(Fault, match=f"Port {busy.getsockname()[1]} is in use"):
            read_address()


@pytest.mark.parametrize("text", ["0", "70000", "x", "-1"])
def test_what_is_no_port_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", text)
    with pytest.raises(Fault, match="is not a port"):
        read_address()


def test_addresses_for_people_and_for_this_machine() -> None:
    assert Address("127.0.0.1", 8000).url == "http://localhost:8000"
    assert Address("0.0.0.0", 80).local_url == "http://127.0.0.1:80"
    assert Address("0.0.0.0", 80).allowed_hosts == "*"
    assert Address("::", 80).local_url == "http://[::1]:80"
    assert "192.0.2.1" in Address("192.0.2.1", 80).allowed_hosts.split(",")


@pytest.mark.django_db
def test_a_database_of_a_newer_version_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = connection.settings_dict["NAME"]
    url = os.environ["DATABASE_URL"].replace("/brickyard?", f"/{name}?")
    schema.check_known(url, tmp_path)
    known = schema.known_migrations()
    newest = max(name for application, name in known if application == "adapters")
    monkeypatch.setattr(schema, "known_migrations", lambda: known - {("adapters", newest)})
    with pytest.raises(Fault, match=rf"unknown migration adapters\.{newest}"):
        schema.check_known(url, tmp_path)


def test_an_empty_database_is_no_fault(tmp_path: Path) -> None:
    url = os.environ["DATABASE_URL"]
    with psycopg.connect(url, autocommit=True) as server:
        server.execute("CREATE DATABASE empty_one")
    schema.check_known(url.replace("/brickyard?", "/empty_one?"), tmp_path)


def test_workers_get_no_secrets(tmp_path: Path) -> None:
    environment = {"DATABASE_URL": "x", "SECRET_KEY": "y", "DJANGO_SETTINGS_MODULE": "m", "REDIS_URL": "z"}
    assert plan.worker_environment(environment) == {"REDIS_URL": "z"}


def test_a_copied_folder_does_not_share_the_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = DataFolder(tmp_path / "first")
    first.path.mkdir()
    first.remembered("instance", 8)
    shutil.copytree(first.path, tmp_path / "copy")
    copy = DataFolder(tmp_path / "copy")
    postgres = EmbeddedPostgres(first.path, key="shared")
    monkeypatch.setattr(postgres, "home", tmp_path / "elsewhere")
    plan.check_origin(first, postgres)
    with pytest.raises(Fault, match="is a copy of"):
        plan.check_origin(copy, postgres)
    shutil.rmtree(first.path)
    plan.check_origin(copy, postgres)  # moved, not copied


def reset(folder: Path, answer: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "marketplace.embedded", "reset", "--data", str(folder)]
    return subprocess.run(command, cwd=ROOT, input=answer, capture_output=True, text=True)


def test_reset_asks_first(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "data")
    folder.prepare()
    assert "already runs" in reset(folder.path, "y\n").stderr
    folder.unlock()
    for answer in ("n\n", "", "\n"):
        assert "Nothing was deleted" in reset(folder.path, answer).stdout
    assert folder.path.exists()
    assert "Deleted" in reset(folder.path, "y\n").stdout
    assert not folder.path.exists()
    assert "There is no data" in reset(folder.path, "y\n").stdout


def test_reset_deletes_no_strange_folder(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    done = reset(tmp_path, "y\n")
    assert done.returncode == 1
    assert "is not a data folder" in done.stderr
    assert (tmp_path / "letter.txt").exists()
