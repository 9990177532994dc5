"""Shapes of watches in REST."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from marketplace.regressions.models import Check, Watch
from marketplace.regressions.selectors import in_reach
from marketplace.regressions.settling import sentence_of


class CheckSerializer(serializers.ModelSerializer[Check]):
    suite = serializers.CharField(source="suite.name")
    run = serializers.CharField(source="run_id", allow_null=True)
    before = serializers.CharField(source="before_id", allow_null=True)
    words = serializers.SerializerMethodField()
    difference = serializers.SerializerMethodField()
    reference = serializers.CharField(source="reference_id", allow_null=True)
    since_difference = serializers.SerializerMethodField()

    class Meta:
        model = Check
        fields = [
            *("suite", "run", "before", "reason", "outcome", "fault", "metric", "difference", "words"),
            *("reference", "taken_at", "since", "since_difference"),
            *("created_at", "settled_at"),
        ]

    def get_words(self, check: Check) -> str:
        return sentence_of(check) if self.context["numbers"] else ""

    def get_difference(self, check: Check) -> dict[str, Any] | None:
        return check.difference if self.context["numbers"] else None

    def get_since_difference(self, check: Check) -> dict[str, Any] | None:
        return check.since_difference if self.context["numbers"] else None


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
        """The newest sixty; without numbers where it is no longer yours to use."""
        context = {"numbers": in_reach(watch)}
        return [dict(CheckSerializer(check, context=context).data) for check in watch.newest]


class WatchCreateSerializer(serializers.Serializer[Any]):
    subject = serializers.CharField(max_length=140, help_text="owner/name or mix/owner/name")
    every = serializers.ChoiceField(choices=Watch.Every.choices, default=Watch.Every.WEEKLY)
