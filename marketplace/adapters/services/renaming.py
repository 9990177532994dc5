"""A new name for an adapter. The old address leads to it for ever."""

from __future__ import annotations

import re
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from marketplace import policy
from marketplace.accounts.models import User
from marketplace.adapters.fields import Checker
from marketplace.adapters.models import Adapter, Version
from marketplace.adapters.services.card_commits import commit_card
from marketplace.adapters.services.card_files import current_card
from marketplace.adapters.services.naming import check_name_free, keep_former_name, lock_names
from marketplace.adapters.services.versions import embed_when_valid
from marketplace.core.errors import Conflict, NotFound
from marketplace.moderation import audit


def locked_for_owner(user: User, adapter: Adapter, action: policy.Action = policy.Action.ADMINISTER) -> Adapter:
    """The row, locked, when ``user`` may do ``action``; raises the policy's refusal. Call inside a transaction."""
    row = Adapter.objects.select_for_update(of=("self",)).select_related("owner", "base").filter(pk=adapter.pk).first()
    if row is None:
        raise NotFound(f"There is no adapter {adapter.full_name}, or it is not yours to see.")
    policy.require(user, action, row)
    return row


def locked_with_owner(user: User, adapter: Adapter, action: policy.Action) -> Adapter:
    """``locked_for_owner`` behind the lock on the owner's names and bytes: for whatever may write a version.

    Always in this order, so that no two of them wait for each other. Raises ``Conflict`` when it changed hands just
    now.
    """
    lock_names(adapter.owner)
    row = locked_for_owner(user, adapter, action)
    if row.owner_id != adapter.owner_id:
        raise Conflict(f"{adapter.full_name} is {row.full_name} now. Try again there.", code="handed_over")
    return row


def rename_adapter(*, user: User, adapter: Adapter, name: str) -> Adapter:
    """Give an adapter another name of its owner; the name it has already changes nothing.

    A card or recipe that shows the adapter's own address is rewritten as a commit. Lineage goes by versions and stays.
    Raises ``Invalid`` for what is no name, ``Conflict`` for one that is, or was, another adapter's.
    """
    checker = Checker()
    name = checker.name(name)
    checker.finish()
    with transaction.atomic():
        row = locked_with_owner(user, adapter, policy.Action.ADMINISTER)
        before, old = row.full_name, row.name
        if name == old:
            return row
        check_name_free(row.owner, name, adapter=row)
        row.name, row.updated_at = name, timezone.now()
        row.save(update_fields=["name", "updated_at"])
        keep_former_name(row, row.owner, old)
        commit = rewrite_own_name(user, row, before)
        embed_when_valid(row)
        audit.record(actor=user, action="adapter.rename", target=row.full_name, before=before, commit=commit)
    return row


def rewrite_own_name(author: User, adapter: Adapter, before: str) -> str:
    """Commit the card and recipe with the adapter's address in place of ``before``; the commit, or empty when they do
    not show it. Call inside a transaction."""
    current = adapter.current
    if current is None:
        return ""
    text = current_card(adapter)
    card, recipe = with_new_name(text, before, adapter.full_name), _renamed(current.recipe, before, adapter.full_name)
    if card == text and recipe == current.recipe:
        return ""
    version = commit_card(author=author, adapter=adapter, text=card, message=f"Was {before} before")
    if recipe != version.recipe:
        Version.objects.filter(pk=version.pk).update(recipe=recipe)
        version.recipe = recipe
    return version.commit


def with_new_name(text: str, before: str, after: str) -> str:
    """A card with the address ``after`` for ``before``, also where the bare name is the generated heading.

    An address stands below this site's, or alone, with a slash before it or without. What other sites have under the
    same two words stays theirs.
    """
    here = rf"(?<={re.escape(settings.SITE_URL)}/)|(?<![\w./:@-])/?"
    address = re.compile(rf"({here}){re.escape(before)}(?![\w-]|\.\w)")
    text = address.sub(lambda found: found[1] + after, text)
    heading = re.compile(rf"^# {re.escape(before.partition('/')[2])}[ \t]*$", re.MULTILINE)
    return heading.sub(lambda _: f"# {after.partition('/')[2]}", text, count=1)


def _renamed(recipe: Any, before: str, after: str) -> Any:
    """A recipe in which every text that is exactly the old address is the new one."""
    if isinstance(recipe, dict):
        return {key: _renamed(value, before, after) for key, value in recipe.items()}
    if isinstance(recipe, list):
        return [_renamed(value, before, after) for value in recipe]
    return after if recipe == before else recipe
