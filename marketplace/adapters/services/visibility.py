"""How open an adapter is: private, gated with its terms, or public."""

from __future__ import annotations

from django.db import transaction
from django.utils import timezone

from marketplace import policy
from marketplace.accounts.models import User
from marketplace.adapters.models import Adapter, Artifact, Lineage
from marketplace.adapters.services.renaming import locked_for_owner
from marketplace.core.errors import Conflict, Invalid
from marketplace.jobs.checking import recheck_later
from marketplace.moderation import audit

MAX_TERMS = 20_000
#: From closed to open.
_OPENNESS = [Adapter.Visibility.PRIVATE, Adapter.Visibility.GATED, Adapter.Visibility.PUBLIC]


def set_visibility(*, user: User, adapter: Adapter, visibility: str | None = None, terms: str | None = None) -> Adapter:
    """Make an adapter private, gated or public; ``terms`` is the Markdown that people read before they ask for a gated
    one. None leaves either as it is.

    ``Conflict`` where a licence keeps it private, it was not accepted, or a parent of a merge is less open: recipe,
    card and message of a merge name its parents, and its weights carry theirs. A parent that goes out of sight later
    stays named there, in what was published with its owner's consent; lineage and recipe on pages and in REST name it
    no more (``selectors.lineage_of``, ``selectors.recipe_of``).
    """
    with transaction.atomic():
        row = locked_for_owner(user, adapter)
        if terms is not None:
            _set_terms(user, row, terms)
        if visibility is not None and visibility != row.visibility:
            change_visibility(row, visibility)
            audit.record(actor=user, action="adapter.visibility", target=row.full_name, visibility=visibility)
    return row


def change_visibility(row: Adapter, visibility: str) -> None:
    """``set_visibility`` on a locked row, permission checked. Raises ``Invalid`` and ``Conflict``."""
    if visibility not in Adapter.Visibility.values:
        sentence = f"Choose one of: {', '.join(Adapter.Visibility.values)}."
        raise Invalid(sentence, extra={"fields": {"visibility": [sentence]}})
    if visibility != Adapter.Visibility.PRIVATE:
        check_publishable(row, visibility)
    if _OPENNESS.index(Adapter.Visibility(visibility)) < _OPENNESS.index(Adapter.Visibility(row.visibility)):
        recheck_later()
    row.visibility = visibility
    row.updated_at = timezone.now()
    row.save(update_fields=["visibility", "updated_at"])


def _set_terms(user: User, row: Adapter, terms: str) -> None:
    terms = terms.replace("\0", "").replace("\r\n", "\n").strip()
    if len(terms) > MAX_TERMS:
        sentence = f"Use at most {MAX_TERMS:,} characters; this has {len(terms):,}."
        raise Invalid(sentence, extra={"fields": {"terms": [sentence]}})
    if terms == row.gate_terms:
        return
    before, row.gate_terms = row.gate_terms, terms
    row.save(update_fields=["gate_terms"])
    # People agreed to what stood there when they asked.
    audit.record(actor=user, action="access.terms", target=row.full_name, before=before, after=terms)


def check_publishable(row: Adapter, visibility: str = Adapter.Visibility.PUBLIC) -> None:
    """``Conflict`` with the reason why others may not see the adapter, or not without asking."""
    if row.private_reason:
        raise Conflict(row.private_reason, code="must_stay_private")
    if row.current is not None and row.current.artifact.state == Artifact.State.INVALID:
        raise Conflict(f"{row.full_name} was not accepted, so it cannot be {visibility}.", code="artifact_invalid")
    _check_parents(row, visibility)


def _check_parents(row: Adapter, visibility: str) -> None:
    """``Conflict`` while a parent is less open than ``visibility``, or taken down; parents of others are not named.

    A gated parent of the merge's own owner is no hindrance: it is for them to say who gets what is in it.
    """
    edges = Lineage.objects.filter(child__adapter=row).select_related("parent__adapter__owner")
    parents = {edge.parent.adapter for edge in edges}
    closed = {parent for parent in parents if not _as_open(parent, visibility, row)}
    if not closed:
        return
    own = sorted(parent.full_name for parent in closed if policy.may_administer(row.owner, parent))
    gated = any(_as_open(parent, Adapter.Visibility.GATED, row) for parent in closed)
    sentences = [f"{row.full_name} names what it was merged from, and not all of that is {visibility}."]
    if own:
        public = visibility == Adapter.Visibility.PUBLIC
        sentences.append(f"{'Publish' if public else 'Open'} {', '.join(own)} first.")
    if gated:
        sentences.append("One parent is gated by somebody else: the merge may be gated too, or stay private.")
    elif len(own) < len(closed):
        sentences.append("A parent belongs to somebody's private adapter, or was taken down; the merge stays private.")
    raise Conflict(" ".join(sentences), code="parents_private", extra={"parents": own})


def _as_open(parent: Adapter, visibility: str, child: Adapter) -> bool:
    """Whether ``parent`` lets a merge of it be so open."""
    if parent.moderation != Adapter.Moderation.VISIBLE:
        return False
    if parent.visibility == Adapter.Visibility.GATED and parent.owner_id == child.owner_id:
        return True
    return _OPENNESS.index(Adapter.Visibility(parent.visibility)) >= _OPENNESS.index(Adapter.Visibility(visibility))
