"""What owners answer to the question which base an adapter is of. Theirs is the last word."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from marketplace.bases.models import Base, BaseChoice
from marketplace.bases.recognition import recognise
from marketplace.bases.shapes import Module, shape_conflicts
from marketplace.bases.suggestion import suggestion_for
from marketplace.core.errors import Invalid

#: The answer that means: none of the bases here. No base can have this name.
NONE = "-"


def base_of_upload(artifact: Any, suggested: dict[str, Any], answer: str) -> Base | None:
    """The uploader's answer, else what config or card name. Shapes alone are a suggestion, which waits for an answer.

    Raises ``Invalid`` for an answer that names no base here, or one that the tensors do not fit.
    """
    if answer:
        return base_by_answer(artifact.modules, answer)
    base: Base | None = artifact.base or suggestion_for(artifact, suggested).named
    return base


def base_by_answer(modules: Sequence[Module], answer: str) -> Base | None:
    """None for ``NONE``. Raises ``Invalid``."""
    if answer == NONE:
        return None
    base = recognise(answer).base
    if base is None:
        sentence = f"There is no base “{answer[:100]}”. Choose one of the list, or leave it open."
        raise Invalid(sentence, extra={"fields": {"base": [sentence]}})
    conflicts = shape_conflicts(base, modules)
    if conflicts:
        sentence = f"The adapter does not fit {base.name}. {conflicts[0]}"
        raise Invalid(sentence, extra={"fields": {"base": [sentence]}})
    return base


def remember_answer(adapter: Any, answer: str, base: Base | None) -> None:
    """Keep an answer, so that nothing that is found later changes it; an empty one takes the last one back.

    Call inside a transaction, permission checked.
    """
    if answer:
        BaseChoice.objects.update_or_create(adapter=adapter, defaults={"base": base})
    else:
        BaseChoice.objects.filter(adapter=adapter).delete()


def owners_choice(adapter: Any, modules: Sequence[Module], found: Base | None) -> Base | None:
    """``found``, unless the owner has answered otherwise and the answer still fits the modules."""
    choice = BaseChoice.objects.select_related("base").filter(adapter=adapter.pk).first() if adapter.pk else None
    if choice is None or (choice.base is not None and shape_conflicts(choice.base, modules)):
        return found
    return choice.base
