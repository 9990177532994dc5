"""Shapes of the bases' REST requests and answers."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from marketplace.bases.models import Base


class BaseSerializer(serializers.ModelSerializer[Base]):
    """A base model that adapters belong to."""

    aliases = serializers.SlugRelatedField(many=True, read_only=True, slug_field="alias")
    parent = serializers.CharField(source="parent.name", allow_null=True, default=None)

    class Meta:
        model = Base
        fields = [
            "name", "revision", "state", "fault", "license", "parameters", "fingerprint", "tokenizer_hash", "served",
            "parent", "aliases", "created_at",
        ]  # fmt: skip


class BaseDetailSerializer(BaseSerializer):
    """With its config, its shapes and its chat template."""

    config = serializers.DictField()
    shapes = serializers.DictField(
        child=serializers.ListField(child=serializers.IntegerField()), help_text="Module → [d_out, d_in]."
    )

    class Meta(BaseSerializer.Meta):
        fields = [*BaseSerializer.Meta.fields, "config", "shapes", "chat_template"]


class RegisterBaseSerializer(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=160)
    source = serializers.CharField(
        max_length=500,
        required=False,
        default="",
        allow_blank=True,
        help_text="A hub repository's id or a directory that every worker sees; the name itself unless told.",
    )
    revision = serializers.CharField(max_length=100, required=False, default="", allow_blank=True)
    license = serializers.CharField(max_length=40, required=False, default="", allow_blank=True)
    aliases = serializers.ListField(child=serializers.CharField(max_length=200), required=False, default=list)
    parent = serializers.CharField(max_length=160, required=False, default="", allow_blank=True)
    served = serializers.BooleanField(
        required=False, allow_null=True, default=None, help_text="A new base is served unless told; null leaves it."
    )
