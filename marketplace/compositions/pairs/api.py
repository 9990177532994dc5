"""REST for comparing adapters and for finding partners."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from marketplace.accounts.throttling import MergeThrottle
from marketplace.compositions.members import find_adapter, resolve_members
from marketplace.compositions.pairs import partners, services
from marketplace.compositions.pairs.serializers import FitSerializer, PartnersQuerySerializer, PartnersSerializer
from marketplace.compositions.serializers import CheckRequestSerializer
from marketplace.jobs.serializers import JobSerializer


class ComparisonsView(APIView):
    """Have a set of adapters compared, pair by pair: the verdict, whose ``comparison`` names the job (202), or
    everything at once where all pairs are known (200)."""

    throttle_classes = [MergeThrottle]

    @extend_schema(
        operation_id="merge_compare",
        request=CheckRequestSerializer,
        responses={status.HTTP_200_OK: FitSerializer, status.HTTP_202_ACCEPTED: FitSerializer},
    )
    def post(self, request: Request) -> Response:
        serializer = CheckRequestSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        rows = serializer.validated_data["members"]
        members = [(find_adapter(user=request.user, full_name=row["adapter"]), row["weight"]) for row in rows]
        services.request_comparison(user=request.user, members=members)
        judged = services.judge_members(user=request.user, members=members)
        code = status.HTTP_202_ACCEPTED if judged["comparison"] else status.HTTP_200_OK
        return Response(FitSerializer(judged).data, status=code)


class PartnersView(APIView):
    """What goes well with an adapter."""

    throttle_classes = [MergeThrottle]

    @extend_schema(operation_id="partners", parameters=[PartnersQuerySerializer], responses=PartnersSerializer)
    def get(self, request: Request, owner: str, name: str) -> Response:
        query = PartnersQuerySerializer(data=request.query_params)
        query.is_valid(raise_exception=True)
        adapter = find_adapter(user=request.user, full_name=f"{owner}/{name}")
        members = resolve_members(user=request.user, members=[(adapter, 1.0)])
        found = partners.find_partners(user=request.user, members=members, limit=query.validated_data["limit"])
        return Response(PartnersSerializer(found).data)

    @extend_schema(operation_id="partners_compare", request=None, responses={202: JobSerializer, 204: None})
    def post(self, request: Request, owner: str, name: str) -> Response:
        """Compare the adapter with up to 32 candidates that it has not been compared with; 204 when there is none."""
        adapter = find_adapter(user=request.user, full_name=f"{owner}/{name}")
        members = resolve_members(user=request.user, members=[(adapter, 1.0)])
        job = partners.compare_with_candidates(user=request.user, members=members)
        if job is None:
            return Response(status=status.HTTP_204_NO_CONTENT)
        return Response(JobSerializer(job).data, status=status.HTTP_202_ACCEPTED)
