"""Rows that were measured before exact match had score intervals, and token F1 a width where all values agree."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import pytest
from django.apps import apps

from inference_worker.contracts.intervals import agreed_interval, paired_interval, share_interval
from marketplace.accounts.models import User
from marketplace.adapters.models import Adapter
from marketplace.bases.models import Base
from marketplace.evaluations.models import EvaluationRun, EvaluationSuite, Standing

pytestmark = pytest.mark.django_db
renewing = import_module("marketplace.evaluations.migrations.0006_score_intervals")
agreeing = import_module("marketplace.evaluations.migrations.0007_agreeing_intervals")


def test_they_are_written_anew(make_adapter: Any, ada: User, base: Base) -> None:
    adapter: Adapter = make_adapter(ada, "sure", base="wordsmith-v1")
    suite = EvaluationSuite.objects.create(kind="examples", name="x", adapter=adapter, sha256="0" * 64, count=16)
    sure = {"value": 1.0, "low": 1.0, "high": 1.0, "n": 16}
    words = {"value": 0.7, "low": 0.6, "high": 0.8, "n": 16}
    gain = {**sure, "wins": 16, "losses": 0, "same_answers": 0}
    run = EvaluationRun.objects.create(
        key="1" * 64,
        subject_digest="0" * 64,
        base=base,
        suite=suite,
        state="measured",
        estimates={"overall": {"exact_match": sure, "token_f1": sure}, "tasks": {"t": {"exact_match": sure}}},
        difference={"exact_match": gain, "token_f1": words},
        differences={"other": {"exact_match": sure}},
    )
    EvaluationRun.objects.create(key="2" * 64, subject_digest="0" * 64, base=base, suite=suite)
    standing = Standing.objects.create(adapter=adapter, keys={str(suite.pk): run.key}, gain=1.0, gain_low=1.0)
    renewing.renew_runs(apps, None)
    renewing.renew_gains(apps, None)
    run.refresh_from_db()
    share = dict(zip(("low", "high"), share_interval(16, 16), strict=True))
    pairs = dict(zip(("low", "high"), paired_interval(16, 0, 16), strict=True))
    assert run.estimates["overall"] == {"exact_match": {**sure, **share}, "token_f1": {**sure, **share}}
    assert run.estimates["tasks"]["t"]["exact_match"] == {**sure, **share}
    assert run.difference == {"exact_match": {**gain, **pairs}, "token_f1": words}
    assert run.differences["other"]["exact_match"] == {**sure, **pairs}
    standing.refresh_from_db()
    assert standing.gain_low == pytest.approx(pairs["low"])


def test_so_are_values_that_all_agree(make_adapter: Any, ada: User, base: Base) -> None:
    adapter: Adapter = make_adapter(ada, "half", base="wordsmith-v1")
    suite = EvaluationSuite.objects.create(kind="examples", name="x", adapter=adapter, sha256="0" * 64, count=16)
    half = {"value": 0.5, "low": 0.5, "high": 0.5, "n": 16}
    words = {"value": 0.7, "low": 0.6, "high": 0.8, "n": 16}
    run = EvaluationRun.objects.create(
        key="1" * 64,
        subject_digest="0" * 64,
        base=base,
        suite=suite,
        state="measured",
        estimates={"overall": {"token_f1": half, "perplexity": half}, "tasks": {"t": {"token_f1": words}}},
        difference={"token_f1": half},
        differences={"other": {"token_f1": words}},
    )
    agreeing.renew_runs(apps, None)
    run.refresh_from_db()
    share, pairs = (dict(zip(("low", "high"), agreed_interval(0.5, 16, end), strict=True)) for end in (0.0, -1.0))
    assert run.estimates["overall"] == {"token_f1": {**half, **share}, "perplexity": half}
    assert run.estimates["tasks"]["t"]["token_f1"] == words
    assert (run.difference, run.differences) == ({"token_f1": {**half, **pairs}}, {"other": {"token_f1": words}})
    checks = import_module("marketplace.regressions.migrations.0003_agreeing_intervals")
    assert checks.renewed(half) == {**half, **pairs}
    assert checks.renewed(words) == words
    assert checks.renewed(None) is None
