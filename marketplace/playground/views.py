"""The playground: one prompt, the base and up to three adapters side by side.

With scripts the columns stream from ``POST /api/v1/generations/``; without, the same form posts here and the page comes
back with complete answers.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from inference_worker.contracts.common import PromptFormat
from inference_worker.contracts.generate import GenerateEvent
from marketplace import policy
from marketplace.accounts.throttling import GenerateThrottle, spend
from marketplace.adapters import selectors
from marketplace.adapters.models import Adapter, ExamplePrompt, Lineage
from marketplace.bases.models import Base
from marketplace.bases.selectors import generating_bases
from marketplace.compositions.mix_pages import detail_of
from marketplace.compositions.mix_selectors import find_members
from marketplace.compositions.models import Composition
from marketplace.compositions.views import candidates
from marketplace.core.errors import AppError
from marketplace.core.pages import without_token
from marketplace.playground import relay, services
from marketplace.playground.forms import SETTINGS, PlaygroundForm, read_form

_EXAMPLES = 12


@dataclass
class Column:
    """One answer. ``prompt_format`` is the format to ask in; for the base it is the first adapter's."""

    title: str
    adapter: Adapter | None
    mix: Composition | None = None
    prompt_format: dict[str, Any] | None = None
    text: str = ""
    last: GenerateEvent | None = None
    fault: str = ""
    warnings: tuple[str, ...] = ()

    @property
    def member(self) -> str:
        named = self.adapter or self.mix
        return named.full_name if named else ""


@dataclass
class Page:
    """The page between its two synchronous halves."""

    form: PlaygroundForm
    base: Base | None
    columns: list[Column]
    started: list[tuple[Column, services.Generation]] = field(default_factory=list)


@require_http_methods(["GET", "HEAD", "POST"])
async def playground(request: HttpRequest) -> HttpResponse:
    """Asynchronous so that waiting for answers holds no thread, and a reader that leaves cancels them."""
    clean = without_token(request)
    if clean is not None:
        return redirect(clean)
    page = await sync_to_async(_begin)(request)
    await asyncio.gather(*(_wait(column, generation) for column, generation in page.started))
    return await sync_to_async(_show)(request, page)


def _begin(request: HttpRequest) -> Page:
    """Read the form; with POST, start every column."""
    if request.method == "POST":
        spend(request, GenerateThrottle)
    form = read_form(request.user, request.POST if request.method == "POST" else request.GET)
    base = _base_of(form)
    page = Page(form, base, _columns(request.user, form, base))
    if request.method == "POST":
        page.started = _start(request, form, base, page.columns)
    return page


async def _wait(column: Column, generation: services.Generation) -> None:
    column.text, column.last = await relay.collect(generation)
    column.fault = column.last.error


def _show(request: HttpRequest, page: Page) -> HttpResponse:
    form, base, columns = page.form, page.base, page.columns
    data = request.POST if request.method == "POST" else request.GET
    query = data.get("q", "").strip()
    context = {
        "form": form,
        "base": base,
        "bases": list(generating_bases()),
        "columns": columns,
        "settings": [(setting, form.values[setting.name], form.faults.get(setting.name)) for setting in SETTINGS],
        "changed": any(form.values[setting.name] != setting.default for setting in SETTINGS[1:]),
        "examples": _examples(request, [*form.adapters, *form.mixed]),
        "room": form.room > 0,
        "query": query,
        "candidates": candidates(request.user, query, form.adapters) if form.room > 0 else [],
        "may_ask": policy.may_generate(request.user),
        "errors": form.faults,
    }
    status = 422 if request.method == "POST" and form.faults else 200
    return render(request, "playground/playground.html", context, status=status)


def _base_of(form: PlaygroundForm) -> Base | None:
    """The adapters' base; without adapters the chosen one, else the site's default."""
    for adapter in form.adapters:
        if adapter.base is not None:
            return adapter.base
    for mix in form.mixes:
        if mix.base is not None:
            return mix.base
    served = generating_bases()
    return served.filter(name=form.base).first() or served.filter(name=settings.DEFAULT_BASE).first() or served.first()


def _columns(user: Any, form: PlaygroundForm, base: Base | None) -> list[Column]:
    columns = [Column(adapter.name, adapter, prompt_format=_format_of(adapter)) for adapter in form.adapters]
    for mix in form.mixes:
        columns.append(Column(mix.name, None, mix, prompt_format=detail_of(user=user, mix=mix)["prompt_format"]))
    title = base.name if base is not None else "base"
    same = next((column.prompt_format for column in columns if column.prompt_format), None)
    return [Column(title, None, prompt_format=same), *columns]


def _format_of(adapter: Adapter) -> dict[str, Any] | None:
    return adapter.current.prompt_format or None if adapter.current else None


def _start(
    request: HttpRequest, form: PlaygroundForm, base: Base | None, columns: list[Column]
) -> list[tuple[Column, services.Generation]]:
    """Start every column before any is waited for: the engine answers them in one batch."""
    sampling = form.sampling()
    if not form.prompt.strip():
        form.faults["prompt"] = ["Write a prompt."]
    if form.faults:
        return []
    started: list[tuple[Column, services.Generation]] = []
    for column in columns:
        try:
            generation = services.start_generation(
                user=request.user,
                base=base,
                members=find_members(user=request.user, named=[(column.member, 1.0)] if column.member else []),
                prompt=form.prompt,
                sampling=sampling,
                prompt_format=PromptFormat.model_validate(column.prompt_format) if column.prompt_format else None,
            )
        except AppError as error:
            column.fault = error.message
        else:
            column.warnings = generation.warnings
            started.append((column, generation))
    return started


def _examples(request: HttpRequest, adapters: list[Adapter]) -> list[ExamplePrompt]:
    """Prompts to begin with: the adapters' public ones and one's own."""
    found: list[ExamplePrompt] = []
    share = _EXAMPLES // max(1, len(adapters))
    for adapter in adapters:
        found.extend(selectors.examples_of(user=request.user, adapter=adapter)[:share])
    if not found:
        # A merge has none of its own; what it was merged from has.
        parents = Lineage.objects.filter(child__in=[adapter.current_id for adapter in adapters])
        public = selectors.public_examples(request.user).filter(adapter__versions__children__in=parents)
        found = list(public.distinct().order_by("adapter", "position")[:_EXAMPLES])
    return found
