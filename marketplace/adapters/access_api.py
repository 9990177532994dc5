"""REST for access: asking for gated adapters, answering, collaborators."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.throttling import BaseThrottle
from rest_framework.views import APIView

from marketplace import policy
from marketplace.accounts.authentication import ScopePermission, SignedIn
from marketplace.accounts.throttling import AccessThrottle, LetterThrottle
from marketplace.adapters import access_selectors, selectors, services
from marketplace.adapters.models import AccessRequest, Adapter, Collaborator
from marketplace.adapters.serializers import AdapterSerializer
from marketplace.core.errors import NotAuthenticated
from marketplace.core.pagination import PAGE_PARAMETERS, keyset_page, page_arguments, page_body, page_schema


class AccessRequestSerializer(serializers.ModelSerializer[AccessRequest]):
    """Somebody's request for a gated adapter, and its owner's answer."""

    adapter = serializers.CharField(source="adapter.full_name")
    username = serializers.CharField(source="user.username")

    class Meta:
        model = AccessRequest
        fields = ["adapter", "username", "message", "state", "answer", "created_at", "decided_at"]


class AccessSerializer(serializers.Serializer[Any]):
    """How open an adapter is, and what that means for the asker."""

    visibility = serializers.ChoiceField(choices=Adapter.Visibility.choices)
    terms = serializers.CharField(help_text="Markdown; what to agree to before asking.")
    rights = serializers.ListField(
        child=serializers.ChoiceField(choices=[action.value for action in policy.Action]),
        help_text="What you may do with it.",
    )
    role = serializers.CharField(help_text="`read` or `write` for collaborators, else empty.")
    request = AccessRequestSerializer(allow_null=True, help_text="Your own request.")


class OpennessSerializer(serializers.Serializer[Any]):
    visibility = serializers.ChoiceField(choices=Adapter.Visibility.choices, required=False)
    terms = serializers.CharField(required=False, allow_blank=True, trim_whitespace=False)


class AskSerializer(serializers.Serializer[Any]):
    message = serializers.CharField(required=False, default="", allow_blank=True, max_length=2000)
    agree = serializers.BooleanField(default=False, help_text="You agree to the owner's terms.")


class AnswerSerializer(serializers.Serializer[Any]):
    state = serializers.ChoiceField(choices=["approved", "refused"], help_text="`refused` revokes an approval.")
    answer = serializers.CharField(required=False, default="", allow_blank=True, max_length=2000)


class CollaboratorSerializer(serializers.ModelSerializer[Collaborator]):
    username = serializers.CharField(source="user.username", max_length=39)

    class Meta:
        model = Collaborator
        fields = ["username", "role", "created_at"]
        read_only_fields = ["created_at"]


class RoleSerializer(serializers.Serializer[Any]):
    role = serializers.ChoiceField(choices=Collaborator.Role.choices)


def _adapter(request: Request, owner: str, name: str) -> Adapter:
    return selectors.get_adapter(user=request.user, owner=owner, name=name)


def _own(request: Request, owner: str, name: str) -> Adapter:
    """For addresses that are the owner's alone, reading included."""
    adapter = _adapter(request, owner, name)
    policy.require(request.user, policy.Action.ADMINISTER, adapter)
    return adapter


def _access_body(request: Request, adapter: Adapter) -> dict[str, Any]:
    asked = access_selectors.request_of(request.user, adapter)
    role = access_selectors.role_of(request.user, adapter)
    return {
        "visibility": adapter.visibility,
        "terms": adapter.gate_terms,
        "rights": sorted(policy.rights(request.user, adapter)),
        "role": role.role if role else "",
        "request": AccessRequestSerializer(asked).data if asked else None,
    }


class AccessView(APIView):
    """Access to one adapter."""

    def get_throttles(self) -> list[BaseThrottle]:
        return [AccessThrottle()] if self.request.method == "POST" else super().get_throttles()

    @extend_schema(operation_id="access_read", responses=AccessSerializer)
    def get(self, request: Request, owner: str, name: str) -> Response:
        """Terms, your rights, and how your request stands."""
        return Response(_access_body(request, _adapter(request, owner, name)))

    @extend_schema(
        operation_id="access_ask",
        request=AskSerializer,
        responses={status.HTTP_201_CREATED: AccessRequestSerializer},
    )
    def post(self, request: Request, owner: str, name: str) -> Response:
        """Ask the owner of a gated adapter for access. Some days after a refusal you may ask again."""
        body = AskSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        adapter = _adapter(request, owner, name)
        asked = services.request_access(user=request.user, adapter=adapter, **body.validated_data)
        return Response(AccessRequestSerializer(asked).data, status=status.HTTP_201_CREATED)

    @extend_schema(operation_id="access_edit", request=OpennessSerializer, responses=AccessSerializer)
    def patch(self, request: Request, owner: str, name: str) -> Response:
        """Change visibility and terms (owner)."""
        body = OpennessSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        adapter = services.set_visibility(
            user=request.user, adapter=_adapter(request, owner, name), **body.validated_data
        )
        return Response(_access_body(request, adapter))

    @extend_schema(operation_id="access_withdraw", responses={status.HTTP_204_NO_CONTENT: None})
    def delete(self, request: Request, owner: str, name: str) -> Response:
        """Withdraw your request, or give up your access."""
        services.withdraw_request(user=request.user, adapter=_adapter(request, owner, name))
        return Response(status=status.HTTP_204_NO_CONTENT)


