"""Shapes of saved compositions in REST."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from marketplace.adapters.serializers import PromptFormatSerializer
from marketplace.compositions.mixes import MAX_DESCRIPTION, MAX_MEMBERS, MAX_WEIGHT
from marketplace.compositions.models import Composition


class MixMemberSerializer(serializers.Serializer[Any]):
    adapter = serializers.CharField(max_length=140, help_text="owner/name")
    weight = serializers.FloatField(default=1.0, min_value=-MAX_WEIGHT, max_value=MAX_WEIGHT)
    version = serializers.CharField(
        max_length=40, required=False, default="", allow_blank=True, help_text="Empty follows the adapter's latest."
    )


class MixMemberShownSerializer(serializers.Serializer[Any]):
    adapter = serializers.CharField(source="name")
    weight = serializers.FloatField()
    version = serializers.CharField(source="member.commit", help_text="Empty follows the adapter's latest.")
    fault = serializers.CharField(help_text="Why you cannot use it; empty when you can.")


class MixSerializer(serializers.ModelSerializer[Composition]):
    """One mix in a list. Members carry the names that they had when it was saved."""

    full_name = serializers.CharField()
    owner = serializers.CharField(source="owner.username")
    base = serializers.CharField(source="base.name", default=None, allow_null=True)
    members = serializers.SerializerMethodField()

    class Meta:
        model = Composition
        fields = [
            *("full_name", "owner", "name", "visibility", "strategy", "base", "description", "members"),
            *("created_at", "updated_at"),
        ]
        extra_kwargs = {"strategy": {"help_text": "fixed: the members' Δ are added up with these weights"}}

    def get_members(self, mix: Composition) -> list[dict[str, Any]]:
        return [
            {"adapter": member.label, "weight": member.weight, "version": member.commit} for member in mix.members.all()
        ]


class MixDetailSerializer(serializers.Serializer[Any]):
    """One mix as the asker finds it."""

    full_name = serializers.CharField()
    owner = serializers.CharField()
    name = serializers.CharField()
    visibility = serializers.ChoiceField(choices=Composition.Visibility.choices)
    strategy = serializers.CharField()
    base = serializers.CharField(allow_null=True)
    description = serializers.CharField()
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()
    members = MixMemberShownSerializer(many=True)
    usable = serializers.BooleanField(help_text="Whether it answers you: false while a member has a fault.")
    prompt_format = PromptFormatSerializer(allow_null=True, help_text="The strongest member's.")
    warnings = serializers.ListField(child=serializers.CharField())


class MixEditSerializer(serializers.Serializer[Any]):
    members = MixMemberSerializer(many=True, required=False, allow_empty=False, max_length=MAX_MEMBERS)
    visibility = serializers.ChoiceField(choices=Composition.Visibility.choices, required=False)
    description = serializers.CharField(max_length=MAX_DESCRIPTION, required=False, allow_blank=True)


class MixCreateSerializer(MixEditSerializer):
    name = serializers.CharField(max_length=96)
    members = MixMemberSerializer(many=True, allow_empty=False, max_length=MAX_MEMBERS)


class MixResultSerializer(serializers.Serializer[Any]):
    """One run of a mix. Estimates have ``value``, ``low``, ``high`` (95 %) and ``n``."""

    id = serializers.UUIDField(source="run.pk")
    suite = serializers.CharField(source="run.suite.name")
    state = serializers.CharField(source="run.state", help_text="waiting, measured or failed")
    fault = serializers.CharField(source="run.fault")
    metric = serializers.CharField()
    effect = serializers.CharField(help_text="better, no_effect, worse or unclear, against the bare base")
    base = serializers.JSONField(allow_null=True, help_text="The bare base's estimate.")
    value = serializers.JSONField(allow_null=True, help_text="The mix's estimate.")
    difference = serializers.JSONField(allow_null=True, help_text="Paired by example.")
    finished_at = serializers.DateTimeField(source="run.finished_at", allow_null=True)
