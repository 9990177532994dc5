"""REST shapes of reports."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from marketplace.adapters.models import Adapter
from marketplace.moderation.models import Block, Decision, Report


class ReportRequestSerializer(serializers.Serializer[Any]):
    reason = serializers.ChoiceField(choices=Report.Reason.choices)
    text = serializers.CharField(max_length=4000, allow_blank=True, default="")


class ReportSerializer(serializers.ModelSerializer[Report]):
    class Meta:
        model = Report
        fields = ["id", "reason", "state", "created_at"]
        read_only_fields = fields


class BlockSerializer(serializers.ModelSerializer[Block]):
    """Bytes that are refused."""

    blocked_by = serializers.CharField(source="blocked_by.username", allow_null=True, default=None)
    adapter = serializers.CharField(
        source="decision.adapter.full_name", allow_null=True, default=None, help_text="Whose removal brought it."
    )

    class Meta:
        model = Block
        fields = ["sha256", "reason", "blocked_by", "adapter", "created_at", "delete_after"]
        read_only_fields = fields


class BlockRequestSerializer(serializers.Serializer[Any]):
    sha256 = serializers.CharField(max_length=80)
    reason = serializers.CharField(max_length=4000)


class DescendantSerializer(serializers.ModelSerializer[Adapter]):
    """What was made from an adapter."""

    adapter = serializers.CharField(source="full_name")

    class Meta:
        model = Adapter
        fields = ["adapter", "moderation", "visibility", "created_at"]
        read_only_fields = fields


class DescendantPageSerializer(serializers.Serializer[Any]):
    """One page of them, with two counts of all."""

    results = DescendantSerializer(many=True)
    next = serializers.URLField(allow_null=True)
    hidden = serializers.IntegerField(help_text="how many more there are that you do not see")
    waiting = serializers.IntegerField(help_text="how many of all, hidden ones included, would go into quarantine")


class DecisionRequestSerializer(serializers.Serializer[Any]):
    action = serializers.ChoiceField(choices=Decision.Action.choices)
    reason = serializers.CharField(max_length=4000, help_text="the owners read it")
    descendants = serializers.BooleanField(
        default=False, help_text="with quarantine: also what was made from it, however indirectly"
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if attrs["descendants"] and attrs["action"] != Decision.Action.QUARANTINE:
            raise serializers.ValidationError({"descendants": "Only a quarantine takes them along."})
        return attrs


class DecisionSerializer(serializers.ModelSerializer[Decision]):
    adapter = serializers.CharField(source="adapter.full_name")

    class Meta:
        model = Decision
        fields = ["adapter", "action", "reason", "created_at"]
        read_only_fields = fields


class DecisionsSerializer(serializers.Serializer[Any]):
    decisions = DecisionSerializer(many=True)
