"""REST for cards and for what changed between versions."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from marketplace import policy
from marketplace.accounts.throttling import CompareThrottle, PreviewThrottle
from marketplace.adapters import cards, history, selectors, services
from marketplace.adapters.models import Adapter
from marketplace.adapters.serializers import ProblemSerializer
from marketplace.adapters.services.card_files import current_card
from marketplace.adapters.uploads.selection import MAX_CARD
from marketplace.core.markdown import render_markdown


class ResultSerializer(serializers.Serializer[Any]):
    """A metric as the card's author states it."""

    task = serializers.CharField()
    dataset = serializers.CharField()
    metric = serializers.CharField()
    value = serializers.CharField()
    source = serializers.CharField()


class CardMetadataSerializer(serializers.Serializer[Any]):
    """The Hub's keys of the front matter, as far as they are well-formed."""

    languages = serializers.ListField(child=serializers.CharField())
    datasets = serializers.ListField(child=serializers.CharField())
    pipeline_tag = serializers.CharField()
    library_name = serializers.CharField()
    base_models = serializers.ListField(child=serializers.CharField())
    license_name = serializers.CharField()
    license_link = serializers.CharField()
    results = ResultSerializer(many=True, help_text="From `model-index`: stated, not measured here.")


class CardSerializer(serializers.Serializer[Any]):
    """README.md of the current version, taken apart. Only its authors are told its problems."""

    text = serializers.CharField(help_text="The file, front matter and all.")
    commit = serializers.CharField(help_text="The version that it belongs to; send it back as `parent`.")
    metadata = CardMetadataSerializer()
    problems = ProblemSerializer(many=True)


class CardEditSerializer(serializers.Serializer[Any]):
    text = serializers.CharField(max_length=MAX_CARD, trim_whitespace=False, allow_blank=True)
    message = serializers.CharField(max_length=300, required=False, default="", allow_blank=True)
    parent = serializers.CharField(
        max_length=40,
        required=False,
        default="",
        allow_blank=True,
        help_text="The commit that you edited; another current one is a conflict (409).",
    )


class PreviewSerializer(serializers.Serializer[Any]):
    text = serializers.CharField(max_length=MAX_CARD, trim_whitespace=False, allow_blank=True)


class CardPreviewSerializer(serializers.Serializer[Any]):
    html = serializers.CharField(help_text="Sanitised; without the front matter.")
    metadata = CardMetadataSerializer()
    problems = ProblemSerializer(many=True)


def _body(user: policy.Person, adapter: Adapter) -> dict[str, Any]:
    """Problems are for those who can mend them: to others they would only say where a secret lies."""
    text = current_card(adapter)
    mends = policy.may(user, policy.Action.EDIT, adapter)
    problems = cards.review(text, base_name=adapter.base_name).problems if mends else ()
    commit = adapter.current.commit if adapter.current else ""
    body = {"text": text, "commit": commit, "metadata": cards.metadata_of(text), "problems": problems}
    return dict(CardSerializer(body).data)


class CardView(APIView):
    """The card as a file."""

    @extend_schema(operation_id="adapter_card", responses=CardSerializer)
    def get(self, request: Request, owner: str, name: str) -> Response:
        """README.md, what its front matter says, and for its authors what is wrong with it."""
        adapter = selectors.get_adapter(user=request.user, owner=owner, name=name)
        return Response(_body(request.user, adapter))

    @extend_schema(operation_id="adapter_card_edit", request=CardEditSerializer, responses=CardSerializer)
    def put(self, request: Request, owner: str, name: str) -> Response:
        """Replace the card. Title, description, licence, tags and prompt format follow from it; a new commit."""
        adapter = selectors.get_adapter(user=request.user, owner=owner, name=name)
        serializer = CardEditSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        edited = services.edit_card(user=request.user, adapter=adapter, **serializer.validated_data)
        return Response(_body(request.user, edited))


