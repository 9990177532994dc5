"""Shapes of the generation requests and answers."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from marketplace.adapters.serializers import PromptFormatSerializer
from marketplace.compositions.serializers import MemberSerializer
from marketplace.playground.services import MAX_MEMBERS


class SamplingSerializer(serializers.Serializer[Any]):
    max_tokens = serializers.IntegerField(min_value=1, max_value=4096, default=64)
    temperature = serializers.FloatField(min_value=0, max_value=5, default=0.0, help_text="0 is greedy")
    top_p = serializers.FloatField(min_value=0.001, max_value=1, default=1.0)
    top_k = serializers.IntegerField(min_value=0, default=0, help_text="0 switches the filter off")
    repetition_penalty = serializers.FloatField(min_value=0.01, max_value=5, default=1.0)
    seed = serializers.IntegerField(min_value=0, max_value=2**31 - 1, required=False, allow_null=True, default=None)
    stop = serializers.ListField(
        # A line's end is the most common stop string.
        child=serializers.CharField(max_length=200, trim_whitespace=False),
        max_length=16,
        default=list,
    )


class GenerationCreateSerializer(serializers.Serializer[Any]):
    prompt = serializers.CharField(max_length=200_000, trim_whitespace=False)
    base = serializers.CharField(max_length=160, required=False, default="", allow_blank=True)
    members = MemberSerializer(many=True, required=False, default=list, max_length=MAX_MEMBERS)
    sampling = SamplingSerializer(required=False, default=dict)
    prompt_format = PromptFormatSerializer(required=False, allow_null=True, default=None)
    stream = serializers.BooleanField(default=True, help_text="false waits and answers with the whole text")


class GenerationSerializer(serializers.Serializer[Any]):
    id = serializers.CharField()
    base = serializers.CharField()
    text = serializers.CharField()
    finish_reason = serializers.CharField()
    prompt_tokens = serializers.IntegerField()
    completion_tokens = serializers.IntegerField()
    warnings = serializers.ListField(child=serializers.CharField())
