"""Generations: resolve a composition, write the closed plan, hand it to a live worker, account for it."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from pydantic import ValidationError

from inference_worker.contracts.common import BaseFiles, PromptFormat
from inference_worker.contracts.generate import GenerateEvent, GenerateRequest, Sampling, WeightedAdapter
from marketplace import policy
from marketplace.accounts.models import User
from marketplace.adapters.models import Adapter
from marketplace.bases.models import Base
from marketplace.celery import app
from marketplace.compositions.answering import common_base, prompt_format_of
from marketplace.compositions.members import Choice, Member, check_generating, resolve_members
from marketplace.core.errors import Forbidden, Invalid, Unavailable
from marketplace.core.live import queue_for
from marketplace.playground.models import Usage

MAX_MEMBERS = 8


@dataclass(frozen=True)
class Generation:
    """One generation under way. ``warnings`` are sentences for the person who asked."""

    request: GenerateRequest
    base: Base
    members: tuple[Member, ...]
    user: User | None
    started: float  # Unix time, seconds
    warnings: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        return self.request.request


def _default_base() -> Base:
    base = Base.objects.filter(name=settings.DEFAULT_BASE).first()
    if base is None:
        raise Unavailable(f"The default base {settings.DEFAULT_BASE} is not registered; an admin can register it.")
    return base


def _base_of(members: Sequence[Member], base: Base | None) -> Base:
    """The base that answers: the members', else ``base``, else the site's default."""
    found = common_base(members, base) or _default_base()
    if not found.generates:
        raise Invalid(f"The base {found.name} is not served at present.")
    return found


def _checked_sampling(values: dict[str, Any]) -> Sampling:
    try:
        return Sampling.model_validate(values)
    except ValidationError as error:
        fields = {".".join(str(part) for part in fault["loc"]): [fault["msg"]] for fault in error.errors()}
        words = "; ".join(f"{name}: {sentences[0]}" for name, sentences in fields.items())
        raise Invalid(f"The sampling parameters have faults. {words}", extra={"fields": fields}) from error


def start_generation(
    *,
    user: User,
    prompt: str,
    base: Base | None = None,
    members: Sequence[tuple[Adapter, float] | Choice] = (),
    sampling: dict[str, Any] | None = None,
    prompt_format: PromptFormat | None = None,
) -> Generation:
    """Send one prompt to the composition of ``base`` and the weighted ``members``; read it with ``relay``.

    Raises ``Invalid`` (members of several bases or that write no text, sampling), ``NotFound`` (a member the user may
    not see), ``Unavailable`` (the broker or every live worker is away).
    """
    if not policy.may_generate(user):
        raise Forbidden("Sign in to try adapters.")
    if not prompt.strip():
        raise Invalid("Write a prompt.", extra={"fields": {"prompt": ["Write a prompt."]}})
    if len(members) > MAX_MEMBERS:
        raise Invalid(f"At most {MAX_MEMBERS} adapters answer together.")
    resolved = resolve_members(user=user, members=members)
    check_generating(resolved)
    chosen = _base_of(resolved, base)
    found, warnings = prompt_format_of(base=chosen, members=resolved)
    now = time.time()
    request = GenerateRequest(
        request=uuid.uuid4().hex,
        base=BaseFiles(name=chosen.name, source=chosen.source, revision=chosen.revision or None),
        adapters=tuple(WeightedAdapter(adapter=m.files, weight=m.weight) for m in resolved),
        prompt=prompt,
        prompt_format=prompt_format or found,
        sampling=_checked_sampling(sampling or {}),
        deadline=now + settings.GENERATION_SECONDS,
    )
    try:
        app.send_task(
            "inference_worker.generate",
            kwargs={"request": request.model_dump(mode="json")},
            queue=queue_for(chosen.name),
            expires=settings.GENERATION_SECONDS,
            retry=False,
        )
    except app.connection_for_write().recoverable_connection_errors as error:
        raise Unavailable("The message broker does not answer. Try again in a moment.") from error
    return Generation(
        request=request,
        base=chosen,
        members=tuple(resolved),
        user=user if user.is_authenticated else None,
        started=now,
        warnings=tuple(warnings),
    )


def record_usage(generation: Generation, last: GenerateEvent) -> None:
    """One usage row per generation, whatever its end."""
    Usage.objects.get_or_create(
        request=generation.id,
        defaults={
            "user": generation.user,
            "base": generation.base,
            "versions": [member.version.pk for member in generation.members],
            "prompt_tokens": last.prompt_tokens,
            "completion_tokens": last.completion_tokens,
            "seconds": round(time.time() - generation.started, 3),
            "finish_reason": last.finish_reason or last.kind,
        },
    )
