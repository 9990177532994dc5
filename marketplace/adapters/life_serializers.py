"""Shapes of the REST of an adapter's life."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from marketplace.adapters.models import Adapter, Transfer
from marketplace.adapters.services.retiring import MAX_REASON
from marketplace.adapters.tombstones import restorable_until


class RenameSerializer(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=96)


class OfferSerializer(serializers.Serializer[Any]):
    receiver = serializers.CharField(max_length=60, help_text="User name of the new owner.")


class AcceptSerializer(serializers.Serializer[Any]):
    name = serializers.CharField(
        max_length=96, required=False, default="", allow_blank=True, help_text="Where its own name is taken."
    )


class TransferSerializer(serializers.ModelSerializer[Transfer]):
    """An offer of an adapter."""

    adapter = serializers.CharField(source="adapter.full_name")
    sender = serializers.CharField(source="sender.username")
    receiver = serializers.CharField(source="receiver.username")

    class Meta:
        model = Transfer
        fields = ["id", "adapter", "sender", "receiver", "state", "created_at", "decided_at"]


class YankSerializer(serializers.Serializer[Any]):
    reason = serializers.CharField(max_length=MAX_REASON)
    same_weights = serializers.BooleanField(
        default=False, help_text="Also every other version of the adapter with these weights and config."
    )


class DeprecationSerializer(serializers.Serializer[Any]):
    message = serializers.CharField(max_length=MAX_REASON, required=False, default="", allow_blank=True)
    superseded_by = serializers.CharField(
        max_length=200,
        required=False,
        default="",
        allow_blank=True,
        help_text="A revision of the same adapter, `owner/name`, or `owner/name@revision`.",
    )


class DeletedSerializer(serializers.ModelSerializer[Adapter]):
    """A deleted adapter that its owner can bring back."""

    full_name = serializers.CharField()
    restorable_until = serializers.SerializerMethodField()

    class Meta:
        model = Adapter
        fields = ["full_name", "visibility", "deleted_at", "restorable_until"]

    def get_restorable_until(self, adapter: Adapter) -> str:
        until = restorable_until(adapter)
        return until.isoformat() if until else ""
