"""Uploads: what is stored, what is refused with which words, what is left out, quota and limits."""

from __future__ import annotations

import hashlib
import json
import pickle
import subprocess
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load, save

from marketplace.accounts.models import User
from marketplace.adapters import services
from marketplace.adapters.models import Adapter, Artifact, Blob, Upload
from marketplace.adapters.uploads.quota import stored_bytes
from marketplace.bases.models import Base
from marketplace.core.errors import Conflict, QuotaExceeded, TooLarge
from marketplace.core.store import blob_store
from marketplace.jobs.models import Job
from marketplace.moderation.models import AuditEntry
from tests.marketplace.adapters.conftest import (
    MODULES,
    MakeUpload,
    adapter_files,
    fail_inspection,
    incoming,
    left_behind,
    run_inspection,
    zip_of,
)

pytestmark = pytest.mark.django_db


def _codes(upload: Upload) -> list[str]:
    return [problem["code"] for problem in upload.problems]


def test_files_become_blobs_with_both_digests(ada: User, tmp_path: Path) -> None:
    files = adapter_files()
    upload = services.create_upload(user=ada, files=incoming(files))

    assert upload.state == Upload.State.READY
    for listed in upload.files:
        data = files[listed["path"]]
        (tmp_path / "file").write_bytes(data)
        git = subprocess.run(["git", "hash-object", tmp_path / "file"], capture_output=True, text=True, check=True)
        assert listed["sha256"] == hashlib.sha256(data).hexdigest()
        assert listed["git_sha1"] == git.stdout.strip()
        assert blob_store().path(listed["sha256"]).read_bytes() == data
    assert upload.artifact is not None
    assert upload.artifact.size == sum(len(data) for data in files.values())
    assert Job.objects.get().subject == {"artifact": upload.artifact.pk}
    assert left_behind() == []
    assert AuditEntry.objects.get().action == "upload.create"


def test_check_makes_the_artefact_valid_and_measures_it(ada: User, base: Base, make_upload: MakeUpload) -> None:
    upload = make_upload(ada)
    artifact = upload.artifact
    assert artifact is not None
    assert (artifact.state, artifact.rank, artifact.base, artifact.problems) == ("valid", 4, base, [])
    assert sorted(module["name"] for module in artifact.modules) == MODULES
    assert artifact.signature is not None
    assert len(artifact.signature) == 256


def test_unknown_base_is_valid_with_a_warning(ada: User, make_upload: MakeUpload) -> None:
    artifact = make_upload(ada, base_model_name_or_path="someone/unheard-of").artifact
    assert artifact is not None
    assert artifact.state == Artifact.State.VALID
    assert [(problem["code"], problem["severity"]) for problem in artifact.problems] == [("base_unknown", "warning")]
    assert "someone/unheard-of" in artifact.problems[0]["message"]


@pytest.mark.parametrize(
    "name",
    ["wordsmith-v1", "Brickyard/Wordsmith-V1", "/home/me/models/wordsmith-v1/", "x/wordsmith-v1-unsloth-bnb-4bit"],
)
def test_base_is_recognised(ada: User, base: Base, make_upload: MakeUpload, name: str) -> None:
    artifact = make_upload(ada, base_model_name_or_path=name).artifact
    assert artifact is not None
    assert artifact.base == base


def test_wrong_shapes_are_refused(ada: User, base: Base, make_upload: MakeUpload) -> None:
    artifact = make_upload(ada, width=24, base_model_name_or_path="wordsmith-v1").artifact
    assert artifact is not None
    assert artifact.state == Artifact.State.INVALID
    assert {problem["code"] for problem in artifact.problems} == {"shape_mismatch"}


