"""REST for saved compositions."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.throttling import BaseThrottle
from rest_framework.views import APIView

from marketplace.accounts.models import User
from marketplace.accounts.throttling import EvaluateThrottle, MergeThrottle
from marketplace.compositions import mixes
from marketplace.compositions.members import Choice, find_adapter
from marketplace.compositions.mix_pages import detail_of
from marketplace.compositions.mix_runs import evaluate_by_itself, evaluate_mix, results_of, runs_of_mix
from marketplace.compositions.mix_selectors import get_mix, listed_mixes, version_pinned
from marketplace.compositions.mix_serializers import (
    MixCreateSerializer,
    MixDetailSerializer,
    MixEditSerializer,
    MixResultSerializer,
    MixSerializer,
)
from marketplace.compositions.models import Composition
from marketplace.core.errors import NotAuthenticated
from marketplace.core.pagination import PAGE_PARAMETERS, keyset_page, page_arguments, page_body, page_schema

ORDER = ("-updated_at", "-id")


def _user(request: Request) -> User:
    if not request.user.is_authenticated:
        raise NotAuthenticated("Sign in or send a token.")
    return request.user


def _members(request: Request, rows: list[dict[str, Any]]) -> list[Choice]:
    found = []
    for row in rows:
        adapter = find_adapter(user=request.user, full_name=row["adapter"])
        found.append(Choice(adapter, row["weight"], version_pinned(adapter=adapter, revision=row["version"])))
    return found


def _detail(request: Request, mix: Composition, code: int = status.HTTP_200_OK) -> Response:
    return Response(MixDetailSerializer(detail_of(user=request.user, mix=mix)).data, status=code)


class MixesView(APIView):
    """Saved compositions."""

    def get_throttles(self) -> list[BaseThrottle]:
        return [MergeThrottle()] if self.request.method == "POST" else super().get_throttles()

    @extend_schema(
        operation_id="mixes",
        parameters=[
            OpenApiParameter("owner", str, description="Mixes of this person."),
            OpenApiParameter("adapter", str, description="Mixes with this adapter, as owner/name."),
            *PAGE_PARAMETERS,
        ],
        responses=page_schema("MixPage", MixSerializer(many=True)),
    )
    def get(self, request: Request) -> Response:
        """Yours, and public ones of which you may use every member; those that changed last first."""
        named = request.query_params.get("adapter", "")
        adapter = find_adapter(user=request.user, full_name=named) if named else None
        found = listed_mixes(request.user, owner=request.query_params.get("owner", ""), adapter=adapter)
        page = keyset_page(found, order=ORDER, **page_arguments(request))
        return Response(page_body(request, page, lambda mix: MixSerializer(mix).data))

    @extend_schema(
        operation_id="mix_create",
        request=MixCreateSerializer,
        responses={status.HTTP_201_CREATED: MixDetailSerializer},
    )
    def post(self, request: Request) -> Response:
        """Save adapters of one base with weights under a name; private unless told."""
        serializer = MixCreateSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        data = dict(serializer.validated_data)
        members = _members(request, data.pop("members"))
        mix = mixes.create_mix(user=_user(request), members=members, **data)
        evaluate_by_itself(mix)
        return _detail(request, mix, status.HTTP_201_CREATED)


class MixView(APIView):
    """One saved composition."""

    def get_throttles(self) -> list[BaseThrottle]:
        """What is saved is evaluated: counted together with what pages save."""
        return [MergeThrottle()] if self.request.method == "PATCH" else super().get_throttles()

    @extend_schema(operation_id="mix", responses=MixDetailSerializer)
    def get(self, request: Request, owner: str, mix: str) -> Response:
        """The mix with its members; ``fault`` says by name what stands in the way of one."""
        return _detail(request, get_mix(user=request.user, owner=owner, name=mix))

    @extend_schema(operation_id="mix_edit", request=MixEditSerializer, responses=MixDetailSerializer)
    def patch(self, request: Request, owner: str, mix: str) -> Response:
        """Change members (all of them at once), visibility or description."""
        found = get_mix(user=request.user, owner=owner, name=mix)
        serializer = MixEditSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        data = dict(serializer.validated_data)
        mixes.check_own(_user(request), found)
        if "members" in data:
            data["members"] = _members(request, data["members"])
        evaluate_by_itself(mixes.edit_mix(user=_user(request), mix=found, **data))
        return _detail(request, get_mix(user=request.user, owner=owner, name=mix))

    @extend_schema(operation_id="mix_delete", responses={status.HTTP_204_NO_CONTENT: None})
    def delete(self, request: Request, owner: str, mix: str) -> Response:
        """Delete the mix; its adapters stay."""
        mixes.delete_mix(user=_user(request), mix=get_mix(user=request.user, owner=owner, name=mix))
        return Response(status=status.HTTP_204_NO_CONTENT)


class MixEvaluationsView(APIView):
    """What was measured of one mix."""

    def get_throttles(self) -> list[BaseThrottle]:
        return [EvaluateThrottle()] if self.request.method == "POST" else super().get_throttles()

    @extend_schema(operation_id="mix_evaluations", responses=MixResultSerializer(many=True))
    def get(self, request: Request, owner: str, mix: str) -> Response:
        """The newest result on each member's examples and on the base's probes, beside the bare base. Of what the mix
        is now, and nothing while you cannot use a member."""
        return self._results(request, get_mix(user=request.user, owner=owner, name=mix))

    @extend_schema(
        operation_id="mix_evaluate",
        request=None,
        responses={status.HTTP_202_ACCEPTED: MixResultSerializer(many=True)},
    )
    def post(self, request: Request, owner: str, mix: str) -> Response:
        """Run it. What was measured before of the same bytes and weights is not measured again."""
        found = get_mix(user=request.user, owner=owner, name=mix)
        evaluate_mix(user=_user(request), mix=found, asked=True)
        return self._results(request, found, status.HTTP_202_ACCEPTED)

    def _results(self, request: Request, mix: Composition, code: int = status.HTTP_200_OK) -> Response:
        results = results_of(runs_of_mix(user=request.user, mix=mix))
        return Response(MixResultSerializer(results, many=True).data, status=code)
