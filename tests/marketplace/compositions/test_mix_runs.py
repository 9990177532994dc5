"""What a mix's page shows of evaluations: whose numbers they are, in which words, and the way on from a failure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser
from django.test import Client

from marketplace.accounts.models import User
from marketplace.adapters.models import Adapter
from marketplace.compositions import mixes
from marketplace.compositions.members import Choice
from marketplace.compositions.mix_runs import MixResult, results_of, runs_of_mix, subject_of_mix
from marketplace.compositions.models import Composition
from marketplace.evaluations.models import EvaluationRun, EvaluationSuite
from marketplace.evaluations.services import run_key

pytestmark = pytest.mark.django_db
NOBODY: Any = AnonymousUser()
_Kind, _State = EvaluationSuite.Kind, EvaluationRun.State


@pytest.fixture
def adapter(make_adapter: Callable[..., Adapter], ada: User) -> Adapter:
    return make_adapter(ada, "plural", base="tiny")


@pytest.fixture
def mix(adapter: Adapter, bob: User) -> Composition:
    """Of one adapter at full weight, so with the very digest of the adapter."""
    return mixes.create_mix(user=bob, name="one", members=[Choice(adapter, 1.0)], visibility="public")


def suite(kind: str, name: str, **fields: Any) -> EvaluationSuite:
    return EvaluationSuite.objects.create(
        kind=kind, name=name, sha256=name.encode().hex().ljust(64, "0")[:64], count=9, **fields
    )


def ran(mix: Composition, on: EvaluationSuite, state: str = _State.MEASURED, **fields: Any) -> EvaluationRun:
    subject = subject_of_mix(mix.owner, mix)
    fields.setdefault("key", run_key(subject, on))
    return EvaluationRun.objects.create(
        subject=subject.rows(), subject_digest=subject.digest, base=subject.base, suite=on, state=state, **fields
    )


def test_others_private_suites_and_merges_are_not_named(
    mix: Composition, adapter: Adapter, make_adapter: Callable[..., Adapter], make_person: Any, bob: User
) -> None:
    eve = make_person("eve")
    hidden = make_adapter(eve, "hidden-merge", base="tiny", visibility="private", origin="merge")
    runs = [
        ran(mix, suite(_Kind.EXAMPLES, "Examples of ada/plural", adapter=adapter)),
        ran(mix, suite(_Kind.OWN, "Open", owner=eve, visibility="public")),
        ran(mix, suite(_Kind.OWN, "Probes", owner=eve, probe=True, base=mix.base)),
    ]
    secret = ran(mix, suite(_Kind.OWN, "Secret", owner=eve))
    ran(mix, suite(_Kind.PARENTS, "Examples of the parents of eve/hidden-merge", adapter=hidden))
    ran(mix, suite(_Kind.EXAMPLES, "Examples of eve/hidden-merge", adapter=hidden))
    for person in (NOBODY, bob):
        assert runs_of_mix(user=person, mix=mix) == runs
    assert secret in runs_of_mix(user=eve, mix=mix)


@pytest.mark.parametrize(
    ("effect", "words"),
    [
        ("worse", "Forgets the probes"),
        ("no_effect", "Keeps the probes"),
        ("better", "Keeps the probes"),
        ("unclear", "Unclear"),
        ("", "Unclear"),
    ],
)
def test_what_is_not_known_is_not_said_to_be_kept(effect: str, words: str) -> None:
    run = EvaluationRun(suite=EvaluationSuite(probe=True))
    assert MixResult(run, "exact_match", effect, None, None, None).words == words


def test_numbers_stay_in_sight_and_failures_can_be_tried_again(
    mix: Composition, adapter: Adapter, bob: User, client: Client
) -> None:
    examples = suite(_Kind.EXAMPLES, "Examples of ada/plural", adapter=adapter)
    failed = ran(mix, examples, _State.FAILED, fault="It ran out of memory.")
    assert "Evaluate again" not in client.get("/mix/bob/one").content.decode(), "nobody is signed in"
    client.force_login(bob)
    page = client.get("/mix/bob/one").content.decode()
    assert "It ran out of memory." in page
    assert "Evaluate again" in page
    measured = ran(mix, examples)
    ran(mix, examples, _State.WAITING)
    EvaluationRun.objects.filter(pk=failed.pk).update(created_at=measured.finished_at or measured.created_at)
    assert [result.run for result in results_of(runs_of_mix(user=bob, mix=mix))] == [measured]
    assert "Evaluate again" not in client.get("/mix/bob/one").content.decode()
