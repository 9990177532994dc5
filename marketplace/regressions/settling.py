"""What came out of checks, and telling it to whoever wanted to know."""

from __future__ import annotations

from django.db import transaction
from django.utils import timezone

from marketplace.evaluations.models import EvaluationRun
from marketplace.evaluations.verdicts import METRICS
from marketplace.notifications.models import Kind
from marketplace.notifications.services import notify
from marketplace.regressions.comparing import Compared, compare
from marketplace.regressions.models import Check

_State, _Outcome = EvaluationRun.State, Check.Outcome
_AT_ONCE = 200


def settle_ended() -> int:
    """Judge the checks whose runs have ended; how many."""
    ended = Check.objects.filter(outcome=_Outcome.WAITING).exclude(run__state=_State.WAITING)
    return sum(_settle(key) for key in list(ended.order_by("created_at", "pk").values_list("pk", flat=True)[:_AT_ONCE]))


def _settle(key: int) -> bool:
    with transaction.atomic():
        rows = Check.objects.select_for_update(of=("self",), skip_locked=True)
        people = ("watch__owner", "watch__adapter__owner", "watch__mix__owner", "run", "before", "suite")
        row = rows.select_related(*people).filter(pk=key, outcome=_Outcome.WAITING).first()
        if row is None:
            return False
        compared = _judged(row)
        row.fault = row.run.fault if row.run else "Its run is gone."
        row.outcome, row.metric = compared.outcome, compared.metric
        row.difference = compared.difference.model_dump() if compared.difference else None
        row.settled_at = timezone.now()
        row.save()
        if row.outcome in (_Outcome.BETTER, _Outcome.WORSE):
            _tell(row)
        elif row.outcome == _Outcome.FAILED:
            _tell_failed(row)
    return True


def _judged(row: Check) -> Compared:
    if row.run is None or row.run.state == _State.FAILED:
        return Compared(_Outcome.FAILED, "", None)
    if row.before is None or row.before.state != _State.MEASURED:
        return Compared(_Outcome.FIRST, "", None)
    return compare(row.before, row.run)


def _tell(row: Check) -> None:
    notify(
        user=row.watch.owner,
        kind=Kind.REGRESSION,
        title=f"{row.watch.label} is {row.outcome} than before on {row.suite.name}",
        text=sentence_of(row),
        address=f"/watches/{row.watch_id}",
    )


def _tell_failed(row: Check) -> None:
    notify(
        user=row.watch.owner,
        kind=Kind.REGRESSION,
        title=f"{row.watch.label} could not be evaluated on {row.suite.name}",
        text=row.fault,
        address=f"/watches/{row.watch_id}",
    )


def sentence_of(row: Check) -> str:
    """“Exact match 85 % before, 60 % now: −25 points (95 % interval −35 to −15, 40 pairs). Another revision of the
    base.” Empty where there is nothing to compare."""
    if row.before is None or row.run is None or not row.metric:
        return ""
    old, new = (run.estimates["overall"][row.metric] for run in (row.before, row.run))
    numbers = f"{METRICS[row.metric]} {_percent(old)} before, {_percent(new)} now"
    if row.difference:
        between = f"{_points(row.difference['low'])} to {_points(row.difference['high'])}"
        numbers += f": {_points(row.difference['value'])} points (95 % interval {between}, {row.difference['n']} pairs)"
    else:
        numbers += f"; the interval before was {round(100 * old['low'])} to {round(100 * old['high'])} %"
    return f"{numbers}. {_what_changed(row)}"


def _what_changed(row: Check) -> str:
    reasons = []
    if row.before and row.run and row.before.subject_digest != row.run.subject_digest:
        reasons.append("Another version of it runs now.")
    if row.reason in (Check.Reason.BASE, Check.Reason.ENGINE):
        reasons.append(f"{row.get_reason_display()}.")
    return " ".join(reasons) or "Neither it nor its base has another version."


def _percent(estimate: dict[str, float]) -> str:
    return f"{round(100 * estimate['value'])} %"


def _points(share: float) -> str:
    rounded = round(100 * share)
    return f"−{-rounded}" if rounded < 0 else f"{rounded}" if rounded == 0 else f"+{rounded}"
