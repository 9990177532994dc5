"""What other apps' pages show of bases."""

from __future__ import annotations

from typing import Any

from django import template

from marketplace.adapters.models import Adapter, Artifact, Upload
from marketplace.bases.answers import NONE, question_of
from marketplace.bases.findings import problems_of
from marketplace.bases.models import Base, BaseChoice
from marketplace.bases.selectors import fits_of

register = template.Library()


@register.inclusion_tag("bases/fits.html")
def fits_of_upload(upload: Upload) -> dict[str, Any]:
    """A fact: the bases that the tensors of an accepted upload fit."""
    return {"fits": fits_of(upload.artifact), "chosen": upload.artifact.base if upload.artifact else None}


@register.inclusion_tag("bases/fits.html")
def fits_of_adapter(adapter: Adapter) -> dict[str, Any]:
    artifact = adapter.current.artifact if adapter.current else None
    accepted = artifact is not None and artifact.state == Artifact.State.VALID
    return {"fits": fits_of(artifact), "chosen": adapter.base, "hidden": not accepted}


@register.inclusion_tag("bases/answer.html", takes_context=True)
def base_answer(context: template.Context, adapter: Adapter) -> dict[str, Any]:
    """For the owner of an accepted adapter whose config names no base here: which one it is."""
    artifact = adapter.current.artifact if adapter.current else None
    if artifact is None or artifact.state != Artifact.State.VALID or artifact.base_id:
        return {"question": None}
    choice = BaseChoice.objects.select_related("base").filter(adapter=adapter).first()
    answer = "" if choice is None else choice.base.name if choice.base else NONE
    return {
        "adapter": adapter,
        "csrf_token": context.get("csrf_token"),
        "question": question_of(artifact, {"base_model": adapter.base_name}),
        "answer": answer or (adapter.base.name if adapter.base else ""),
        "linked": adapter.base is not None and not answer,
    }


@register.filter
def open_problems(adapter: Adapter) -> list[dict[str, Any]]:
    return problems_of(adapter)


@register.filter
def base_state(base: Base) -> str:
    """The class that colours a base's state."""
    return {"ready": "good", "failed": "bad"}.get(base.state, "live")
