"""Shapes of notifications in REST."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from marketplace.notifications.models import Kind, Notification


class NotificationSerializer(serializers.ModelSerializer[Notification]):
    class Meta:
        model = Notification
        fields = ["id", "kind", "title", "text", "address", "created_at", "read_at"]
        extra_kwargs = {"address": {"help_text": "A path on this site."}}


class MarkReadSerializer(serializers.Serializer[Any]):
    ids = serializers.ListField(
        child=serializers.IntegerField(min_value=1, max_value=2**63 - 1),
        required=False,
        max_length=1000,
        help_text="Leave it out to mark all of them.",
    )


class MarkedSerializer(serializers.Serializer[Any]):
    marked = serializers.IntegerField()
    unread = serializers.IntegerField()


class LettersSerializer(serializers.Serializer[Any]):
    """Kind → whether letters of it are wanted."""

    regression = serializers.BooleanField(required=False, help_text=Kind.REGRESSION.label)
    access = serializers.BooleanField(required=False, help_text=Kind.ACCESS.label)
    transfer = serializers.BooleanField(required=False, help_text=Kind.TRANSFER.label)
    moderation = serializers.BooleanField(required=False, help_text=Kind.MODERATION.label)
