"""Results that an owner does not want on their adapter's page: on suites that somebody uploaded, and on no others."""

from __future__ import annotations

import uuid

from django.db import transaction
from django.db.models import Q

from marketplace import policy
from marketplace.accounts.models import User
from marketplace.adapters.models import Adapter
from marketplace.core.errors import Conflict, NotFound
from marketplace.evaluations.models import EvaluationRun, EvaluationSuite, HiddenResult, Standing
from marketplace.moderation import audit

_Kind = EvaluationSuite.Kind


def hide_result(*, user: User, adapter: Adapter, suite_id: uuid.UUID) -> HiddenResult:
    """Take what was measured on a suite off the adapter's pages, for everybody but its authors, moderators and the
    suite's owner; whatever is measured on it later, too. Hiding twice is no fault.

    Raises what the policy raises, ``NotFound`` for a suite out of sight, ``Conflict`` for a result that there is not
    (``no_result``), and for one that everybody's adapters have (``not_hideable``): who could choose among those would
    show the best.
    """
    policy.require(user, policy.Action.ADMINISTER, adapter)
    with transaction.atomic():
        suite = EvaluationSuite.objects.filter(pk=suite_id).first()
        if suite is None or not (suite.adapter_id == adapter.pk or policy.may_see_suite(user, suite)):
            raise NotFound("There is no such suite, or it is not yours.")
        if not is_hideable(adapter, suite):
            raise Conflict(
                "Results on built-in suites, on the base’s probes and on the adapter’s own examples cannot be hidden: "
                "every adapter is shown by them.",
                code="not_hideable",
            )
        if not EvaluationRun.objects.filter(suite=suite, artifact__versions__adapter=adapter).exists():
            raise Conflict(f"{adapter.full_name} was not run on {suite.name}.", code="no_result")
        row, made = HiddenResult.objects.get_or_create(adapter=adapter, suite=suite, defaults={"hidden_by": user})
        if made:
            _record(user, "evaluation.hide", adapter, suite)
    return row


def show_result(*, user: User, adapter: Adapter, suite_id: uuid.UUID) -> None:
    """Show it again. What is shown already is no fault. Raises what the policy raises."""
    policy.require(user, policy.Action.ADMINISTER, adapter)
    with transaction.atomic():
        rows = HiddenResult.objects.select_for_update(of=("self",)).select_related("suite")
        row = rows.filter(adapter=adapter, suite=suite_id).first()
        if row is not None:
            row.delete()
            _record(user, "evaluation.show", adapter, row.suite)


def _record(user: User, action: str, adapter: Adapter, suite: EvaluationSuite) -> None:
    audit.record(actor=user, action=action, target=adapter.full_name, suite=str(suite.pk), name=suite.name)


def is_hideable(adapter: Adapter, suite: EvaluationSuite) -> bool:
    """Whether somebody uploaded it, and it is not what every adapter of the base is run on."""
    if suite.kind != _Kind.OWN or suite.probe:
        return False
    return not Standing.objects.filter(adapter=adapter, suites=suite).exists()


def hidden_suites(adapter: Adapter) -> set[uuid.UUID]:
    """The suites that the adapter's results are hidden of. A suite that became its base's probes hides nothing."""
    rows = HiddenResult.objects.filter(adapter=adapter, suite__probe=False)
    return set(rows.exclude(Q(suite__standings__adapter=adapter)).values_list("suite", flat=True))


def adapters_hiding(user: policy.Person, suite: EvaluationSuite) -> set[int]:
    """The adapters whose results on ``suite`` are hidden from ``user``."""
    rows = HiddenResult.objects.filter(suite=suite).select_related("adapter__owner", "adapter__current__artifact")
    return {row.adapter_id for row in rows if hidden_from(user, row.adapter, suite)}


def hidden_from(user: policy.Person, adapter: Adapter, suite: EvaluationSuite) -> bool:
    """Whether the adapter's result on ``suite`` is hidden, and from ``user``."""
    return suite.pk in hidden_suites(adapter) and not policy.may_see_hidden(user, adapter, suite)