def test_a_failed_check_means_not_accepted_and_can_be_repeated(ada: User, make_upload: MakeUpload) -> None:
    upload = make_upload(ada, check=False)
    fail_inspection(Job.objects.get())
    artifact = Artifact.objects.get()
    assert artifact.state == Artifact.State.INVALID
    assert artifact.problems[0]["code"] == "check_failed"
    assert "ran out of memory" in artifact.problems[0]["message"]
    assert "Check again" in artifact.problems[0]["remedy"]

    services.recheck_upload(user=ada, upload=upload)
    with pytest.raises(Conflict, match="being checked"):
        services.recheck_upload(user=ada, upload=upload)
    run_inspection(Job.objects.get(state="queued"))
    assert Artifact.objects.get().state == Artifact.State.VALID


def test_bringing_the_bytes_again_repeats_an_unfinished_check(ada: User, bob: User, make_upload: MakeUpload) -> None:
    make_upload(ada, check=False)
    fail_inspection(Job.objects.get())
    again = make_upload(bob)
    assert again.artifact is not None
    assert (again.artifact.state, again.artifact.problems[0]["code"]) == ("valid", "base_unknown")
    assert Job.objects.count() == 2
    # A verdict stays: the third one is not checked again.
    make_upload(ada)
    assert Job.objects.count() == 2


@pytest.mark.parametrize("moderation", ["quarantined", "removed"])
def test_what_a_moderator_took_down_is_not_accepted_again(
    ada: User, bob: User, make_upload: MakeUpload, moderation: str
) -> None:
    waiting = make_upload(bob)
    services.publish_upload(user=ada, upload=make_upload(ada), name="bad")
    Adapter.objects.update(moderation=moderation)
    # Another config with the same weights changes nothing.
    upload = make_upload(bob, lora_alpha=99)
    assert upload.state == Upload.State.REFUSED
    assert _codes(upload) == ["weights_taken_down"]
    with pytest.raises(Conflict, match="taken down an adapter with these very weights"):
        services.publish_upload(user=bob, upload=waiting, name="bad-too")
    Adapter.objects.update(moderation="visible")
    assert make_upload(bob, lora_alpha=99).state == Upload.State.READY


@pytest.mark.parametrize("nested", ["", "my-adapter/", "a/b/c/"])
def test_zip_with_nested_folder(ada: User, nested: str, make_upload: MakeUpload) -> None:
    files = {nested + path: data for path, data in adapter_files().items()}
    litter = {f"__MACOSX/{nested}._adapter_config.json": b"x", f"{nested}.DS_Store": b"x"}
    upload = make_upload(ada, {"upload.zip": zip_of({**files, **litter})})
    assert upload.problems == []
    assert [file["path"] for file in upload.files] == ["adapter_config.json", "adapter_model.safetensors"]
    assert upload.artifact is not None
    assert upload.artifact.state == Artifact.State.VALID
    assert left_behind() == []


def test_trainer_folder_leaves_out_what_is_no_adapter(ada: User) -> None:
    extra = {
        "training_args.bin": pickle.dumps({"lr": 1}),
        "optimizer.pt": pickle.dumps([1]),
        "tokenizer.json": b"{}",
        "checkpoint-5/adapter_config.json": b"{}",
    }
    upload = services.create_upload(user=ada, files=incoming({**adapter_files(), **extra}))
    assert upload.state == Upload.State.READY
    assert [(p["code"], p["severity"], p["place"]) for p in upload.problems] == [
        ("pickle_left_out", "warning", "training_args.bin"),
        ("pickle_left_out", "warning", "optimizer.pt"),
        ("left_out", "info", "tokenizer.json"),
        ("left_out", "info", "checkpoint-5/adapter_config.json"),
    ]
    # Pickles never reach the store.
    assert Blob.objects.count() == 2
    assert len([path for path in blob_store().scratch.parent.rglob("blobs/*/*/*") if path.is_file()]) == 2


CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
GOOD = adapter_files()


