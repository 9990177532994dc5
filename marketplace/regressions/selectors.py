"""Reading what one watches."""

from __future__ import annotations

from django.db.models import Prefetch, QuerySet

from marketplace import policy
from marketplace.adapters.models import Adapter
from marketplace.compositions.mix_runs import subject_of_mix
from marketplace.compositions.mix_selectors import seen_mixes
from marketplace.compositions.models import Composition
from marketplace.core.errors import AppError, Conflict, NotFound
from marketplace.evaluations.subjects import Subject, adapter_as_subject
from marketplace.regressions.models import Check, Watch

#: As many checks of one watch are shown.
HISTORY = 60


def watches_of(user: policy.Person, *, checks: int = 1) -> QuerySet[Watch]:
    """One's own, with the newest ``checks`` of each, newest first."""
    newest = Check.objects.select_related("suite", "run", "before", "reference").order_by("-created_at", "-pk")[:checks]
    found = Watch.objects.filter(policy.owned_by(user), stopped_at=None)
    found = found.select_related("adapter__owner", "mix__owner", "base")
    # A prefetch that is cut off needs an attribute of its own; the model names its type.
    return found.prefetch_related(Prefetch("checks", queryset=newest, to_attr="newest"))  # type: ignore[no-redef]


def get_watch(*, user: policy.Person, key: int) -> Watch:
    found = watches_of(user, checks=HISTORY).filter(pk=key).first()
    if found is None:
        raise NotFound("You watch nothing by this number.")
    return found


def watch_on(user: policy.Person, subject: Adapter | Composition) -> Watch | None:
    """The person's own watch on ``subject``."""
    named = {"adapter": subject} if isinstance(subject, Adapter) else {"mix": subject}
    return Watch.objects.filter(policy.owned_by(user), stopped_at=None, **named).first()


def subject_for(user: policy.Person, subject: Adapter | Composition) -> Subject:
    """What is run, at the versions of now. Raises what keeps ``user`` from running it."""
    if isinstance(subject, Composition):
        if not seen_mixes(user).filter(pk=subject.pk).exists():
            raise NotFound("The mix is gone, or it is not yours to see.")
        return subject_of_mix(user, subject)
    try:
        policy.require(user, policy.Action.USE, subject)
    except NotFound:
        # Not even the name that it has by now is theirs to know.
        raise NotFound("The adapter is gone, or it is not yours to use.") from None
    if subject.base is None:
        raise Conflict(f"The base of {subject.full_name} is not registered here.", code="no_base")
    return adapter_as_subject(subject, subject.base)


def in_reach(row: Watch) -> bool:
    """Whether its owner may still see and run what is watched: no numbers and no new name otherwise."""
    return not halted(row)


def halted(row: Watch) -> str:
    """Why what is watched cannot be run now, for the watch's owner; empty where it can."""
    if quarantined(row):
        return "A moderator has put it in quarantine. It is not evaluated until it is restored."
    try:
        subject_for(row.owner, row.subject)
    except AppError as error:
        return error.message
    return ""


def quarantined(row: Watch) -> bool:
    """Whether it is the person's own adapter and in quarantine; of others' they do not learn it."""
    adapter = row.adapter
    if adapter is None or not policy.owns(row.owner, adapter):
        return False
    return adapter.moderation == Adapter.Moderation.QUARANTINED
