"""Find partners: what goes well with chosen adapters, out of everything that the asker may use.

Ranked by the predicted interference where there is a prediction; else by likeness of the cards, and said so. Only the
asker's own view of the catalogue is ranked: a pair that somebody else had measured tells nothing of a private adapter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from django.conf import settings
from django.db.models import QuerySet

from inference_worker.contracts.composability import MAX_COMPARED, PairMeasures
from inference_worker.contracts.interference import Predictor, stored_predictors
from inference_worker.contracts.merge_limits import ALONE, NEVER
from marketplace import policy
from marketplace.accounts.models import User
from marketplace.adapters import selectors as adapters
from marketplace.adapters.models import Adapter, Artifact, Embedding
from marketplace.catalog import meaning
from marketplace.compositions.members import Member, conflicting_shapes
from marketplace.compositions.pairs.selectors import measured_with
from marketplace.compositions.pairs.services import compare_pairs
from marketplace.compositions.verdict import NEAR_DUPLICATE
from marketplace.core.errors import NotAuthenticated
from marketplace.jobs.models import Job

SHOWN, MOST_SHOWN = 6, 50
#: How many candidates one job compares with the chosen adapters.
BATCH = 32
#: So many candidates at most are looked at, the most downloaded first.
_CANDIDATES = 500


@dataclass(frozen=True)
class Partner:
    """``interference`` is the mean prediction over the chosen adapters, ``kept`` the shares that the first of them and
    this one keep, ``meaning`` the cosine of the cards; None where unknown."""

    adapter: Adapter
    interference: float | None = None
    kept: tuple[float, float] | None = None
    cosine: float | None = None
    meaning: float | None = None


@dataclass(frozen=True)
class Partners:
    """``ranked_by`` is ``interference`` or ``meaning``; ``waiting`` counts candidates that nobody has compared yet,
    ``unpredicted`` those that were and are unlike all that the prediction was fitted on."""

    ranked_by: str
    method: str = ""
    partners: list[Partner] = field(default_factory=list)
    waiting: int = 0
    unpredicted: int = 0


def predictor() -> Predictor | None:
    """The prediction that partners are ranked by: that of the exact sum, else another method's that says something."""
    usable = [item for item in stored_predictors().predictors if item.source != "none"]
    return next((item for item in usable if item.method == "cat"), usable[0] if usable else None)


def find_partners(*, user: policy.Person, members: Sequence[Member], limit: int = SHOWN) -> Partners:
    """The best partners of ``members``, which ``resolve_members`` has let through."""
    candidates = _candidates(user, members)
    nearness = _nearness(candidates, members[0])
    by = predictor()
    if by is None:
        best = sorted(nearness, key=lambda pk: -nearness[pk])[:limit]
        rows = _rows(user, best)
        return Partners("meaning", "", [Partner(rows[pk], meaning=nearness[pk]) for pk in best if pk in rows])
    artifacts = dict(candidates.values_list("pk", "current__artifact")[:_CANDIDATES])
    measured = [measured_with(member.artifact.pk, artifacts.values()) for member in members]
    judged = {pk: _judge(by, [found[key] for found in measured if key in found]) for pk, key in artifacts.items()}
    complete = {pk for pk, key in artifacts.items() if all(key in found for found in measured)}
    ranked = sorted((pk for pk in complete if judged[pk]), key=lambda pk: (judged[pk].interference, pk))  # type: ignore[union-attr]
    rows = _rows(user, ranked[:limit])
    found = [
        Partner(rows[pk], item.interference, item.kept, item.cosine, nearness.get(pk))
        for pk in ranked[:limit]
        if pk in rows and (item := judged[pk]) is not None
    ]
    outside = sum(
        any(map(by.outside, (known[key] for known in measured))) for key in (artifacts[pk] for pk in complete)
    )
    return Partners("interference", by.method, found, len(artifacts) - len(complete), outside)


def compare_with_candidates(*, user: User, members: Sequence[Member]) -> Job | None:
    """Compare ``members`` with candidates that nobody has compared them with, the nearest in meaning first; None when
    there is none left."""
    if not user.is_authenticated:
        raise NotAuthenticated("Sign in to have adapters compared.")
    candidates = _candidates(user, members)
    artifacts = dict(candidates.values_list("pk", "current__artifact")[:_CANDIDATES])
    known = [set(measured_with(member.artifact.pk, artifacts.values())) for member in members]
    waiting = [pk for pk, key in artifacts.items() if not all(key in found for found in known)]
    nearness = _nearness(candidates, members[0])
    waiting.sort(key=lambda pk: (-nearness.get(pk, 0.0), pk))
    rows = _rows(user, waiting[: min(BATCH, MAX_COMPARED - len(members))], whole=True)
    others = [Member(row, row.current, 1.0) for row in rows.values() if row.current is not None]
    pairs = [
        (member, other)
        for other in others
        for member, found in zip(members, known, strict=True)
        if other.artifact.pk not in found and not conflicting_shapes((member, other))
    ]
    return compare_pairs(user=user, pairs=pairs)


def _candidates(user: policy.Person, members: Sequence[Member]) -> QuerySet[Adapter]:
    """What may be added: listed and usable for ``user``, of the same base, other files, not refused by every method."""
    first = members[0].adapter
    base = {"base": first.base} if first.base else {"base": None, "base_name": first.base_name}
    usable = adapters.listed_adapters(user).filter(policy.allowed(user, policy.Action.USE), **base)
    usable = usable.filter(current__artifact__state=Artifact.State.VALID)
    usable = usable.exclude(current__artifact__in=[member.artifact.pk for member in members])
    for feature in (*NEVER, *ALONE):
        usable = usable.exclude(current__artifact__summary__features__contains=[feature])
    return usable.order_by("-downloads", "pk")


def _nearness(candidates: QuerySet[Adapter], member: Member) -> dict[int, float]:
    """Primary key → cosine of the cards, for those that are alike at all."""
    own = member.adapter.embeddings.filter(kind=Embedding.Kind.DESCRIPTION, encoder=settings.ENCODER).first()
    if own is None:
        return {}
    return meaning.closest(candidates, list(own.embedding), own.encoder, MOST_SHOWN + BATCH, kind=own.kind, floor=0.0)


def _rows(user: policy.Person, keys: Sequence[int], whole: bool = False) -> dict[int, Adapter]:
    """The adapters of ``keys`` in their order; ``whole`` with their modules' measurements."""
    source = adapters.visible_adapters(user) if whole else adapters.listed_adapters(user)
    found = source.in_bulk(keys)
    return {pk: found[pk] for pk in keys if pk in found}


@dataclass(frozen=True)
class _Judged:
    interference: float
    kept: tuple[float, float]
    cosine: float


def _judge(by: Predictor, pairs: Sequence[PairMeasures]) -> _Judged | None:
    """The mean over the chosen adapters; None for a near-duplicate of one, and where nothing can be said."""
    if not pairs or any(item.cosine >= NEAR_DUPLICATE for item in pairs):
        return None
    kept = [by.kept_by_both(item) for item in pairs]
    known = [shares for shares in kept if shares is not None]
    if len(known) < len(pairs):
        return None
    losses = [1.0 - sum(shares) / 2 for shares in known]
    return _Judged(sum(losses) / len(losses), known[0], pairs[0].cosine)
