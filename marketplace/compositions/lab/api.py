"""REST for previews, sweeps and recipes."""

from __future__ import annotations

import uuid
from dataclasses import asdict
from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from marketplace.accounts.serializers import ErrorSerializer
from marketplace.accounts.throttling import MergeThrottle
from marketplace.adapters.lineage_graph import MAX_DEPTH, Node, lineage_graph
from marketplace.adapters.selectors import get_adapter, recipe_of
from marketplace.compositions.api import settings_of
from marketplace.compositions.cluster_overview import module_clusters, overview_of
from marketplace.compositions.clusters import details_of, labels_of, read_report, units_of
from marketplace.compositions.lab import files, previews, recipes, sweeps
from marketplace.compositions.lab.serializers import (
    ClustersSerializer,
    LineageQuerySerializer,
    LineageSerializer,
    PreviewRequestSerializer,
    RecipeRequestSerializer,
    SweepRequestSerializer,
    SweepSerializer,
    TrialSerializer,
)
from marketplace.compositions.lab.sweep_chart import table_of
from marketplace.compositions.services import with_short_forms
from marketplace.core.errors import Invalid, NotFound
from marketplace.jobs.models import Job
from marketplace.jobs.serializers import JobSerializer

TRIAL_ACCEPTED = {status.HTTP_202_ACCEPTED: TrialSerializer, 400: ErrorSerializer, 404: ErrorSerializer}
ACCEPTED = {status.HTTP_202_ACCEPTED: JobSerializer, 400: ErrorSerializer, 404: ErrorSerializer}


def _planned(request: Request, data: dict[str, Any]) -> dict[str, Any]:
    """A body's settings with the short forms in their place."""
    settings = settings_of(request, data)
    settings["output"] = with_short_forms(settings["output"], settings.pop("rank"), settings.pop("dtype"))
    return settings


def _accepted(job: Job) -> Response:
    return Response(JobSerializer(job).data, status=status.HTTP_202_ACCEPTED)


def _trial(job: Job) -> Response:
    return Response(TrialSerializer(job).data, status=status.HTTP_202_ACCEPTED)


class PreviewsView(APIView):
    """Merges that answer prompts and are not saved."""

    throttle_classes = [MergeThrottle]

    @extend_schema(operation_id="merge_preview", request=PreviewRequestSerializer, responses=TRIAL_ACCEPTED)
    def post(self, request: Request) -> Response:
        """The answer is a job; its result has the answers of the merge, the base and every member."""
        body = PreviewRequestSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        return _trial(previews.create_preview(user=request.user, **_planned(request, dict(body.validated_data))))


class SweepsView(APIView):
    """Grids of merges, measured on one suite."""

    throttle_classes = [MergeThrottle]

    @extend_schema(operation_id="merge_sweep", request=SweepRequestSerializer, responses=TRIAL_ACCEPTED)
    def post(self, request: Request) -> Response:
        """The answer is a job; what is measured so far is read under the job's id."""
        body = SweepRequestSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        data = dict(body.validated_data)
        axes = sweeps.Axes(data.pop("weights"), data.pop("methods"), data.pop("ranks"))
        asked = sweeps.Asked(data.pop("suite"), data.pop("count"), data.pop("examples", []))
        return _trial(sweeps.create_sweep(user=request.user, axes=axes, asked=asked, **_planned(request, data)))


class SweepView(APIView):
    """One sweep, finished or not."""

    @extend_schema(operation_id="merge_sweep_read", responses={200: SweepSerializer, 404: ErrorSerializer})
    def get(self, request: Request, sweep_id: uuid.UUID) -> Response:
        """Every cell that is measured by now; a cancelled sweep keeps them."""
        job = previews.get_trial(user=request.user, job_id=sweep_id, kind=previews.SWEEP)
        points = job.request["points"]
        result = sweeps.result_of(job)
        table = table_of(result) if result else None
        cells = []
        for cell, row in zip(result.cells, table.rows, strict=True) if result and table else ():
            merge = points[cell.position]["merge"] if cell.kind == "point" else None
            settings = {key: value for key, value in merge.items() if key != "adapters"} if merge else None
            cells.append({**cell.model_dump(mode="json"), "verdict": row.verdict, "merge": settings})
        best = table.highest.position if table and table.highest else None
        found = {"job": job.pk, "state": job.state, "total": len(points), "best": best}
        return Response({**found, "notes": job.subject.get("notes", []), "cells": cells})


