"""Shapes of the merge requests and answers."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from inference_worker.contracts.merge_output import MOST_GROUPS, MOST_RANK, OutputDtype
from marketplace.compositions.members import MAX_MEMBERS, MAX_WEIGHT

DTYPES = list(OutputDtype.__args__)  # type: ignore[attr-defined]


class GroupWeightSerializer(serializers.Serializer[Any]):
    """A factor on a member's weight within some modules."""

    modules = serializers.CharField(max_length=200, help_text="layers (0-15), parts of names (q_proj) or 0-15/q_proj")
    factor = serializers.FloatField(min_value=-MAX_WEIGHT, max_value=MAX_WEIGHT)


class MemberSerializer(serializers.Serializer[Any]):
    adapter = serializers.CharField(max_length=140, help_text="owner/name")
    weight = serializers.FloatField(default=1.0, min_value=-MAX_WEIGHT, max_value=MAX_WEIGHT)
    layer_weights = GroupWeightSerializer(many=True, required=False, max_length=MOST_GROUPS)


class CheckRequestSerializer(serializers.Serializer[Any]):
    members = MemberSerializer(many=True, allow_empty=False, max_length=MAX_MEMBERS)


class MergeSettingsSerializer(CheckRequestSerializer):
    """What a merge is made of; the same for merges, previews and sweeps."""

    method = serializers.CharField(max_length=40)
    rank = serializers.IntegerField(
        min_value=1,
        max_value=MOST_RANK,
        required=False,
        allow_null=True,
        default=None,
        help_text="short for output.rank",
    )
    dtype = serializers.ChoiceField(
        choices=DTYPES, required=False, allow_null=True, default=None, help_text="short for output.dtype"
    )
    output = serializers.DictField(
        required=False,
        default=dict,
        help_text="rank (a number, “same”, {energy: share} or {inertia: share}), ranks ([{modules, rank}]), dtype, "
        "rotate, include and exclude (lists of modules)",
    )
    seed = serializers.IntegerField(min_value=0, max_value=2**31 - 1, default=0)
    options = serializers.DictField(required=False, default=dict, help_text="the method's own")
    idempotency_key = serializers.CharField(max_length=100, required=False, allow_null=True, default=None)


class MergeCreateSerializer(MergeSettingsSerializer):
    name = serializers.CharField(max_length=96)
    title = serializers.CharField(max_length=120, required=False, default="", allow_blank=True)


class CheckRowSerializer(serializers.Serializer[Any]):
    code = serializers.CharField()
    ok = serializers.BooleanField(allow_null=True, help_text="null is a caveat")
    label = serializers.CharField()
    value = serializers.CharField()
    detail = serializers.CharField()


class LicenceSerializer(serializers.Serializer[Any]):
    license = serializers.CharField()
    publishable = serializers.BooleanField()
    reason = serializers.CharField()
    obligations = serializers.ListField(child=serializers.CharField())


class VerdictSerializer(serializers.Serializer[Any]):
    mergeable = serializers.BooleanField()
    checks = CheckRowSerializer(many=True)
    ranks = serializers.ListField(child=serializers.IntegerField())
    rank_sum = serializers.IntegerField()
    licence = LicenceSerializer()
    methods = serializers.ListField(child=serializers.CharField())
    refused_methods = serializers.DictField(child=serializers.CharField(), help_text="method → why it cannot")
    leave_out = serializers.ListField(
        child=serializers.CharField(), help_text="members without whom the others may be merged"
    )


class MergeMethodSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    title = serializers.CharField()
    explanation = serializers.CharField()
    paper = serializers.CharField()
    exact = serializers.BooleanField()
    rank = serializers.CharField(help_text="“sum”: the ranks add up; “choose”: give one")
    options = serializers.DictField(help_text="JSON schema of the method's options")
