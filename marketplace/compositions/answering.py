"""What a set of adapters answers as: on which base, in which prompt format."""

from __future__ import annotations

from collections.abc import Sequence

from inference_worker.contracts.common import PromptFormat
from marketplace.bases.models import Base
from marketplace.compositions.members import Member
from marketplace.core.errors import Invalid


def common_base(members: Sequence[Member], base: Base | None = None) -> Base | None:
    """The base that all members belong to; ``base`` when it is given and none contradicts it. None without members."""
    for member in members:
        own = member.adapter.base
        if own is None:
            raise Invalid(
                f"{member.adapter.full_name} belongs to a base that is not registered here "
                f"({member.adapter.base_name or 'none is named'}), so nothing can run it."
            )
        if base is not None and own != base:
            raise Invalid(
                f"{member.adapter.full_name} belongs to {own.name}, not to {base.name}. "
                "Adapters in one composition need one base."
            )
        base = own
    return base


def own_formats(members: Sequence[Member]) -> dict[int, PromptFormat]:
    """Each member's own prompt format by its adapter's key, for its own examples; nothing where all members have the
    same, or none has any."""
    formats = {
        member.adapter.pk: PromptFormat.model_validate(member.version.prompt_format)
        for member in members
        if member.version.prompt_format
    }
    return formats if len(set(map(PromptFormat.model_dump_json, formats.values()))) > 1 else {}


def prompt_format_of(*, base: Base, members: Sequence[Member]) -> tuple[PromptFormat, list[str]]:
    """The strongest member's prompt format, with a warning when members differ; the base's own without members."""
    formats = [
        (abs(member.weight), PromptFormat.model_validate(member.version.prompt_format))
        for member in members
        if member.version.prompt_format
    ]
    if not formats:
        return PromptFormat(kind="chat" if base.chat_template else "plain"), []
    best = max(formats, key=lambda pair: pair[0])[1]
    if any(other != best for _, other in formats):
        return best, ["The members expect different prompt formats; the strongest member's is used."]
    return best, []
