"""Shapes of watches in REST."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from marketplace.regressions.models import Check, Watch
from marketplace.regressions.settling import sentence_of


class CheckSerializer(serializers.ModelSerializer[Check]):
    suite = serializers.CharField(source="suite.name")
    run = serializers.CharField(source="run_id", allow_null=True)
    before = serializers.CharField(source="before_id", allow_null=True)
    words = serializers.SerializerMethodField()

    class Meta:
        model = Check
        fields = [
            *("suite", "run", "before", "reason", "outcome", "fault", "metric", "difference", "words"),
            *("created_at", "settled_at"),
        ]

    def get_words(self, check: Check) -> str:
        return sentence_of(check)


class WatchSerializer(serializers.ModelSerializer[Watch]):
    subject = serializers.CharField(source="label", help_text="owner/name or mix/owner/name")
    base = serializers.CharField(source="base.name", default=None, allow_null=True)

    class Meta:
        model = Watch
        fields = ["id", "subject", "every", "base", "next_at", "fault", "created_at"]


class WatchDetailSerializer(WatchSerializer):
    checks = serializers.SerializerMethodField()

    class Meta(WatchSerializer.Meta):
        fields = [*WatchSerializer.Meta.fields, "checks"]

    def get_checks(self, watch: Watch) -> list[dict[str, Any]]:
        """The newest sixty."""
        return [dict(CheckSerializer(check).data) for check in watch.checks.all()[:60]]


class WatchCreateSerializer(serializers.Serializer[Any]):
    subject = serializers.CharField(max_length=140, help_text="owner/name or mix/owner/name")
    every = serializers.ChoiceField(choices=Watch.Every.choices, default=Watch.Every.WEEKLY)
