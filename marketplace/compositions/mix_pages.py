"""What a mix's page and its REST answer show."""

from __future__ import annotations

from typing import Any

from marketplace import policy
from marketplace.compositions.answering import common_base, prompt_format_of
from marketplace.compositions.members import Member
from marketplace.compositions.mix_selectors import Standing, standing_of
from marketplace.compositions.models import Composition
from marketplace.core.errors import Invalid


def detail_of(*, user: policy.Person, mix: Composition) -> dict[str, Any]:
    """The fields of ``MixDetailSerializer``: ``prompt_format`` is None while a member cannot be used."""
    members = standing_of(user=user, mix=mix)
    usable = not any(row.fault for row in members)
    prompt_format, warnings = _format_of(members) if usable else (None, [])
    return {
        "full_name": mix.full_name,
        "owner": mix.owner.username,
        "name": mix.name,
        "visibility": mix.visibility,
        "strategy": mix.strategy,
        "base": mix.base.name if mix.base else None,
        "description": mix.description,
        "created_at": mix.created_at,
        "updated_at": mix.updated_at,
        "members": members,
        "usable": usable,
        "prompt_format": prompt_format,
        "warnings": warnings,
    }


def _format_of(rows: list[Standing]) -> tuple[dict[str, Any] | None, list[str]]:
    members = [Member(row.adapter, row.version, row.weight) for row in rows if row.adapter and row.version]
    try:
        base = common_base(members)
    except Invalid as error:
        # A base that was deleted, or a member whose next version moved to another one.
        return None, [error.message]
    if base is None:
        return None, []
    found, warnings = prompt_format_of(base=base, members=members)
    return found.model_dump(mode="json"), warnings
