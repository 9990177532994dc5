"""REST for generations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.http import StreamingHttpResponse
from django.http.response import HttpResponseBase
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.throttling import ScopedRateThrottle
from rest_framework.views import APIView

from inference_worker.contracts.common import PromptFormat
from marketplace.bases.models import Base
from marketplace.compositions.members import find_adapter
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


def start(request: Request, data: dict[str, Any]) -> services.Generation:
    """The checked request → a generation under way."""
    base = None
    if data["base"]:
        base = Base.objects.filter(name=data["base"]).first()
        if base is None:
            raise NotFound(f"There is no base {data['base']}.")
    prompt_format = data["prompt_format"]
    return services.start_generation(
        user=request.user,
        base=base,
        members=[(find_adapter(user=request.user, full_name=m["adapter"]), m["weight"]) for m in data["members"]],
        prompt=data["prompt"],
        sampling=dict(data["sampling"]),
        prompt_format=PromptFormat.model_validate(prompt_format) if prompt_format else None,
    )


class GenerationsView(APIView):
    """One prompt to a base or to a weighted set of adapters on it, streamed as server-sent events."""

    renderer_classes = [JSONRenderer, EventStreamRenderer]
    throttle_classes = [ScopedRateThrottle]
    throttle_scope = "generate"
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
        data = serializer.validated_data
        generation = start(request, data)
        if data["stream"]:
            response = StreamingHttpResponse(relay.stream(generation), content_type="text/event-stream; charset=utf-8")
            response["Cache-Control"] = "no-cache"
            response["X-Accel-Buffering"] = "no"
            return response
        text, last = relay.collect(generation)
        if last.kind == "error":
            raise GenerationFailed(last.error, code=last.error_code or None)
        return Response(
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
