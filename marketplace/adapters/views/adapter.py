"""The adapter's page."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from inference_worker.contracts.adapter_uses import why_not_generated
from marketplace import policy
from marketplace.adapters import access_selectors, cards, selectors
from marketplace.adapters.exports.services import offers_of
from marketplace.adapters.forms import ReportForm
from marketplace.adapters.gone import gone_files, readable_card
from marketplace.adapters.heat_map import heat_map
from marketplace.adapters.lineage_graph import lineage_graph
from marketplace.adapters.models import Adapter, Artifact, Lineage
from marketplace.adapters.services import artifacts
from marketplace.adapters.snippets import snippets_for
from marketplace.adapters.standing import successor_of
from marketplace.compositions.clusters import clusters_of
from marketplace.compositions.lab.recipes import shown_recipe
from marketplace.core.pagination import keyset_page
from marketplace.moderation.selectors import latest_decision

_SHOWN_EXAMPLES = 20
#: Versions on one page of the history.
_VERSIONS = 20
#: The note that asks again while the check runs (its id in the template).
_WAITING = "checking"
_ENDED = (Artifact.State.VALID, Artifact.State.INVALID)


@require_safe
def adapter_page(request: HttpRequest, owner: str, name: str) -> HttpResponse:
    adapter = selectors.get_adapter(user=request.user, owner=owner, name=name)
    artifact = adapter.current.artifact if adapter.current else None
    if adapter.current is not None:
        # What is drawn from the recipe names no parent that the reader may not see.
        adapter.current.recipe = selectors.recipe_of(user=request.user, adapter=adapter)
    waiting = selectors.waiting_version(user=request.user, adapter=adapter)
    undecided = _undecided(artifact, waiting.artifact if waiting else None)
    examples = list(selectors.examples_of(user=request.user, adapter=adapter)[:_SHOWN_EXAMPLES])
    lineage = selectors.lineage_of(user=request.user, adapter=adapter)
    card = readable_card(adapter.current)
    context: dict[str, Any] = {
        "adapter": adapter,
        "version": adapter.current,
        "successor": successor_of(request.user, adapter.current) if adapter.current else None,
        "artifact": artifact,
        "card": card,
        "gone": gone_files(adapter.current),
        "metadata": cards.metadata_of(card),
        **_rights(request, adapter),
        "examples": examples,
        "try_prompt": _first_prompt(request.user, examples, lineage["parents"]),
        "versions": list(selectors.versions_of(user=request.user, adapter=adapter)[:10]),
        "waiting": waiting,
        "files": list(selectors.files_of(adapter.current)) if adapter.current else [],
        "exports": offers_of(adapter.current, adapter.base) if adapter.current else [],
        "graph": lineage_graph(user=request.user, adapter=adapter),
        "recipe": shown_recipe(adapter.current.recipe) if adapter.current else None,
        "similar": selectors.similar_adapters(user=request.user, adapter=adapter),
        "snippets": snippets_for(adapter),
        "report_form": ReportForm(auto_id="report_%s"),
        "heat_map": heat_map(artifact.modules) if artifact else None,
        "clusters": clusters_of(adapter.current, request.GET.get("module", "")) if adapter.current else None,
        "checking": artifacts.running_inspection(undecided) if undecided else None,
        "accepted": bool(artifact and artifact.state == Artifact.State.VALID),
        "decision": latest_decision(adapter) if adapter.moderation != Adapter.Moderation.VISIBLE else None,
    }
    response = render(request, "adapters/adapter.html", context)
    if request.headers.get("HX-Trigger") == _WAITING and artifact is not None and undecided is None:
        # The check has ended: more than the waiting note changes.
        response["HX-Refresh"] = "true"
    return response


def _rights(request: HttpRequest, adapter: Adapter) -> dict[str, Any]:
    """What the page offers to whom: ``may_…``, and for gated adapters how the asker's request stands."""
    rights = policy.rights(request.user, adapter)
    may_administer = policy.Action.ADMINISTER in rights
    summary = adapter.current.artifact.summary if adapter.current else {}
    no_text = why_not_generated(summary.get("task_type", ""), summary.get("features", []))
    return {
        **{f"may_{action}": action in rights for action in policy.Action},
        "no_text": no_text,
        "runs": policy.Action.USE in rights and adapter.base_id is not None and not no_text,
        "asked": access_selectors.request_of(request.user, adapter),
        "asking": access_selectors.waiting_requests(adapter) if may_administer else 0,
    }


def _first_prompt(user: policy.Person, examples: list[Any], parents: list[Lineage]) -> str:
    """Something to try at once: an example of its own, else a public one of what it was merged from."""
    if not examples and parents:
        adapters = [edge.parent.adapter_id for edge in parents]
        of_parents = selectors.public_examples(user).filter(adapter__in=adapters)
        examples = list(of_parents.order_by("adapter", "position")[:1])
    return examples[0].prompt if examples else ""


def _undecided(*found: Artifact | None) -> Artifact | None:
    """The first one whose check has not ended."""
    return next((artifact for artifact in found if artifact is not None and artifact.state not in _ENDED), None)


@require_safe
def versions_page(request: HttpRequest, owner: str, name: str) -> HttpResponse:
    """Every version with its files, newest first."""
    adapter = selectors.get_adapter(user=request.user, owner=owner, name=name)
    page = keyset_page(
        selectors.versions_of(user=request.user, adapter=adapter),
        order=("-created_at", "-id"),
        cursor=request.GET.get("cursor") or None,
        limit=_VERSIONS,
    )
    return render(
        request,
        "adapters/versions.html",
        {
            "adapter": adapter,
            "versions": [(version, successor_of(request.user, version)) for version in page.items],
            "may_edit": policy.may_edit(request.user, adapter),
            "older": page.next_cursor,
            "may_download": policy.may_download(request.user, adapter),
        },
    )
