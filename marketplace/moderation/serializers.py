"""REST shapes of reports."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from marketplace.moderation.models import Block, Report


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
