"""Shapes of the bases' REST requests and answers."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from marketplace.bases.models import Base
from marketplace.bases.selectors import aliases_of


class BaseSerializer(serializers.ModelSerializer[Base]):
    """A base model that adapters belong to."""

    aliases = serializers.SerializerMethodField()
    parent = serializers.CharField(source="parent.name", allow_null=True, default=None)

    class Meta:
        model = Base
        fields = [
            "name", "revision", "state", "fault", "notes", "task", "layers", "license", "parameters", "fingerprint",
            "tokenizer_hash", "served", "generates", "parent", "aliases", "created_at",
        ]  # fmt: skip

    notes = serializers.ListField(child=serializers.CharField(), help_text="What the base is not good for.")
    task = serializers.CharField(help_text="PEFT's task type of the model that `shapes` are of.")
    generates = serializers.BooleanField(help_text="Whether text can be generated with it here.")

    @extend_schema_field(serializers.ListField(child=serializers.CharField()))
    def get_aliases(self, base: Base) -> list[str]:
        return [alias.alias for alias in aliases_of(base)]


class BaseDetailSerializer(BaseSerializer):
    """With its config, its shapes and its chat template."""

    config = serializers.DictField()
    shapes = serializers.DictField(
        child=serializers.ListField(child=serializers.IntegerField()), help_text="Module → [d_out, d_in]."
    )
    variants = serializers.DictField(
        child=serializers.DictField(child=serializers.ListField(child=serializers.IntegerField())),
        help_text="Task → the modules that have another name or shape for it; `*` stands for every task.",
    )

    class Meta(BaseSerializer.Meta):
        fields = [*BaseSerializer.Meta.fields, "config", "shapes", "variants", "chat_template"]


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


class ChangeBaseSerializer(serializers.Serializer[Any]):
    """Fields that are left out stay as they are."""

    license = serializers.CharField(max_length=40, required=False, allow_blank=True)
    parent = serializers.CharField(
        max_length=160, required=False, allow_blank=True, help_text="The base that it was made from; empty for none."
    )
    served = serializers.BooleanField(required=False)


class AliasSerializer(serializers.Serializer[Any]):
    alias = serializers.CharField(max_length=200)


class BaseJobSerializer(serializers.Serializer[Any]):
    job = serializers.UUIDField()


class MeaningSerializer(serializers.Serializer[Any]):
    """What a name in a config means."""

    base = serializers.CharField(allow_null=True, help_text="The base here, or null.")
    canonical = serializers.CharField(help_text="The hub's id of what it is, also when this site does not hold it.")
    certain = serializers.BooleanField(help_text="False for what was concluded from the last part of a path.")
