"""Shapes of verdicts with their pairs, and of partners."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from marketplace.adapters.serializers import ProblemSerializer
from marketplace.compositions.pairs.partners import MOST_SHOWN, SHOWN
from marketplace.compositions.serializers import VerdictSerializer

_KEPT = "method → predicted share of its gain that each of both keeps at weight 1"


class PairSerializer(serializers.Serializer[Any]):
    first = serializers.CharField(help_text="owner/name")
    second = serializers.CharField()
    kept = serializers.DictField(child=serializers.ListField(child=serializers.FloatField()), help_text=_KEPT)
    not_predicted = serializers.DictField(child=ProblemSerializer(), help_text="method → why no share is predicted")
    measures = serializers.DictField(allow_null=True, help_text="null until a worker has compared both")


class MethodVerdictSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    title = serializers.CharField()
    state = serializers.ChoiceField(choices=["legal", "caveat", "refused"])
    reasons = serializers.ListField(child=serializers.CharField())
    kept = serializers.ListField(child=serializers.FloatField(), allow_null=True, help_text="of two members")


class CorrelationSerializer(serializers.Serializer[Any]):
    value = serializers.FloatField()
    low = serializers.FloatField()
    high = serializers.FloatField()


class PredictionSerializer(serializers.Serializer[Any]):
    """How good a prediction is: Spearman's rank correlation on held-out adapters, of the model and of the cosine."""

    method = serializers.CharField()
    title = serializers.CharField()
    source = serializers.ChoiceField(choices=["model", "cosine", "none"])
    model = CorrelationSerializer()
    cosine = CorrelationSerializer()
    adapters = serializers.IntegerField()
    pairs = serializers.IntegerField()
    words = serializers.CharField()


class FitSerializer(VerdictSerializer):
    pairs = PairSerializer(many=True)
    unmeasured = serializers.IntegerField(help_text="pairs that no worker has compared yet")
    notes = serializers.ListField(child=serializers.CharField())
    method_verdicts = MethodVerdictSerializer(many=True)
    predictions = PredictionSerializer(many=True)
    comparison = serializers.UUIDField(allow_null=True, help_text="your job that measures what is unmeasured")


class PartnerSerializer(serializers.Serializer[Any]):
    adapter = serializers.CharField(source="adapter.full_name")
    interference = serializers.FloatField(allow_null=True, help_text="0 keeps everything of both, 1 nothing")
    kept = serializers.ListField(child=serializers.FloatField(), allow_null=True, help_text="this adapter, the partner")
    cosine = serializers.FloatField(allow_null=True, help_text="of both changes")
    meaning = serializers.FloatField(allow_null=True, help_text="cosine of both cards")


class PartnersSerializer(serializers.Serializer[Any]):
    ranked_by = serializers.ChoiceField(choices=["interference", "meaning"])
    method = serializers.CharField(help_text="whose prediction ranks")
    waiting = serializers.IntegerField(help_text="candidates that have not been compared")
    unpredicted = serializers.IntegerField(help_text="compared candidates that are unlike what was fitted")
    partners = PartnerSerializer(many=True)


class PartnersQuerySerializer(serializers.Serializer[Any]):
    limit = serializers.IntegerField(min_value=1, max_value=MOST_SHOWN, default=SHOWN)
