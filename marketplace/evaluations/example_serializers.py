"""Examples in REST: what a suite asks, and what two runs on it answered."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from inference_worker.contracts.evaluate import Outcome
from marketplace.evaluations.examples import Beside, Pair
from marketplace.evaluations.models import EvaluationRun, EvaluationSuite
from marketplace.evaluations.serializers import SuiteNameSerializer
from marketplace.evaluations.verdicts import METRICS


class SuiteExampleSerializer(serializers.Serializer[Any]):
    prompt = serializers.CharField()
    expected = serializers.ListField(child=serializers.CharField(), help_text="Each of them is right.")
    task = serializers.CharField()
    cluster = serializers.CharField()

    def to_representation(self, instance: dict[str, Any]) -> dict[str, Any]:
        expected = instance.get("expected", [])
        return {
            "prompt": instance.get("prompt", ""),
            "expected": [expected] if isinstance(expected, str) else expected,
            "task": instance.get("task", ""),
            "cluster": instance.get("cluster", ""),
        }


class AnswerSerializer(serializers.Serializer[Any]):
    answer = serializers.CharField()
    exact_match = serializers.FloatField(allow_null=True)
    token_f1 = serializers.FloatField(allow_null=True)

    def to_representation(self, instance: Outcome) -> dict[str, Any]:
        return {"answer": instance.answer, "exact_match": instance.exact_match, "token_f1": instance.token_f1}


class AnsweredPairSerializer(serializers.Serializer[Any]):
    """One example as both answered it."""

    change = serializers.CharField(help_text="win, loss or same, from `before` to `after`")
    prompt = serializers.CharField()
    expected = serializers.ListField(child=serializers.CharField())
    before = AnswerSerializer()
    after = AnswerSerializer()

    def to_representation(self, instance: Pair) -> dict[str, Any]:
        return {
            "change": instance.change,
            "prompt": instance.after.prompt,
            "expected": list(instance.after.expected),
            "before": AnswerSerializer(instance.before).data,
            "after": AnswerSerializer(instance.after).data,
        }


class CountsSerializer(serializers.Serializer[Any]):
    """Wins and losses of `after` against `before`, of all examples, whoever may read them."""

    metric = serializers.ChoiceField(choices=list(METRICS.items()))
    wins = serializers.IntegerField()
    losses = serializers.IntegerField()
    same = serializers.IntegerField()
    chance = serializers.FloatField(help_text="Probability of such a split by chance: exact sign test, two-sided.")

    def to_representation(self, instance: Beside) -> dict[str, Any]:
        return {name: getattr(instance, name) for name in ("metric", "wins", "losses", "same", "chance")}


def suite_name(suite: EvaluationSuite) -> dict[str, str]:
    return {"id": str(suite.pk), "name": suite.name, "kind": suite.kind}


class ComparedSerializer(serializers.Serializer[Any]):
    """Two versions on one suite."""

    suite = SuiteNameSerializer()
    before = serializers.UUIDField(help_text="The earlier version's evaluation.")
    after = serializers.UUIDField(help_text="The later version's evaluation.")
    counts = CountsSerializer()
    examples = AnsweredPairSerializer(
        many=True, help_text="Those that you may read: of losses, wins and the rest up to 100 each."
    )
    not_shown = serializers.IntegerField(help_text="Examples that are counted and not listed.")

    def to_representation(self, instance: Beside) -> dict[str, Any]:
        return {
            "suite": suite_name(instance.after.suite),
            "before": str(instance.before.pk),
            "after": str(instance.after.pk),
            "counts": CountsSerializer(instance).data,
            "examples": AnsweredPairSerializer(instance.pairs, many=True).data,
            "not_shown": instance.hidden,
        }


class ComparedVersionsSerializer(serializers.Serializer[Any]):
    before = serializers.CharField(help_text="The earlier version's commit.")
    after = serializers.CharField(help_text="The later version's commit.")
    suites = ComparedSerializer(many=True, help_text="On which both were run in the same way.")


class RunSerializer(serializers.Serializer[Any]):
    """One run; `before` of its examples is the bare base, `after` the adapter."""

    id = serializers.UUIDField()
    suite = SuiteNameSerializer()
    state = serializers.ChoiceField(choices=EvaluationRun.State.choices)
    fault = serializers.CharField()
    counts = CountsSerializer(allow_null=True, help_text="Null without answers.")
    not_shown = serializers.IntegerField(help_text="Examples that are counted and that you may not read.")
    results = AnsweredPairSerializer(many=True)
    next = serializers.URLField(allow_null=True)
