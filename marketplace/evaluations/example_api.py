"""REST for examples: of a suite, of one run beside its bare base, and of two versions beside each other."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Iterable
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from marketplace.accounts.throttling import CompareThrottle
from marketplace.adapters.card_api import TWO_VERSIONS
from marketplace.adapters.history import versions_of_comparison
from marketplace.adapters.selectors import get_adapter
from marketplace.core.errors import Invalid
from marketplace.core.pagination import PAGE_PARAMETERS, next_url, page_arguments, page_schema
from marketplace.evaluations import selectors
from marketplace.evaluations.example_serializers import (
    AnsweredPairSerializer,
    ComparedSerializer,
    ComparedVersionsSerializer,
    CountsSerializer,
    RunSerializer,
    SuiteExampleSerializer,
    suite_name,
)
from marketplace.evaluations.examples import beside, versions_beside


class SuiteExamplesView(APIView):
    """What a suite asks."""

    @extend_schema(
        operation_id="suite_examples",
        parameters=PAGE_PARAMETERS,
        responses=page_schema("SuiteExamplePage", SuiteExampleSerializer(many=True)),
    )
    def get(self, request: Request, suite_id: uuid.UUID) -> Response:
        """Its examples in order, for whoever may see the suite. Built-in ones, which the engine draws, list none."""
        suite = selectors.get_suite(user=request.user, suite_id=suite_id)
        rows, following = _page(request, selectors.lines_of(suite))
        return Response({"results": SuiteExampleSerializer(rows, many=True).data, "next": following})


class AdapterRunView(APIView):
    """One evaluation, example by example."""

    @extend_schema(operation_id="evaluation_read", parameters=PAGE_PARAMETERS, responses=RunSerializer)
    def get(self, request: Request, owner: str, name: str, run_id: uuid.UUID) -> Response:
        """The adapter's answers beside the bare base's: losses first, then wins, then the rest. Examples that you may
        not read are counted."""
        adapter = get_adapter(user=request.user, owner=owner, name=name)
        run = selectors.get_run(user=request.user, adapter=adapter, run_id=run_id)
        shown = beside(user=request.user, adapter=adapter, before=run.against, after=run, most=None)
        rows, following = _page(request, shown.pairs if shown else ())
        body = {
            "id": str(run.pk),
            "suite": suite_name(run.suite),
            "state": run.state,
            "fault": run.fault,
            "counts": CountsSerializer(shown).data if shown else None,
            "not_shown": shown.hidden if shown else 0,
            "results": AnsweredPairSerializer(rows, many=True).data,
            "next": following,
        }
        return Response(body)


class ComparedVersionsView(APIView):
    """Two versions by what they answered."""

    throttle_classes = [CompareThrottle]

    @extend_schema(
        operation_id="evaluation_compare",
        parameters=TWO_VERSIONS,
        responses=ComparedVersionsSerializer,
    )
    def get(self, request: Request, owner: str, name: str) -> Response:
        """Wins and losses by example, on every suite that both were run on in the same way."""
        adapter = get_adapter(user=request.user, owner=owner, name=name)
        before, after = versions_of_comparison(
            user=request.user,
            adapter=adapter,
            before=request.query_params.get("from", ""),
            after=request.query_params.get("to", ""),
        )
        found = versions_beside(user=request.user, adapter=adapter, before=before, after=after)
        suites = ComparedSerializer(found, many=True).data
        return Response({"before": before.commit, "after": after.commit, "suites": suites})


def _page(request: Request, rows: Iterable[Any]) -> tuple[list[Any], str | None]:
    """The rows of the page that ``request`` asks for, and the address of the next one. What is paged never changes, so
    that a place in it is a cursor."""
    arguments = page_arguments(request)
    cursor, limit = arguments["cursor"] or "0", arguments["limit"]
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) <= 9):
        sentence = "The cursor is not valid. Start again from the first page."
        raise Invalid(sentence, extra={"fields": {"cursor": [sentence]}})
    start = int(cursor)
    found = list(itertools.islice(rows, start, start + limit + 1))
    return found[:limit], next_url(request, str(start + limit) if len(found) > limit else None)
