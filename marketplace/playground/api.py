"""REST for generations."""

from __future__ import annotations

from collections.abc import Mapping
from functools import wraps
from typing import Any

from asgiref.sync import sync_to_async
from django.http import HttpRequest, JsonResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from inference_worker.contracts.common import PromptFormat
from marketplace.accounts.throttling import GenerateThrottle
from marketplace.adapters.fields import Checker
from marketplace.bases.models import Base
from marketplace.compositions.mix_selectors import find_members
from marketplace.core.errors import AppError, NotFound
from marketplace.playground import relay, services
from marketplace.playground.serializers import GenerationCreateSerializer, GenerationSerializer


class EventStreamRenderer(BaseRenderer):
    """Lets a client ask for ``text/event-stream``; errors before the first event are JSON all the same."""

    media_type = "text/event-stream"
    format = "sse"

    def render(
        self, data: Any, accepted_media_type: str | None = None, renderer_context: Mapping[str, Any] | None = None
    ) -> bytes:
        return JSONRenderer().render(data)


class GenerationFailed(AppError):
    """The worker reported a fault; its words and code go on to the reader."""

    status = 502
    code = "generation_failed"


def _prompt_format(values: dict[str, Any] | None) -> PromptFormat | None:
    """Checked by the same rules as an adapter's own prompt format."""
    if values is None:
        return None
    checker = Checker()
    checked = checker.prompt_format(values)
    checker.finish()
    return checked


def start(request: Request, data: dict[str, Any]) -> services.Generation:
    """The checked request → a generation under way."""
    base = None
    if data["base"]:
        base = Base.objects.filter(name=data["base"]).first()
        if base is None:
            raise NotFound(f"There is no base {data['base']}.")
    return services.start_generation(
        user=request.user,
        base=base,
        members=find_members(user=request.user, named=[(row["adapter"], row["weight"]) for row in data["members"]]),
        prompt=data["prompt"],
        sampling=dict(data["sampling"]),
        prompt_format=_prompt_format(data["prompt_format"]),
    )


class GenerationsView(APIView):
    """One prompt to a base or to a weighted set of adapters on it, streamed as server-sent events."""

    renderer_classes = [JSONRenderer, EventStreamRenderer]
    throttle_classes = [GenerateThrottle]
    anonymous_writes = True  # nothing is kept but a usage row; the throttle bounds it

    @extend_schema(
        operation_id="generation_create",
        request=GenerationCreateSerializer,
        responses={
            (200, "application/json"): GenerationSerializer,
            (200, "text/event-stream"): OpenApiResponse(
                response=str, description="Events accepted, started, token {text}, done {finish_reason}, error {error}"
            ),
        },
    )
    def post(self, request: Request) -> HttpResponseBase:
        serializer = GenerationCreateSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        generation = start(request, serializer.validated_data)
        if not serializer.validated_data["stream"]:
            return Pending(generation)
        response = StreamingHttpResponse(relay.stream(generation), content_type="text/event-stream; charset=utf-8")
        response["Cache-Control"] = "no-cache"
        response["X-Accel-Buffering"] = "no"
        return response


class Pending(Response):
    """A generation that runs; ``generations`` waits for it without holding a thread."""

    def __init__(self, generation: services.Generation) -> None:
        super().__init__()
        self.generation = generation


_view = GenerationsView.as_view()


@wraps(_view)
async def generations(request: HttpRequest) -> HttpResponseBase:
    """The view, asynchronous around REST framework's: a reader that leaves while it waits cancels its generation."""
    response = await sync_to_async(_view)(request)
    if not isinstance(response, Pending):
        return response
    generation = response.generation
    text, last = await relay.collect(generation)
    if last.kind == "error":
        fault = GenerationFailed(last.error, code=last.error_code or None)
        return JsonResponse(fault.envelope(), status=fault.status)
    return JsonResponse(
        {
            "id": generation.id,
            "base": generation.base.name,
            "text": text,
            "finish_reason": last.finish_reason,
            "prompt_tokens": last.prompt_tokens,
            "completion_tokens": last.completion_tokens,
            "warnings": list(generation.warnings),
        }
    )
