"""REST for jobs: one's own only."""

from __future__ import annotations

import uuid
from typing import Any

from django.http import StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from marketplace.accounts.models import User
from marketplace.adapters.exports import selectors as exports
from marketplace.core.errors import NotAuthenticated
from marketplace.core.pagination import PAGE_PARAMETERS, keyset_page, page_arguments, page_body, page_schema
from marketplace.jobs import selectors, services
from marketplace.jobs.events import event_response
from marketplace.jobs.models import Job
from marketplace.jobs.serializers import JobFilterSerializer, JobSerializer, JobSummarySerializer, summary

_FILTERS = [
    OpenApiParameter("state", str, many=True, enum=Job.State.values, description="Only jobs in one of these states."),
    OpenApiParameter("kind", str, description="Only jobs of this kind, for example `merge`."),
]


class FirstRenderer(BaseContentNegotiation):
    """Whatever is asked for, answer with the view's first renderer: an event stream has one form."""

    def select_parser(self, request: Request, parsers: Any) -> Any:
        return parsers[0]

    def select_renderer(self, request: Request, renderers: Any, format_suffix: str | None = None) -> Any:
        return renderers[0], renderers[0].media_type


def _asker(request: Request) -> User:
    if not isinstance(request.user, User):
        raise NotAuthenticated("Sign in to see your jobs.")
    return request.user


class JobsView(APIView):
    """The asker's jobs."""

    @extend_schema(
        operation_id="job_list",
        parameters=[*_FILTERS, *PAGE_PARAMETERS],
        responses=page_schema("JobPage", JobSummarySerializer(many=True)),
    )
    def get(self, request: Request) -> Response:
        """Newest first, without logs and results."""
        user = _asker(request)
        filters = JobFilterSerializer(data=request.query_params)
        filters.is_valid(raise_exception=True)
        wanted = filters.validated_data
        jobs = selectors.jobs_of(user, states=sorted(wanted.get("state", [])), kind=wanted.get("kind", ""))
        page = keyset_page(jobs, order=("-created_at", "-id"), **page_arguments(request))
        exports.with_names_of_today(user, page.items)
        states = {job.pk: state for job, state in zip(page.items, selectors.full_states(page.items), strict=True)}
        return Response(page_body(request, page, lambda job: summary(states[job.pk])))


class JobView(APIView):
    """One job."""

    @extend_schema(operation_id="job_read", responses=JobSerializer)
    def get(self, request: Request, job_id: uuid.UUID) -> Response:
        """State, progress, log, and result or error."""
        [job] = exports.with_names_of_today(request.user, [selectors.get_job(user=request.user, job_id=job_id)])
        return Response(JobSerializer(job).data)


class JobCancelView(APIView):
    """Stopping a job."""

    @extend_schema(operation_id="job_cancel", request=None, responses=JobSerializer)
    def post(self, request: Request, job_id: uuid.UUID) -> Response:
        """One that waits is cancelled at once, one that runs within a moment. Cancelling twice is no fault."""
        user = _asker(request)
        job = selectors.get_job(user=user, job_id=job_id)
        return Response(JobSerializer(services.cancel_job(user=user, job=job)).data)


class JobRetryView(APIView):
    """Trying a job again."""

    @extend_schema(operation_id="job_retry", request=None, responses=JobSerializer)
    def post(self, request: Request, job_id: uuid.UUID) -> Response:
        """A new attempt of a failed or cancelled job."""
        user = _asker(request)
        job = selectors.get_job(user=user, job_id=job_id)
        return Response(JobSerializer(services.retry_job(user=user, job=job)).data)


class JobEventsView(APIView):
    """Watching a job."""

    content_negotiation_class = FirstRenderer
    renderer_classes = [JSONRenderer]  # Of errors; the stream writes itself.

    @extend_schema(
        operation_id="job_events",
        responses={
            (200, "text/event-stream"): OpenApiResponse(
                OpenApiTypes.STR,
                description="Server-sent events: `state` with the whole job, `change` with what has changed (`log` "
                "holds the lines from number `log_from` on), and `end` with the whole job, after which the stream "
                "closes.",
            )
        },
    )
    def get(self, request: Request, job_id: uuid.UUID) -> StreamingHttpResponse:
        """Progress as it happens."""
        return event_response(selectors.get_job(user=request.user, job_id=job_id).pk)