@pytest.mark.parametrize(
    ("files", "codes"),
    [
        ({}, ["no_files"]),
        ({CONFIG: GOOD[CONFIG]}, ["weights_missing"]),
        ({WEIGHTS: GOOD[WEIGHTS]}, ["config_missing"]),
        ({CONFIG: b"{", WEIGHTS: GOOD[WEIGHTS]}, ["config_not_json"]),
        ({CONFIG: b"[" * 100_000, WEIGHTS: GOOD[WEIGHTS]}, ["config_not_json"]),
        ({CONFIG: b"[]", WEIGHTS: GOOD[WEIGHTS]}, ["config_not_json"]),
        ({CONFIG: b" " * 1_000_001, WEIGHTS: GOOD[WEIGHTS]}, ["config_too_large"]),
        ({CONFIG: GOOD[CONFIG], "adapter_model.bin": b"\x80\x02}q."}, ["pickle_refused"]),
        ({CONFIG: GOOD[CONFIG], WEIGHTS: pickle.dumps({"a": 1})}, ["pickle_refused"]),
        ({CONFIG: GOOD[CONFIG], WEIGHTS: zip_of({"archive/data.pkl": b"x"})}, ["pickle_refused"]),
        ({"../evil": b"x", **GOOD}, ["file_name"]),
        ({"a/adapter_config.json": b"{}", "b/adapter_config.json": b"{}"}, ["several_adapters"]),
        ({"README.md": b"hello"}, ["config_missing", "left_out", "weights_missing"]),
    ],
)
def test_faults_of_the_files_are_problems(ada: User, files: dict[str, bytes], codes: list[str]) -> None:
    upload = services.create_upload(user=ada, files=incoming(files))
    assert upload.state == Upload.State.REFUSED
    assert sorted(code for code in _codes(upload) if code != "left_out") == sorted(c for c in codes if c != "left_out")
    assert all(problem["message"] for problem in upload.problems)
    assert all(problem["remedy"] for problem in upload.problems if problem["severity"] == "error")
    assert Blob.objects.count() == 0
    assert left_behind() == []


def test_only_safetensors_file_is_taken_under_pefts_name(ada: User) -> None:
    files = adapter_files()
    files["my_lora.safetensors"] = files.pop(WEIGHTS)
    upload = services.create_upload(user=ada, files=incoming(files))
    assert _codes(upload) == ["weights_renamed"]
    assert [file["path"] for file in upload.files] == [CONFIG, WEIGHTS]


def test_invalid_weights_are_found_by_the_check(ada: User, make_upload: MakeUpload) -> None:
    artifact = make_upload(ada, {CONFIG: GOOD[CONFIG], WEIGHTS: GOOD[WEIGHTS][:-8]}).artifact
    assert artifact is not None
    assert artifact.state == Artifact.State.INVALID
    assert artifact.problems


def test_identical_bytes_of_two_people_are_stored_and_checked_once(
    ada: User, bob: User, make_upload: MakeUpload
) -> None:
    first, second = make_upload(ada), make_upload(bob)
    assert first.artifact_id == second.artifact_id
    assert Blob.objects.count() == 2
    assert Job.objects.count() == 1
    assert stored_bytes(ada) == stored_bytes(bob) == sum(len(data) for data in adapter_files().values())


def test_quota_counts_identical_bytes_once(ada: User) -> None:
    size = sum(len(data) for data in adapter_files().values())
    ada.quota_bytes = size + 10
    ada.save()
    services.create_upload(user=ada, files=incoming(adapter_files()))
    again = services.create_upload(user=ada, files=incoming(adapter_files()))
    with pytest.raises(QuotaExceeded, match="10 of") as caught:
        services.create_upload(user=ada, files=incoming(adapter_files(seed=1)))
    assert caught.value.status == 413
    assert caught.value.extra["quota"] == size + 10
    assert Blob.objects.count() == 2
    assert left_behind() == []

    Upload.objects.exclude(pk=again.pk).delete()
    services.discard_upload(user=ada, upload=again)
    assert stored_bytes(ada) == 0
    services.create_upload(user=ada, files=incoming(adapter_files(seed=1)))


