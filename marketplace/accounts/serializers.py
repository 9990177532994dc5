"""REST shapes of accounts and tokens."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from marketplace.accounts.models import Token


class TokenSerializer(serializers.ModelSerializer[Token]):
    """A token without its secret."""

    class Meta:
        model = Token
        fields = ["id", "name", "prefix", "scope", "created_at", "expires_at", "last_used_at"]
        read_only_fields = fields


class NewTokenSerializer(TokenSerializer):
    """A token just made: the only time that its secret is shown."""

    secret = serializers.CharField(read_only=True)

    class Meta(TokenSerializer.Meta):
        fields = [*TokenSerializer.Meta.fields, "secret"]
        read_only_fields = fields


class TokenRequestSerializer(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=80)
    scope = serializers.ChoiceField(choices=Token.Scope.choices, default=Token.Scope.READ)
    expires_at = serializers.DateTimeField(required=False, allow_null=True, default=None)


class StorageSerializer(serializers.Serializer[Any]):
    used_bytes = serializers.IntegerField()
    quota_bytes = serializers.IntegerField()


class MeSerializer(serializers.Serializer[Any]):
    """Who the asker is, and by what: ``scope`` is the token's, ``session`` for a browser's session."""

    username = serializers.CharField()
    display_name = serializers.CharField()
    email = serializers.EmailField()
    is_moderator = serializers.BooleanField()
    scope = serializers.ChoiceField(choices=[("session", "Session"), *Token.Scope.choices])
    storage = StorageSerializer()


class MeRequestSerializer(serializers.Serializer[Any]):
    display_name = serializers.CharField(max_length=80, allow_blank=True)


class ErrorSerializer(serializers.Serializer[Any]):
    """The body of every error."""

    code = serializers.CharField()
    message = serializers.CharField()
    extra = serializers.DictField()