class RecipesView(APIView):
    """Merges from recipes."""

    throttle_classes = [MergeThrottle]

    @extend_schema(operation_id="merge_from_recipe", request=RecipeRequestSerializer, responses=ACCEPTED)
    def post(self, request: Request) -> Response:
        """Make a merge as a recipe says, whose parents are found by the digests of their files, or as a mergekit file
        says, whose adapters are named ``base+owner/name``."""
        body = RecipeRequestSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        data = dict(body.validated_data)
        text, table = data.pop("mergekit"), data.pop("recipe", None)
        if bool(text) == bool(table):
            raise Invalid("Give a recipe or a mergekit file, one of the two.", extra={"fields": {"recipe": ["One."]}})
        if text:
            found = files.plan_mergekit(user=request.user, text=text)
            return _accepted(recipes.create_planned_merge(user=request.user, plan=found.plan, **data))
        recipe = recipes.read_recipe(table)
        return _accepted(recipes.create_merge_from_recipe(user=request.user, recipe=recipe, **data))


class RecipeView(APIView):
    """The recipe of an adapter that was merged."""

    throttle_classes = [MergeThrottle]

    @extend_schema(
        operation_id="adapter_recipe",
        parameters=[OpenApiParameter("as", str, enum=["recipe", "mergekit"], description="mergekit: its YAML.")],
        responses={200: dict, 404: ErrorSerializer, 409: ErrorSerializer},
    )
    def get(self, request: Request, owner: str, name: str) -> Response:
        """The current version's recipe, or ``{"mergekit": …}`` with the same merge as mergekit's YAML where it can make
        it. Parents that you may not see have an empty label."""
        adapter = get_adapter(user=request.user, owner=owner, name=name)
        if request.query_params.get("as") == "mergekit":
            return Response({"mergekit": files.mergekit_of(user=request.user, adapter=adapter)})
        recipe = recipe_of(user=request.user, adapter=adapter)
        if not recipe:
            raise NotFound(f"{adapter.full_name} has no recipe; it was not made by a merge.")
        return Response(recipe)

    @extend_schema(operation_id="adapter_recipe_replay", request=None, responses={**ACCEPTED, 409: ErrorSerializer})
    def post(self, request: Request, owner: str, name: str) -> Response:
        """Make the merge again. The job's result says in ``replay`` whether every byte came out the same; only if not,
        a new adapter is made."""
        adapter = get_adapter(user=request.user, owner=owner, name=name)
        return _accepted(recipes.replay_merge(user=request.user, adapter=adapter))


class ClustersView(APIView):
    """LoRA-LEGO's clusters."""

    @extend_schema(
        operation_id="adapter_clusters",
        parameters=[OpenApiParameter("module", str, description="Its units one by one; empty for none.")],
        responses={200: ClustersSerializer, 404: ErrorSerializer},
    )
    def get(self, request: Request, owner: str, name: str) -> Response:
        """Which adapters share bricks, over all modules and module by module. Adapters that you may not see have no
        name."""
        adapter = get_adapter(user=request.user, owner=owner, name=name)
        version = adapter.current
        report = read_report(version) if version else None
        details = details_of(report)
        if version is None or report is None or not details:
            raise NotFound(f"{adapter.full_name} has no clusters; LoRA-LEGO makes them.")
        version.recipe = recipe_of(user=request.user, adapter=adapter)
        chosen = request.query_params.get("module", "")
        if chosen and chosen not in details:
            raise NotFound(f"{adapter.full_name} has no clusters of a module “{chosen[:200]}”.")
        modules = [asdict(module) for module in module_clusters(details)]
        labels = labels_of(version, report, details.values())
        return Response(
            {
                "adapters": labels,
                "summary": overview_of(details, labels, [""] * len(labels), chosen).summary,
                "modules": modules,
                "units": units_of(details[chosen]) if chosen else [],
            }
        )


class LineageView(APIView):
    """Ancestors and descendants."""

    @extend_schema(
        operation_id="adapter_lineage",
        parameters=[OpenApiParameter("depth", int, description=f"Generations each way, 1 to {MAX_DEPTH}.")],
        responses={200: LineageSerializer, 400: ErrorSerializer, 404: ErrorSerializer},
    )
    def get(self, request: Request, owner: str, name: str) -> Response:
        """What the adapter was made from, and what was made from it, generation by generation. Ancestors that you may
        not see have no name and lead no further."""
        query = LineageQuerySerializer(data=request.query_params)
        query.is_valid(raise_exception=True)
        adapter = get_adapter(user=request.user, owner=owner, name=name)
        graph = lineage_graph(user=request.user, adapter=adapter, **query.validated_data)
        found = {"ancestors": graph.ancestors, "descendants": graph.descendants}
        return Response({key: [_node(node) for node in nodes] for key, nodes in found.items()})


def _node(node: Node) -> dict[str, Any]:
    if node.cut:
        return {"more": True}
    return {
        "adapter": node.adapter.full_name if node.adapter else None,
        "commit": node.version.commit if node.version else None,
        "deleted": node.gone,
        "weight": node.weight,
        "operation": node.operation,
        "repeated": node.repeated,
        "nodes": [_node(below) for below in node.nodes],
        "more": False,
    }