class AccessRequestsView(APIView):
    """Requests for one adapter (owner)."""

    permission_classes = [SignedIn, ScopePermission]

    @extend_schema(
        operation_id="access_requests",
        parameters=[OpenApiParameter("state", str, enum=AccessRequest.State.values), *PAGE_PARAMETERS],
        responses=page_schema("AccessRequestPage", AccessRequestSerializer(many=True)),
    )
    def get(self, request: Request, owner: str, name: str) -> Response:
        """Newest first."""
        requests = access_selectors.requests_of(_own(request, owner, name)).select_related("adapter__owner")
        state = request.query_params.get("state", "")
        if state:
            requests = requests.filter(state=state)
        return _requests(request, requests)


def _requests(request: Request, found: Any) -> Response:
    page = keyset_page(found, order=("-created_at", "-id"), **page_arguments(request))
    return Response(page_body(request, page, lambda asked: AccessRequestSerializer(asked).data))


class AccessAnswerView(APIView):
    """One person's request (owner)."""

    permission_classes = [SignedIn, ScopePermission]

    @extend_schema(operation_id="access_answer", request=AnswerSerializer, responses=AccessRequestSerializer)
    def patch(self, request: Request, owner: str, name: str, username: str) -> Response:
        """Approve or refuse; refusing what was approved revokes it and stops what it allowed."""
        body = AnswerSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        adapter = _own(request, owner, name)
        answered = services.answer_request(
            user=request.user,
            adapter=adapter,
            asker=access_selectors.asker_of(adapter, username),
            approve=body.validated_data["state"] == AccessRequest.State.APPROVED,
            answer=body.validated_data["answer"],
        )
        return Response(AccessRequestSerializer(answered).data)


class CollaboratorsView(APIView):
    """Who works on an adapter beside its owner (owner)."""

    permission_classes = [SignedIn, ScopePermission]

    def get_throttles(self) -> list[BaseThrottle]:
        return [LetterThrottle()] if self.request.method == "POST" else super().get_throttles()

    @extend_schema(operation_id="collaborators", responses=CollaboratorSerializer(many=True))
    def get(self, request: Request, owner: str, name: str) -> Response:
        found = access_selectors.collaborators_of(_own(request, owner, name))
        return Response(CollaboratorSerializer(found, many=True).data)

    @extend_schema(
        operation_id="collaborator_add",
        request=CollaboratorSerializer,
        responses={status.HTTP_201_CREATED: CollaboratorSerializer},
    )
    def post(self, request: Request, owner: str, name: str) -> Response:
        """Let somebody load it (`read`) or change it (`write`)."""
        body = CollaboratorSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        added = services.add_collaborator(
            user=request.user,
            adapter=_own(request, owner, name),
            username=body.validated_data["user"]["username"],
            role=body.validated_data.get("role", Collaborator.Role.READ),
        )
        return Response(CollaboratorSerializer(added).data, status=status.HTTP_201_CREATED)


class CollaboratorView(APIView):
    """One collaborator."""

    permission_classes = [SignedIn, ScopePermission]

    @extend_schema(operation_id="collaborator_change", request=RoleSerializer, responses=CollaboratorSerializer)
    def patch(self, request: Request, owner: str, name: str, username: str) -> Response:
        """Give them another role (owner)."""
        body = RoleSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        adapter = _adapter(request, owner, name)
        changed = services.change_collaborator(
            user=request.user, adapter=adapter, username=username, role=body.validated_data["role"]
        )
        return Response(CollaboratorSerializer(changed).data)

    @extend_schema(operation_id="collaborator_remove", responses={status.HTTP_204_NO_CONTENT: None})
    def delete(self, request: Request, owner: str, name: str, username: str) -> Response:
        """Take their role away (owner), or leave."""
        adapter = _adapter(request, owner, name)
        services.remove_collaborator(user=request.user, adapter=adapter, username=username)
        return Response(status=status.HTTP_204_NO_CONTENT)


class MyRequestsView(APIView):
    """Your requests, and those that wait for your answer."""

    permission_classes = [SignedIn, ScopePermission]

    @extend_schema(
        operation_id="my_access_requests",
        parameters=[
            OpenApiParameter("to", str, enum=["others", "me"], description="`me`: those that wait for your answer."),
            *PAGE_PARAMETERS,
        ],
        responses=page_schema("MyAccessRequestPage", AccessRequestSerializer(many=True)),
    )
    def get(self, request: Request) -> Response:
        """What you asked for, or with `to=me` what others ask of you; newest first."""
        if not policy.is_known(request.user):
            raise NotAuthenticated("Sign in to see your requests.")
        mine = request.query_params.get("to") == "me"
        found = access_selectors.requests_to(request.user) if mine else access_selectors.requests_by(request.user)
        return _requests(request, found)


class SharedView(APIView):
    """Other people's adapters that are shared with you."""

    permission_classes = [SignedIn, ScopePermission]

    @extend_schema(
        operation_id="shared_adapters",
        parameters=PAGE_PARAMETERS,
        responses=page_schema("SharedPage", AdapterSerializer(many=True)),
    )
    def get(self, request: Request) -> Response:
        """Those that you work on or were given access to, newest first."""
        shared = selectors.shared_with(request.user)
        page = keyset_page(shared, order=("-created_at", "-id"), **page_arguments(request))
        return Response(page_body(request, page, lambda adapter: AdapterSerializer(adapter).data))