class CardPreviewView(APIView):
    """Looking at a card before it is kept."""

    permission_classes = [IsAuthenticated]
    throttle_classes = [PreviewThrottle]

    @extend_schema(operation_id="card_preview", request=PreviewSerializer, responses=CardPreviewSerializer)
    def post(self, request: Request) -> Response:
        """A card as its page would show it. Nothing is kept."""
        serializer = PreviewSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        review = cards.review(serializer.validated_data["text"])
        html = str(render_markdown(review.body))
        body = {"html": html, "metadata": review.metadata, "problems": review.problems}
        return Response(CardPreviewSerializer(body).data)


class FileChangeSerializer(serializers.Serializer[Any]):
    path = serializers.CharField()
    change = serializers.ChoiceField(choices=["added", "removed", "changed"])
    before = serializers.IntegerField(allow_null=True, help_text="Bytes.")
    after = serializers.IntegerField(allow_null=True, help_text="Bytes.")


class ValueChangeSerializer(serializers.Serializer[Any]):
    key = serializers.CharField()
    change = serializers.ChoiceField(choices=["added", "removed", "changed"])
    before = serializers.CharField(help_text="JSON; empty where the key is absent.")
    after = serializers.CharField(help_text="JSON; empty where the key is absent.")


class CardLineSerializer(serializers.Serializer[Any]):
    kind = serializers.ChoiceField(choices=["same", "added", "removed", "gap"])
    text = serializers.CharField()
    before = serializers.IntegerField(allow_null=True)
    after = serializers.IntegerField(allow_null=True)


class ModuleChangeSerializer(serializers.Serializer[Any]):
    """Pairs of (before, after); null where the module is not adapted."""

    name = serializers.CharField()
    change = serializers.ChoiceField(choices=["added", "removed", "changed"])
    rank = serializers.ListField(child=serializers.IntegerField(allow_null=True))
    norm = serializers.ListField(child=serializers.FloatField(allow_null=True))
    effective_rank = serializers.ListField(child=serializers.FloatField(allow_null=True))


class TensorDiffSerializer(serializers.Serializer[Any]):
    same_weights = serializers.BooleanField()
    cosine = serializers.FloatField(allow_null=True, help_text="Of the signatures of Δ = B·A.")
    parameters = serializers.ListField(child=serializers.IntegerField(allow_null=True))
    norm = serializers.ListField(child=serializers.FloatField(allow_null=True), help_text="Frobenius norm of all Δ.")
    modules = ModuleChangeSerializer(many=True, help_text="Those that differ, the largest change first.")
    unchanged = serializers.IntegerField()


class ComparisonSerializer(serializers.Serializer[Any]):
    """What changed from one version to another."""

    before = serializers.CharField(source="before.commit")
    after = serializers.CharField(source="after.commit")
    files = FileChangeSerializer(many=True)
    config = ValueChangeSerializer(many=True)
    prompt_format = ValueChangeSerializer(many=True)
    card = CardLineSerializer(many=True)
    tensors = TensorDiffSerializer()
    gone = serializers.ListField(
        child=serializers.CharField(), help_text="Files whose bytes were deleted; they are not compared within."
    )


#: Which two versions are compared.
TWO_VERSIONS = [
    OpenApiParameter("from", str, description="A commit; the one before `to` unless told."),
    OpenApiParameter("to", str, description="A commit; the current one unless told."),
]


class CompareView(APIView):
    """Two versions side by side."""

    throttle_classes = [CompareThrottle]

    @extend_schema(
        operation_id="adapter_compare",
        parameters=TWO_VERSIONS,
        responses=ComparisonSerializer,
    )
    def get(self, request: Request, owner: str, name: str) -> Response:
        """Changes of files, config, card and tensor statistics."""
        adapter = selectors.get_adapter(user=request.user, owner=owner, name=name)
        diff = history.compare_versions(
            user=request.user,
            adapter=adapter,
            before=request.query_params.get("from", ""),
            after=request.query_params.get("to", ""),
        )
        return Response(ComparisonSerializer(diff).data)
