"""Evaluations and suites in REST."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from marketplace.evaluations.models import EvaluationRun, EvaluationSuite, Standing
from marketplace.evaluations.reports import Line, Report, Result
from marketplace.evaluations.verdicts import METRICS, Verdict


class EstimateSerializer(serializers.Serializer[Any]):
    """A mean over `n` examples with its 95 % interval."""

    value = serializers.FloatField()
    low = serializers.FloatField()
    high = serializers.FloatField()
    n = serializers.IntegerField()


def _by_metric(help_text: str) -> serializers.DictField:
    return serializers.DictField(child=EstimateSerializer(), help_text=f"{help_text} By metric: {', '.join(METRICS)}.")


class SuiteNameSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    name = serializers.CharField()
    kind = serializers.ChoiceField(choices=EvaluationSuite.Kind.choices)


class LineSerializer(serializers.Serializer[Any]):
    label = serializers.CharField()
    base = _by_metric("Without it.")
    result = _by_metric("With it.")
    difference = _by_metric("With it minus without, paired by example; empty for parts.")

    def to_representation(self, instance: Line) -> dict[str, Any]:
        return {
            "label": instance.label,
            "base": instance.base,
            "result": instance.value,
            "difference": instance.difference,
        }


class EvaluationSerializer(serializers.Serializer[Any]):
    """One adapter on one suite, beside its bare base. `results` begins with the adapter; a merge's parents follow."""

    id = serializers.UUIDField()
    suite = SuiteNameSerializer()
    state = serializers.ChoiceField(choices=EvaluationRun.State.choices)
    fault = serializers.CharField(help_text="Why it has no numbers.")
    job = serializers.UUIDField(allow_null=True, help_text="Yours alone.")
    metric = serializers.ChoiceField(choices=list(METRICS.items()), help_text="What the verdict rests on.")
    results = LineSerializer(many=True)
    parts = LineSerializer(many=True, help_text="By cluster or task of the suite.")
    hidden = serializers.BooleanField(help_text="The adapter's owner keeps it from most readers, and not from you.")
    created_at = serializers.DateTimeField()
    finished_at = serializers.DateTimeField(allow_null=True)

    def to_representation(self, instance: Result) -> dict[str, Any]:
        run = instance.run
        return {
            "id": str(run.pk),
            "suite": {"id": str(run.suite.pk), "name": run.suite.name, "kind": run.suite.kind},
            "state": run.state,
            "fault": run.fault,
            "job": str(run.job_id) if instance.own_job else None,
            "metric": instance.metric,
            "results": LineSerializer(instance.lines, many=True).data,
            "parts": LineSerializer(instance.parts, many=True).data,
            "hidden": instance.hidden,
            "created_at": run.created_at.isoformat(),
            "finished_at": run.finished_at.isoformat() if run.finished_at else None,
        }


class VerdictSerializer(serializers.Serializer[Any]):
    code = serializers.CharField(
        help_text="better, no_effect, worse, unclear; forgets; no_better_than_parent, worse_than_parent"
    )
    severity = serializers.ChoiceField(choices=["good", "info", "warning", "error"])
    title = serializers.CharField()
    message = serializers.CharField()
    evaluation = serializers.UUIDField()

    def to_representation(self, instance: Verdict) -> dict[str, Any]:
        return {
            "code": instance.code,
            "severity": instance.severity,
            "title": instance.title,
            "message": instance.message,
            "evaluation": str(instance.run.pk),
        }


class EvaluationsSerializer(serializers.Serializer[Any]):
    """`verdict` and `gain` are empty while nothing was measured."""

    verdict = serializers.ChoiceField(choices=Standing.Verdict.choices, allow_blank=True)
    gain = serializers.FloatField(
        allow_null=True, help_text="Exact match above its base on its own examples, from -1 to 1."
    )
    gain_low = serializers.FloatField(allow_null=True, help_text="The lower end of its 95 % interval.")
    forgets = serializers.BooleanField(allow_null=True, help_text="Null where it was not measured or is unclear.")
    verdicts = VerdictSerializer(many=True)
    evaluations = EvaluationSerializer(many=True)
    kept_back = serializers.IntegerField(
        help_text="How many results on other people's suites the adapter's owner hides from you."
    )

    caution = serializers.CharField(
        help_text="What to know of the results on a merge's parents' examples before believing them; empty otherwise."
    )

    def to_representation(self, instance: Report) -> dict[str, Any]:
        standing = instance.standing
        return {
            "verdict": standing.verdict if standing else "",
            "gain": standing.gain if standing else None,
            "gain_low": standing.gain_low if standing else None,
            "forgets": standing.forgets if standing else None,
            "verdicts": VerdictSerializer(instance.verdicts, many=True).data,
            "evaluations": EvaluationSerializer(instance.all, many=True).data,
            "kept_back": instance.kept_back,
            "caution": instance.caution,
        }


class RequestedSerializer(serializers.Serializer[Any]):
    """What was asked for: measured before, or waiting for its job."""

    evaluations = EvaluationSerializer(many=True)


class EvaluateSerializer(serializers.Serializer[Any]):
    suite = serializers.UUIDField(
        required=False, allow_null=True, default=None, help_text="Left out: what every adapter is run on."
    )
    again = serializers.BooleanField(default=False, help_text="Measure once more what was measured before.")


class SuiteSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    name = serializers.CharField()
    kind = serializers.ChoiceField(choices=EvaluationSuite.Kind.choices)
    owner = serializers.CharField(allow_null=True)
    visibility = serializers.ChoiceField(choices=EvaluationSuite.Visibility.choices)
    base = serializers.CharField(allow_null=True, help_text="The only base that it is meant for.")
    count = serializers.IntegerField(help_text="Examples; of built-in suites, for each task.")
    created_at = serializers.DateTimeField()

    def to_representation(self, instance: EvaluationSuite) -> dict[str, Any]:
        return {
            "id": str(instance.pk),
            "name": instance.name,
            "kind": instance.kind,
            "owner": instance.owner.username if instance.owner else None,
            "visibility": "public" if instance.kind == EvaluationSuite.Kind.BUILTIN else instance.visibility,
            "base": instance.base.name if instance.base else None,
            "count": instance.count,
            "created_at": instance.created_at.isoformat(),
        }


class SuiteCreateSerializer(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=100)
    lines = serializers.CharField(
        trim_whitespace=False, help_text='JSON lines: {"prompt": …, "expected": …, "task": …}; task is optional.'
    )
    visibility = serializers.ChoiceField(choices=EvaluationSuite.Visibility.choices, default="private")
    base = serializers.CharField(max_length=160, required=False, default="", allow_blank=True)


class SuiteEditSerializer(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=100, required=False)
    visibility = serializers.ChoiceField(choices=EvaluationSuite.Visibility.choices, required=False)
