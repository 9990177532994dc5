"""What came out of checks, and telling it to whoever wanted to know."""

from __future__ import annotations

from django.db import transaction
from django.utils import timezone

from marketplace.evaluations.figures import gain, percent, percents, points
from marketplace.evaluations.models import EvaluationRun
from marketplace.evaluations.verdicts import METRICS
from marketplace.notifications.models import Kind
from marketplace.notifications.services import notify
from marketplace.regressions.comparing import Compared, compare
from marketplace.regressions.models import Check
from marketplace.regressions.selectors import in_reach

_State, _Outcome = EvaluationRun.State, Check.Outcome
_CHANGED = (_Outcome.BETTER, _Outcome.WORSE)
_AT_ONCE = 200


def settle_ended() -> int:
    """Judge the checks whose runs have ended; how many."""
    ended = Check.objects.filter(outcome=_Outcome.WAITING).exclude(run__state=_State.WAITING)
    return sum(_settle(key) for key in list(ended.order_by("created_at", "pk").values_list("pk", flat=True)[:_AT_ONCE]))


def _settle(key: int) -> bool:
    with transaction.atomic():
        rows = Check.objects.select_for_update(of=("self",), skip_locked=True)
        people = ("watch__owner", "watch__adapter__owner", "watch__mix__owner", "run", "before", "reference", "suite")
        row = rows.select_related(*people).filter(pk=key, outcome=_Outcome.WAITING).first()
        if row is None:
            return False
        since = Compared("", "", None)
        if in_reach(row.watch):
            compared, since = _judged(row, row.before), _since(row)
            row.fault = row.run.fault if row.run else "Its run is gone."
        else:
            compared, row.fault = Compared(_Outcome.FAILED, "", None), "It is no longer yours to use."
        row.outcome, row.metric = compared.outcome, compared.metric
        row.difference = compared.difference.model_dump() if compared.difference else None
        row.since = since.outcome
        row.since_difference = since.difference.model_dump() if since.difference else None
        row.settled_at = timezone.now()
        row.save()
        if row.watch.stopped_at is not None:
            return True
        if row.outcome in _CHANGED:
            _tell(row, f"{row.outcome} than before")
        elif row.since in _CHANGED and _is_news(row):
            _tell(row, f"{row.since} than its reference")
        elif row.outcome == _Outcome.FAILED:
            _tell_failed(row)
    return True


def _judged(row: Check, other: EvaluationRun | None) -> Compared:
    if row.run is None or row.run.state == _State.FAILED:
        return Compared(_Outcome.FAILED, "", None)
    if other is None or other.state != _State.MEASURED:
        return Compared(_Outcome.FIRST, "", None)
    return compare(other, row.run)


def _since(row: Check) -> Compared:
    """Against the reference: what decays slowly never leaves the interval of the time before."""
    if row.reference is None or row.run is None or row.run.state != _State.MEASURED:
        return Compared("", "", None)
    return _judged(row, row.reference)


def _is_news(row: Check) -> bool:
    """Whether the check before did not say the same of the same reference."""
    checks = Check.objects.filter(watch=row.watch, suite=row.suite, settled_at__isnull=False).exclude(pk=row.pk)
    last = checks.exclude(outcome=_Outcome.FAILED).order_by("-created_at", "-pk").first()
    return last is None or (last.since, last.reference_id) != (row.since, row.reference_id)


def _tell(row: Check, how: str) -> None:
    notify(
        user=row.watch.owner,
        kind=Kind.REGRESSION,
        title=f"{row.watch.label} is {how} on {row.suite.name}",
        text=sentence_of(row),
        # Every result has its own place, and with it its own letter, also while the one before is unread.
        address=f"/watches/{row.watch_id}#check-{row.pk}",
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
    numbers = f"{METRICS[row.metric]} {percent(old['value'])} before, {percent(new['value'])} now"
    if row.difference:
        between = f"{points(row.difference['low'])} to {points(row.difference['high'])}"
        apart = points(gain(old["value"], new["value"]))
        numbers += f": {apart} points (95 % interval {between}, {row.difference['n']} pairs)"
    else:
        numbers += f"; the interval before was {percents(old['low'], old['high'])}"
    return f"{numbers}. {_since_reference(row)}{_what_changed(row)}"


def _since_reference(row: Check) -> str:
    """“Since the reference of 3 May 2026: −12 points (95 % interval −20 to −5).” Empty where that is the run before."""
    if row.since not in _CHANGED or row.reference is None or row.reference_id == row.before_id:
        return ""
    day = row.reference.finished_at or row.reference.created_at
    start = f"{row.get_since_display().split()[0]} than its reference of {day:%-d %B %Y}"
    if not row.since_difference:
        return f"{start}. "
    between = f"{points(row.since_difference['low'])} to {points(row.since_difference['high'])}"
    return f"{start}: {points(row.since_difference['value'])} points (95 % interval {between}). "


def _what_changed(row: Check) -> str:
    reasons = []
    if row.before and row.run and row.before.subject_digest != row.run.subject_digest:
        reasons.append("Another version of it runs now.")
    if row.reason in (Check.Reason.BASE, Check.Reason.ENGINE):
        reasons.append(f"{row.get_reason_display()}.")
    return " ".join(reasons) or "Neither it nor its base has another version."
