"""``import_adapter`` for many: folders of folders, trainers' folders, lists, what is there already, what is wrong."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from marketplace.accounts.models import User
from marketplace.adapters.imports.finding import find_items
from marketplace.adapters.models import Adapter, Upload
from marketplace.core.errors import Invalid
from marketplace.jobs.models import Job
from marketplace.moderation.models import AuditEntry
from tests.marketplace.adapters.conftest import adapter_files, zip_of

pytestmark = pytest.mark.django_db


def folder(path: Path, **arguments: Any) -> Path:
    path.mkdir(parents=True)
    for name, data in adapter_files(**arguments).items():
        (path / name).write_bytes(data)
    return path


def run(*arguments: object, ok: bool = True) -> str:
    out = io.StringIO()
    words = [str(argument) for argument in arguments]
    if ok:
        call_command("import_adapter", *words, "--owner", "ada", stdout=out, stderr=out)
        return out.getvalue()
    with pytest.raises(CommandError) as fault:
        call_command("import_adapter", *words, "--owner", "ada", stdout=out, stderr=out)
    return f"{out.getvalue()}{fault.value}"


def names() -> set[str]:
    return set(Adapter.objects.values_list("name", flat=True))


@pytest.fixture
def many(tmp_path: Path) -> Path:
    root = tmp_path / "many"
    folder(root / "one", seed=1)
    folder(root / "deep" / "er" / "two", seed=2)
    (root / "three.zip").write_bytes(zip_of(adapter_files(seed=3)))
    (root / "notes.txt").write_text("not an adapter")
    folder(root / ".hidden" / "four", seed=4)
    return root


def test_a_folder_of_many(ada: User, many: Path) -> None:
    said = run(many)
    assert names() == {"one", "two", "three"}
    assert "3 published" in said
    assert "deep/er/two: ada/two is published (private)" in said
    assert set(Adapter.objects.values_list("visibility", flat=True)) == {"private"}


def test_visibility_and_fields_for_all(ada: User, many: Path) -> None:
    run(many, "--visibility", "public", "--license", "mit", "--tag", "grammar")
    for adapter in Adapter.objects.all():
        assert (adapter.visibility, adapter.license, adapter.tags) == ("public", "mit", ["grammar"])
    assert "one adapter, and there are 3" in run(many, "--name", "x", ok=False)


def test_a_dry_run_changes_nothing(ada: User, many: Path) -> None:
    before = AuditEntry.objects.count()
    said = run(many, "--dry-run")
    assert "would be imported one: ada/one" in said
    assert "3 would be imported." in said
    assert (Adapter.objects.count(), Upload.objects.count(), Job.objects.count()) == (0, 0, 0)
    assert AuditEntry.objects.count() == before


def test_going_on_skips_what_is_there_by_name_or_weights(ada: User, many: Path) -> None:
    run(many / "one")
    run(many / "deep" / "er" / "two", "--name", "renamed")
    said = run(many, "--continue")
    assert "skipped    one: ada/one is there already." in said
    assert "skipped    deep/er/two: ada/renamed has these weights already." in said
    assert "1 published" in said
    assert names() == {"one", "renamed", "three"}
    assert "3 skipped." in run(many, "--continue")


def test_faults_of_some_keep_nobody_from_being_imported(ada: User, many: Path) -> None:
    (many / "one" / "adapter_config.json").write_text("{broken")
    (many / "three.zip").write_bytes(b"PK\x05\x06")
    said = run(many, ok=False)
    assert "failed     one:" in said
    assert "is not valid JSON" in said
    assert "failed     three.zip:" in said
    assert said.endswith("2 of 3 could not be imported; the reasons are above.")
    assert names() == {"two"}


def trainer(root: Path, best: str = "") -> Path:
    for step in (50, 100, 7):
        place = folder(root / f"checkpoint-{step}", seed=step)
        (place / "optimizer.pt").write_bytes(b"never read")
        state = {"best_model_checkpoint": best or None, "global_step": step}
        (place / "trainer_state.json").write_text(json.dumps(state))
    (root / "runs").mkdir()
    return root


@pytest.mark.parametrize(
    ("best", "wanted", "chosen"),
    [("", "best", 100), ("out/checkpoint-50", "best", 50), ("out/checkpoint-50", "last", 100), ("", "7", 7),
     ("gone/checkpoint-9", "best", 100)],
)  # fmt: skip
def test_trainers_folders_give_one_checkpoint(tmp_path: Path, best: str, wanted: str, chosen: int) -> None:
    (item,) = find_items(str(trainer(tmp_path / "plural", best)), checkpoint=wanted)
    assert item.place == tmp_path / "plural" / f"checkpoint-{chosen}"
    assert item.name == "plural"


def test_a_trainers_final_adapter_counts_before_its_checkpoints(tmp_path: Path) -> None:
    root = trainer(tmp_path / "plural")
    for name, data in adapter_files().items():
        (root / name).write_bytes(data)
    assert [item.place for item in find_items(str(root))] == [root]
    (tmp_path / "empty").mkdir()
    with pytest.raises(Invalid, match="has no checkpoint 8; there are 7, 50, 100"):
        find_items(str(trainer(tmp_path / "other")), checkpoint="8")


def test_equal_names_are_told_apart_and_links_are_not_followed(tmp_path: Path) -> None:
    root = tmp_path / "many"
    folder(root / "a" / "final")
    folder(root / "b" / "final")
    (root / "loop").symlink_to(root, target_is_directory=True)
    assert sorted(item.name for item in find_items(str(root))) == ["a-final", "b-final"]


def test_lists(ada: User, bob: User, tmp_path: Path) -> None:
    folder(tmp_path / "here", seed=1)
    rows = [
        "ada/lora@v1",
        {"source": "here", "name": "plural", "title": "Plurals", "tags": ["a"], "visibility": "public", "owner": "bob"},
        {"source": "https://example.org/other.zip"},
    ]
    (tmp_path / "list.json").write_text(json.dumps(rows))
    out = io.StringIO()
    call_command("import_adapter", str(tmp_path / "list.json"), "--owner", "ada", stdout=out)
    adapter = Adapter.objects.get()
    assert (adapter.full_name, adapter.title, adapter.visibility) == ("ada/plural", "Plurals", "public")
    jobs = {job.subject["source"]: job for job in Job.objects.filter(kind="fetch")}
    assert set(jobs) == {"ada/lora@v1", "https://example.org/other.zip"}
    assert jobs["ada/lora@v1"].subject["publish"]["name"] == "lora"
    assert jobs["ada/lora@v1"].subject["publish"]["fields"]["visibility"] == "private"
    assert "2 queued, 1 published" in out.getvalue()
    again = io.StringIO()
    call_command("import_adapter", str(tmp_path / "list.json"), "--owner", "ada", "--continue", stdout=again)
    assert "3 skipped" in again.getvalue()


def test_csv_and_the_lists_own_owners(ada: User, bob: User, tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("source,name,owner,tags\nada/lora,one,bob,a;b\nada/more,,ada,\n")
    call_command("import_adapter", str(tmp_path / "list.csv"), stdout=io.StringIO())
    first, second = Job.objects.filter(kind="fetch").order_by("created_at")
    assert (first.owner, first.subject["publish"]["name"]) == (bob, "one")
    assert first.subject["publish"]["fields"]["tags"] == ["a", "b"]
    assert (second.owner, second.subject["publish"]["name"]) == (ada, "more")


@pytest.mark.parametrize(
    ("text", "words"),
    [("{broken", "not valid JSON"), ('{"a": 1}', "not a list"), ("[{}]", "entry 1: there is no source"),
     ('[{"source": "a/b", "colour": "red"}]', "unknown fields colour"), ('["ftp://x/y"]', "Only https")],
)  # fmt: skip
def test_wrong_lists(ada: User, tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "list.json").write_text(text)
    assert words in run(tmp_path / "list.json", ok=False)


def test_one_id_or_address(ada: User) -> None:
    assert "ada/lora, job" in run("someone/lora")
    assert "ada/named, job" in run("https://example.org/a.zip", "--name", "named")
    assert "being imported already" in run("someone/lora", "--continue")
