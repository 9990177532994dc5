"""Suites that people upload: faults by line, limits, who sees what, and what goes with them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from inference_worker.evaluation.suite import parse_examples
from marketplace.accounts.models import User
from marketplace.core.errors import Conflict, Forbidden, Invalid, NotFound
from marketplace.core.store import blob_store
from marketplace.evaluations.lines import read_lines
from marketplace.evaluations.models import EvaluationRun, EvaluationSuite
from marketplace.evaluations.recorders import kept_digests
from marketplace.evaluations.selectors import get_suite, lines_of, suites_seen
from marketplace.evaluations.suite_services import create_suite, delete_suite, edit_suite
from marketplace.jobs.models import Job
from marketplace.moderation.models import AuditEntry
from tests.marketplace.evaluations.conftest import MakeShipped

pytestmark = pytest.mark.django_db
LINES = (
    '{"prompt": "Say it", "expected": "it"}\n\n{"prompt": "Twice", "expected": ["it it", "it, it"], "task": "two"}\n'
)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("nonsense", "Line 2: It is not JSON."),
        ("[1]", "Line 2: It is not an object."),
        ('{"prompt": "a"}', "Line 2: “expected” is missing."),
        ('{"prompt": "a", "expected": []}', "Line 2: “expected” is an answer, or a list"),
        ('{"prompt": "a", "expected": 4}', "Line 2: “expected” is not a text."),
        ('{"prompt": " ", "expected": "b"}', "Line 2: “prompt” has 0 characters"),
        ('{"prompt": "a", "expected": "b", "answer": "c"}', "Line 2: “answer” is not known here."),
        ('{"prompt": "a", "expected": "b", "task": "' + "x" * 101 + '"}', "Line 2: “task” has 101 characters"),
        ("[" * 100_000, "Line 2: It is not JSON."),
    ],
)
def test_faults_are_named_by_line(line: str, words: str) -> None:
    with pytest.raises(Invalid) as caught:
        read_lines(f'{{"prompt": "a", "expected": "b"}}\n{line}', most=10)
    assert caught.value.extra["fields"]["lines"][0].startswith(words)


def test_every_fault_is_named_up_to_a_bound() -> None:
    with pytest.raises(Invalid) as caught:
        read_lines("x\n" * 50, most=100)
    assert len(caught.value.extra["fields"]["lines"]) == 20
    with pytest.raises(Invalid, match="There are no examples"):
        read_lines(" \n", most=10)
    with pytest.raises(Invalid, match="may have 2 examples"):
        read_lines('{"prompt": "a", "expected": "b"}\n' * 3, most=2)


@pytest.mark.parametrize(
    "text", ["plain", "é中", "line\u2028end\x85and\x0btab\x1c", 'quo"te', "half \ud800 pair", "nul\0"]
)
def test_the_engine_reads_what_is_stored(text: str, ada: User) -> None:
    """Also texts with characters that Python takes for ends of lines."""
    suite = create_suite(user=ada, name="Odd", lines=json.dumps({"prompt": text, "expected": [text, "b"]}))
    with blob_store().open(suite.sha256) as file:
        (example,) = parse_examples(file.read().decode().splitlines(), "stored")
    assert example.expected[1] == "b"
    assert example.prompt.encode()
    assert len(example.prompt) == len(text)


def test_a_suite_is_kept_with_its_examples(ada: User) -> None:
    suite = create_suite(user=ada, name="  My   suite ", lines=LINES)
    assert (suite.name, suite.count, suite.visibility, suite.kind) == ("My suite", 2, "private", "own")
    assert [line["expected"] for line in lines_of(suite)] == [["it"], ["it it", "it, it"]]
    assert suite.sha256 in kept_digests()
    assert AuditEntry.objects.get(action="suite.create").detail["count"] == 2


def test_limits_hold(ada: User, settings: Any) -> None:
    settings.SUITE_MAX_BYTES, settings.SUITE_MAX_EXAMPLES, settings.SUITES_PER_PERSON = 200, 2, 1
    with pytest.raises(Invalid, match="a suite may have 200"):
        create_suite(user=ada, name="Large", lines=LINES * 10)
    create_suite(user=ada, name="First", lines=LINES)
    with pytest.raises(Conflict, match="You have 1 suites"):
        create_suite(user=ada, name="Second", lines=LINES)


def test_private_suites_are_nobody_elses(ada: User, bob: User) -> None:
    suite = create_suite(user=ada, name="Mine", lines=LINES)
    assert list(suites_seen(bob)) == []
    with pytest.raises(NotFound):
        get_suite(user=bob, suite_id=suite.pk)
    with pytest.raises(NotFound):
        delete_suite(user=bob, suite=suite)
    edit_suite(user=ada, suite=suite, visibility="public", name="Ours")
    assert get_suite(user=bob, suite_id=str(suite.pk)).name == "Ours"
    with pytest.raises(Forbidden):
        edit_suite(user=bob, suite=suite, name="Theirs")
    with pytest.raises(NotFound):
        get_suite(user=bob, suite_id="no-id")


def test_deleting_takes_results_and_ends_own_jobs(make_shipped: MakeShipped, ada: User) -> None:
    make_shipped(ada, "reverse-words")
    suite = create_suite(user=ada, name="Mine", lines=LINES)
    client = Client()
    client.force_login(ada)
    client.post("/ada/reverse-words/evaluations/run", {"suite": suite.pk})
    delete_suite(user=ada, suite=suite)
    assert Job.objects.get(kind="evaluate").state == Job.State.CANCELLED
    assert not EvaluationRun.objects.exists()
    assert suite.sha256 not in kept_digests()


def test_rest(make_shipped: MakeShipped, ada: User, client: Client, run_waiting: Callable[[], list[Job]]) -> None:
    make_shipped(ada, "reverse-words")
    client.force_login(ada)

    def send(method: str, address: str, **body: Any) -> Any:
        return getattr(client, method)(f"/api/v1{address}", json.dumps(body), content_type="application/json")

    refused = send("post", "/suites/", name="S", lines='{"prompt": "a"}')
    assert refused.status_code == 400
    assert refused.json()["extra"]["fields"]["lines"] == ["Line 1: “expected” is missing."]
    made = send("post", "/suites/", name="S", lines=LINES)
    assert made.status_code == 201
    suite = made.json()["id"]
    assert send("patch", f"/suites/{suite}/", name="T").json()["name"] == "T"
    assert [row["name"] for row in client.get("/api/v1/suites/?mine=1").json()["results"]] == ["T"]
    asked = send("post", "/adapters/ada/reverse-words/evaluations/", suite=suite)
    assert asked.status_code == 202
    (waiting,) = asked.json()["evaluations"]
    (job,) = run_waiting()
    assert (waiting["state"], waiting["job"], waiting["results"]) == ("waiting", str(job.pk), [])
    report = client.get("/api/v1/adapters/ada/reverse-words/evaluations/").json()
    (row,) = report["evaluations"]
    assert row["results"][0]["result"]["exact_match"]["n"] == 2
    assert {part["label"] for part in row["parts"]} <= {"two", ""}
    assert (report["verdict"], report["gain"], report["verdicts"]) == ("", None, [])
    assert Client().get("/api/v1/adapters/ada/reverse-words/evaluations/").json()["evaluations"] == []
    assert send("delete", f"/suites/{suite}/").status_code == 204
    assert client.get(f"/api/v1/suites/{suite}/").status_code == 404


def test_a_file_that_is_not_utf_8_is_refused_where_it_is_not(ada: User, client: Client, settings: Any) -> None:
    client.force_login(ada)

    def upload(data: bytes) -> str:
        file = SimpleUploadedFile("own.jsonl", data)
        answer = client.post("/suites/new", {"name": "S", "file": file, "visibility": "public"})
        assert answer.status_code == 400
        return answer.content.decode()

    latin = LINES.encode() + '{"prompt": "où", "expected": "là"}'.encode("latin-1")
    assert "in line 4, byte 14 (0xF9) is part of no character" in upload(latin)
    assert "in line 1, byte 1 (0xFF) is part of no character" in upload(LINES.encode("utf-16"))
    settings.SUITE_MAX_BYTES = 20
    assert "The examples have 21 bytes; a suite may have 20." in upload("é".encode() * 100), "cut inside of a character"
    assert not EvaluationSuite.objects.exists()


def test_the_page_takes_text_and_files(ada: User, client: Client) -> None:
    assert client.post("/suites/new", {"name": "S"})["Location"].startswith("/account/login/")
    client.force_login(ada)
    refused = client.post("/suites/new", {"name": "S", "lines": "x", "visibility": "private"})
    assert refused.status_code == 400
    assert "Line 1: It is not JSON." in refused.content.decode()
    file = SimpleUploadedFile("own.jsonl", b"\xef\xbb\xbf" + LINES.encode())
    made = client.post("/suites/new", {"name": "S", "file": file, "visibility": "public"})
    suite = EvaluationSuite.objects.get()
    assert made["Location"] == f"/suites/{suite.pk}"
    assert (suite.count, suite.visibility) == (2, "public")
    assert not [path for path in blob_store().scratch.glob("*") if path.is_file()], "the file is forgotten"
    page = Client().get(f"/suites/{suite.pk}").content.decode()
    assert "Say it" in page
    assert "Delete" not in page
    assert "S" in client.get("/suites/").content.decode()
    client.post(f"/suites/{suite.pk}/edit", {"name": "Other", "visibility": "private"})
    assert Client().get(f"/suites/{suite.pk}").status_code == 404
    assert "Delete Other?" in client.get(f"/suites/{suite.pk}/delete").content.decode()
    assert client.post(f"/suites/{suite.pk}/delete")["Location"] == "/suites/"
    assert not EvaluationSuite.objects.exists()
