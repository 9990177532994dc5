"""Every hostile file alone and together with every other: not accepted, each fault named, nothing raised."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from reference.hostile_files import CONFIGS, HEADERS, write_pair

from inference_worker.adapter_format import inspect_adapter
from inference_worker.contracts.inspect import InspectResult
from marketplace.accounts.models import User
from marketplace.adapters import services
from marketplace.adapters.models import Blob, Upload
from tests.hostile.archives import hostile
from tests.hostile.card_mutations import BODY, FRONT
from tests.hostile.judge import judge_card, judge_problems
from tests.hostile.raw_zip import build, of
from tests.marketplace.adapters.conftest import adapter_files, incoming, left_behind

#: Faults of names and contents that are found before a worker sees anything: name -> (files, code).
SELECTIONS: dict[str, tuple[dict[str, bytes], str]] = {
    **{
        f"pickle called {name}": ({name: b"\x80\x02}q\x00."}, "pickle_left_out")
        for name in ("training_args.bin", "optimizer.pt", "scheduler.pth", "a.pkl", "b.ckpt", "c.joblib", "x.txt", "y")
    },
    "name with a line break": ({"a\nb": b"x"}, "file_name"),
    "name that turns round": ({"gp\u202ej.exe": b"x"}, "file_name"),
    "parent folder": ({"../x": b"x"}, "file_name"),
    "capitals": ({"ADAPTER_CONFIG.JSON": b"{}"}, "duplicate_file"),
}


#: Found only once the tensors' names are known: patterns are tried on them.
LATER = {"", "bad_pattern"}


def inspect(directory: Path) -> InspectResult:
    return inspect_adapter(directory / "adapter_config.json", directory / "adapter_model.safetensors")


def errors(result: InspectResult) -> set[str]:
    judge_problems([problem for problem in result.problems if problem.place])
    return {problem.code for problem in result.problems if problem.severity == "error"}


@pytest.mark.parametrize("name", sorted(CONFIGS))
def test_config_with_every_header(name: str, tmp_path: Path) -> None:
    """Both files' faults are in one answer."""
    data, code = CONFIGS[name]
    began = time.process_time()
    for header, (weights, header_code) in HEADERS.items():
        result = inspect(write_pair(tmp_path, config=data, weights=weights))
        assert not result.valid
        found = errors(result)
        assert found <= {header_code, code}, header
        assert header_code in found
        assert code in found or code in LATER, header
        json.loads(result.model_dump_json())
    assert time.process_time() - began < 60


@pytest.mark.parametrize("front", range(len(FRONT)))
def test_front_matter_with_every_body(front: str) -> None:
    for body in BODY:
        text = f"---\n{FRONT[int(front)]}\n---\n{body}\n"
        assert judge_card(text.encode("utf-8", "surrogatepass")).accepted


@pytest.mark.django_db
@pytest.mark.parametrize("name", sorted(SELECTIONS))
def test_what_lies_beside_a_good_adapter(name: str, ada: User) -> None:
    files, code = SELECTIONS[name]
    upload = services.create_upload(user=ada, files=incoming({**adapter_files(), **files}))
    assert code in {problem["code"] for problem in upload.problems}
    stored = {file["path"] for file in upload.files}
    assert stored <= {"adapter_config.json", "adapter_model.safetensors"}
    assert upload.state == (Upload.State.READY if code == "pickle_left_out" else Upload.State.REFUSED)
    assert left_behind() == []


@pytest.mark.django_db
def test_archive_faults_hide_behind_no_other(ada: User) -> None:
    """A zip's own fault is what is said, whatever its files are."""
    config, weights = CONFIGS["very deep"][0], HEADERS["overlap"][0]
    worse = {"adapter_config.json": config, "adapter_model.safetensors": weights, "README.md": b"---\n&a [*a]\n---\n"}
    for name, (archive, code) in hostile(worse).items():
        if name in ("100,000 entries", "too many entries", "large directory"):
            continue  # Their files are others.
        upload = services.create_upload(user=ada, files=incoming({"a.zip": archive}))
        assert upload.state == Upload.State.REFUSED, name
        assert next(problem["code"] for problem in upload.problems if problem["severity"] == "error") == code, name
    assert Blob.objects.count() == 0
    assert left_behind() == []


@pytest.mark.django_db
@pytest.mark.parametrize("packed", [False, True])
def test_uploads_of_every_header_are_answered(packed: bool, ada: User) -> None:
    """Through the site: refused at once or taken in for the worker's check, with a hostile card beside."""
    for name, (weights, _) in HEADERS.items():
        files: dict[str, Any] = {**adapter_files(), "adapter_model.safetensors": weights, "README.md": BODY[0].encode()}
        sent = {"a.zip": build(of(files))} if packed else files
        upload = services.create_upload(user=ada, files=incoming(sent))
        assert upload.state in (Upload.State.READY, Upload.State.REFUSED), name
        assert all(problem["code"] and problem["message"] for problem in upload.problems)
    assert left_behind() == []
