"""REST shapes of reports."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from marketplace.moderation.models import Report


class ReportRequestSerializer(serializers.Serializer[Any]):
    reason = serializers.ChoiceField(choices=Report.Reason.choices)
    text = serializers.CharField(max_length=4000, allow_blank=True, default="")


class ReportSerializer(serializers.ModelSerializer[Report]):
    class Meta:
        model = Report
        fields = ["id", "reason", "state", "created_at"]
        read_only_fields = fields
