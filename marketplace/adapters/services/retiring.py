"""Yanking and deprecating versions.

A yanked version is found by its commit alone (PEP 592 has the idea): nothing new is built on it, what was built before
keeps working. A deprecated one still works, and says what to take instead. Neither touches a byte.
"""

from __future__ import annotations

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from marketplace import policy
from marketplace.accounts.models import User
from marketplace.adapters import cards, selectors
from marketplace.adapters.cards.card import NO_DESCRIPTION
from marketplace.adapters.models import Adapter, Artifact, Version
from marketplace.adapters.services.advancing import base_name_of, set_base
from marketplace.adapters.services.card_files import card_of
from marketplace.adapters.services.renaming import locked_for_owner
from marketplace.adapters.services.versions import embed_when_valid
from marketplace.bases import selectors as bases
from marketplace.core.errors import Invalid
from marketplace.moderation import audit
from marketplace.policy import Action

MAX_REASON = 300
#: A version is replaced by one that is replaced, this often at most.
MAX_CHAIN = 50
_COLUMNS = ["current", "title", "description", "tags", "license", "base", "base_name", "updated_at"]


def yank_version(*, user: User, version: Version, reason: str, same_weights: bool = False) -> Version:
    """Take a version back, with ``same_weights`` every version of the adapter that has its weights and config.

    The newest accepted version that is not yanked becomes current. Where none is left the adapter stays at the one it
    has, is not listed and not used for anything new. Yanking again replaces the reason.
    """
    reason = _sentence("reason", reason)
    if not reason:
        raise _invalid("reason", "Say why, in a sentence: whoever has it built in reads this.")
    with transaction.atomic():
        adapter = locked_for_owner(user, version.adapter, Action.EDIT)
        which = adapter.versions.filter(artifact=version.artifact_id) if same_weights else _one(adapter, version)
        commits = list(which.values_list("commit", flat=True))
        which.update(yanked_at=timezone.now(), yank_reason=reason)
        settle_current(adapter)
        audit.record(
            actor=user, action="version.yank", target=adapter.full_name, commits=commits, reason=reason,
            current=adapter.current.commit if adapter.current else "",
        )  # fmt: skip
    version.refresh_from_db()
    return version


def unyank_version(*, user: User, version: Version) -> Version:
    """Offer a yanked version again; it becomes current when it is the newest. Twice is no fault."""
    with transaction.atomic():
        adapter = locked_for_owner(user, version.adapter, Action.EDIT)
        if _one(adapter, version).exclude(yanked_at=None).update(yanked_at=None, yank_reason=""):
            settle_current(adapter)
            audit.record(actor=user, action="version.unyank", target=adapter.full_name, commit=version.commit)
    version.refresh_from_db()
    return version


def deprecate_version(*, user: User, version: Version, message: str = "", superseded_by: str = "") -> Version:
    """Say that there is something better: ``superseded_by`` is a revision of the same adapter, ``owner/name``, or
    ``owner/name@revision``. Doing it again replaces both."""
    message, superseded_by = _sentence("message", message), superseded_by.strip()
    policy.require(user, Action.EDIT, version.adapter)
    successor = _named(user, version, superseded_by) if superseded_by else None
    if not message and successor is None:
        raise _invalid("message", "Say what is wrong with it, or which version to take instead.")
    with transaction.atomic():
        if successor is not None:
            _lock_both(version, successor)
        adapter = locked_for_owner(user, version.adapter, Action.EDIT)
        if successor is not None:
            _check_successor(version, successor, superseded_by)
        _one(adapter, version).update(
            deprecated_at=version.deprecated_at or timezone.now(), deprecation=message, superseded_by=successor
        )
        audit.record(
            actor=user, action="version.deprecate", target=adapter.full_name, commit=version.commit, message=message,
            superseded_by=f"{successor.adapter.full_name}@{successor.commit}" if successor else "",
        )  # fmt: skip
    version.refresh_from_db()
    return version


