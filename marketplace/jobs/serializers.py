"""Jobs in REST; the values come from ``selectors.full_state``."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from marketplace.jobs import selectors
from marketplace.jobs.models import Job


class LogLineSerializer(serializers.Serializer[Any]):
    at = serializers.FloatField(help_text="Unix time in seconds.")
    message = serializers.CharField()


class JobErrorSerializer(serializers.Serializer[Any]):
    code = serializers.CharField()
    message = serializers.CharField()


class JobSerializer(serializers.Serializer[Any]):
    """A job as its owner sees it, with the newest progress that is known."""

    id = serializers.UUIDField()
    kind = serializers.CharField()
    title = serializers.CharField()
    state = serializers.ChoiceField(choices=Job.State.choices)
    attempt = serializers.IntegerField()
    cancel_requested = serializers.BooleanField()
    progress = serializers.FloatField(min_value=0, max_value=1)
    message = serializers.CharField()
    log = LogLineSerializer(many=True)
    waiting_before = serializers.IntegerField(help_text="Older jobs in the same queue, while this one waits.")
    result = serializers.JSONField(allow_null=True)
    error = JobErrorSerializer(allow_null=True)
    peak_memory_mb = serializers.IntegerField()
    created_at = serializers.DateTimeField()
    started_at = serializers.DateTimeField(allow_null=True)
    finished_at = serializers.DateTimeField(allow_null=True)

    def to_representation(self, instance: Job) -> dict[str, Any]:
        return selectors.full_state(instance)


class JobSummarySerializer(serializers.Serializer[Any]):
    """A job in a list: everything but the log and the result, which may be long."""

    id = serializers.UUIDField()
    kind = serializers.CharField()
    title = serializers.CharField()
    state = serializers.ChoiceField(choices=Job.State.choices)
    attempt = serializers.IntegerField()
    cancel_requested = serializers.BooleanField()
    progress = serializers.FloatField(min_value=0, max_value=1)
    message = serializers.CharField()
    waiting_before = serializers.IntegerField()
    error = JobErrorSerializer(allow_null=True)
    peak_memory_mb = serializers.IntegerField()
    created_at = serializers.DateTimeField()
    started_at = serializers.DateTimeField(allow_null=True)
    finished_at = serializers.DateTimeField(allow_null=True)

    def to_representation(self, instance: Job) -> dict[str, Any]:
        return summary(selectors.full_state(instance))


_SUMMARY = tuple(JobSummarySerializer().fields)


def summary(state: dict[str, Any]) -> dict[str, Any]:
    """What a list shows of a ``selectors.full_state``."""
    return {name: state[name] for name in _SUMMARY}


class JobFilterSerializer(serializers.Serializer[Any]):
    """Filters of the list; ``state`` may be given several times."""

    state = serializers.MultipleChoiceField(choices=Job.State.choices, required=False)
    kind = serializers.CharField(required=False, max_length=20)