def test_limits_of_count_and_size(ada: User, settings: Any) -> None:
    settings.UPLOAD_MAX_FILES = 3
    with pytest.raises(TooLarge, match="at most 3 files"):
        services.create_upload(user=ada, files=incoming({str(number): b"x" for number in range(4)}))
    settings.UPLOAD_MAX_BYTES = 1000
    with pytest.raises(TooLarge, match="1,000 bytes"):
        services.create_upload(user=ada, files=incoming({"a": b"x" * 600, "b": b"x" * 600}))
    assert left_behind() == []


def test_card_fills_the_form(ada: User, base: Base) -> None:
    card = (
        "---\nlicense: MIT\ntags: [Grammar, nouns]\nbase_model: other/name\n---\n"
        "# Plural nouns\n\n![badge](x)\n\nTurns nouns\ninto plurals.\n\nMore.\n"
    )
    upload = services.create_upload(user=ada, files=incoming({**adapter_files(), "README.md": card.encode()}))
    assert upload.suggested == {
        "title": "Plural nouns",
        "description": "Turns nouns into plurals.",
        "license": "mit",
        "tags": ["grammar", "nouns"],
        "base_model": "brickyard/wordsmith-v1",
        "base_models": ["other/name"],
        "base": "wordsmith-v1",
        "task_type": "CAUSAL_LM",
    }


@pytest.mark.parametrize(
    "front",
    ["a: &a [x]\nb: *a", "!!python/object/apply:os.system ['true']", "[" * 5000, "- a list", "a: b: c", "x" * 70_000],
)
def test_hostile_front_matter_is_a_warning(ada: User, front: str) -> None:
    card = f"---\n{front}\n---\nhello".encode()
    upload = services.create_upload(user=ada, files=incoming({**adapter_files(), "README.md": card}))
    assert upload.state == Upload.State.READY
    assert _codes(upload) == ["card_front_matter"]


def test_text_that_no_database_holds(ada: User, make_upload: MakeUpload) -> None:
    card = b'---\ntitle: "a\\0b\\ud800"\nlicense: "\\0"\n---\n'
    tensors = {**adapter_files(), "README.md": card}
    tensors[CONFIG] = tensors[CONFIG].replace(b'"brickyard/wordsmith-v1"', rb'"a\u0000b\ud800", "\u0000": "\ud800"')
    upload = make_upload(ada, tensors)
    assert upload.suggested["title"] == "a\ufffdb\ufffd"
    assert upload.suggested["base_model"] == "a\ufffdb\ufffd"
    assert upload.artifact is not None
    assert upload.artifact.state in ("valid", "invalid")
    assert upload.artifact.problems

    header = b'{"a\\u0000\\ud800":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
    weights = len(header).to_bytes(8, "little") + header + bytes(4)
    upload = make_upload(ada, {CONFIG: GOOD[CONFIG], WEIGHTS: weights})
    assert upload.artifact is not None
    assert upload.artifact.state == Artifact.State.INVALID
    assert upload.artifact.problems[0]["code"] != "check_failed"

    upload = make_upload(ada, {"a\0\ud800": b"x"})
    assert (upload.state, _codes(upload)[0]) == (Upload.State.REFUSED, "file_name")


def test_largest_rank_counts(ada: User, make_upload: MakeUpload) -> None:
    files = adapter_files(rank=4)
    small = adapter_files(rank=2)
    config = json.loads(files[CONFIG]) | {"r": 2, "rank_pattern": {MODULES[0]: 4}}
    tensors = load(small[WEIGHTS]) | {key: value for key, value in load(files[WEIGHTS]).items() if MODULES[0] in key}
    upload = make_upload(ada, {CONFIG: json.dumps(config).encode(), WEIGHTS: save(tensors)})
    assert upload.artifact is not None
    assert (upload.artifact.state, upload.artifact.rank, upload.artifact.summary["rank"]) == ("valid", 4, 2)