def undeprecate_version(*, user: User, version: Version) -> Version:
    """Take a deprecation back. Twice is no fault."""
    with transaction.atomic():
        adapter = locked_for_owner(user, version.adapter, Action.EDIT)
        marked = _one(adapter, version).exclude(deprecated_at=None)
        if marked.update(deprecated_at=None, deprecation="", superseded_by=None):
            audit.record(actor=user, action="version.undeprecate", target=adapter.full_name, commit=version.commit)
    version.refresh_from_db()
    return version


def settle_current(adapter: Adapter) -> None:
    """Make the newest accepted version that is not yanked current, else the newest accepted one: that a current
    version is yanked says that all are. Call inside a transaction, with the row locked."""
    accepted = adapter.versions.select_related("artifact__base").filter(artifact__state=Artifact.State.VALID)
    newest = accepted.filter(yanked_at=None).order_by("-pk").first() or accepted.order_by("-pk").first()
    if newest is not None and newest.pk != adapter.current_id:
        adapter.current, adapter.updated_at = newest, timezone.now()
        _follow_card(adapter, newest)
        name = base_name_of(newest.artifact)
        set_base(adapter, newest.artifact, found=newest.artifact.base or bases.resolve_base(name), name=name)
        adapter.save(update_fields=_COLUMNS)
    elif newest is not None:
        adapter.current = newest
    embed_when_valid(adapter)


def _follow_card(adapter: Adapter, version: Version) -> None:
    """The adapter's columns as this version's card says them; a licence that follows from parents stays."""
    try:
        said = cards.suggested(card_of(version))
    except cards.CardFault:
        return
    title, description = str(said.get("title", "")), str(said.get("description", ""))
    # What a generated card says where nobody said anything.
    adapter.title = "" if title == adapter.name else title
    adapter.description = "" if description == NO_DESCRIPTION else description
    adapter.tags = list(said.get("tags", []))
    if adapter.origin == Adapter.Origin.UPLOAD:
        adapter.license = str(said.get("license", ""))


def _one(adapter: Adapter, version: Version) -> QuerySet[Version]:
    return adapter.versions.filter(pk=version.pk)


def _sentence(field: str, text: str) -> str:
    text = " ".join(text.replace("\0", " ").split())
    if len(text) > MAX_REASON:
        raise _invalid(field, f"Use at most {MAX_REASON} characters; this has {len(text)}.")
    return text


def _invalid(field: str, sentence: str) -> Invalid:
    return Invalid(sentence, extra={"fields": {field: [sentence]}})


def _named(user: User, version: Version, text: str) -> Version:
    """The version that ``text`` names, as far as ``user`` sees it."""
    address, _, revision = text.partition("@")
    owner, slash, name = address.partition("/")
    if slash:
        adapter = selectors.get_adapter(user=user, owner=owner, name=name)
        return selectors.get_version(adapter=adapter, revision=revision or "main")
    return selectors.get_version(adapter=version.adapter, revision=address)


def _lock_both(version: Version, successor: Version) -> None:
    """Lock both adapters, so that of two people who name each other's versions one sees what the other wrote."""
    keys = {version.adapter_id, successor.adapter_id}
    list(Adapter.objects.select_for_update(of=("self",)).filter(pk__in=keys).order_by("pk").values_list("pk"))


def _check_successor(version: Version, successor: Version, text: str) -> None:
    """Follow the chain of successors as it stands. Raises ``Invalid`` when it leads back, or on for too long.

    Three people at once can still close a ring, so it also ends where it meets itself.
    """
    if Version.objects.filter(pk=successor.pk).exclude(yanked_at=None).exists():
        raise _invalid("superseded_by", f"{text} is yanked itself. Name a version that people can take.")
    seen: set[int] = set()
    key: int | None = successor.pk
    while key is not None and key not in seen:
        if key == version.pk:
            raise _invalid("superseded_by", f"{text} leads back to this version. Name another one.")
        if len(seen) >= MAX_CHAIN:
            raise _invalid("superseded_by", f"{text} is itself replaced, {MAX_CHAIN} times over. Name the last one.")
        seen.add(key)
        key = Version.objects.filter(pk=key).values_list("superseded_by", flat=True).first()
