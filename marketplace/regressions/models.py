"""What people have evaluated again and again, and what came out each time."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone

from marketplace.adapters.models import Adapter
from marketplace.bases.models import Base
from marketplace.compositions.models import Composition
from marketplace.evaluations.models import EvaluationRun, EvaluationSuite


class Watch(models.Model):
    """An adapter or a mix that one person wants evaluated regularly.

    ``seen_*`` is what the last check ran on: when the base's source or revision, or the engine, is another by now, the
    next check is due whatever the schedule says. A watch that was stopped stays until its next time has come: stopping
    and starting again gives no evaluation out of turn.
    """

    class Every(models.TextChoices):
        DAILY = "daily", "Daily"
        WEEKLY = "weekly", "Weekly"

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="watches")
    adapter = models.ForeignKey(Adapter, null=True, on_delete=models.CASCADE, related_name="watches")
    mix = models.ForeignKey(Composition, null=True, on_delete=models.CASCADE, related_name="watches")
    #: The name as the owner may know it: a subject that was made private and renamed keeps its new name to itself.
    label = models.CharField(max_length=200)
    every = models.CharField(max_length=6, choices=Every.choices, default=Every.WEEKLY)
    next_at = models.DateTimeField(default=timezone.now)
    base = models.ForeignKey(Base, null=True, on_delete=models.SET_NULL, related_name="+")
    seen_source = models.CharField(max_length=500, blank=True)
    seen_revision = models.CharField(max_length=200, blank=True)
    seen_engine = models.CharField(max_length=40, blank=True)
    #: Why the last check could not be made, empty when it could.
    fault = models.TextField(blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    stopped_at = models.DateTimeField(null=True)
    #: Its newest checks, where a selector has read them.
    newest: list[Check]

    class Meta:
        ordering = ["-created_at", "-id"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(adapter=None) ^ models.Q(mix=None), name="regressions_watch_one_subject"
            ),
            models.UniqueConstraint(fields=["owner", "adapter"], name="regressions_watch_adapter_once"),
            models.UniqueConstraint(fields=["owner", "mix"], name="regressions_watch_mix_once"),
        ]
        indexes = [models.Index(fields=["next_at"], name="regressions_watch_due")]

    def __str__(self) -> str:
        return f"{self.every}: {self.label}"

    @property
    def subject(self) -> Adapter | Composition:
        found = self.adapter or self.mix
        assert found is not None, "a constraint holds it"
        return found

    @property
    def is_due(self) -> bool:
        return self.next_at <= timezone.now()


class Check(models.Model):
    """One watched thing on one suite at one time, beside the time before."""

    class Reason(models.TextChoices):
        FIRST = "first", "First time"
        SCHEDULE = "schedule", "On schedule"
        BASE = "base", "Another revision of the base"
        ENGINE = "engine", "Another version of the engine"

    class Outcome(models.TextChoices):
        WAITING = "waiting", "Being evaluated"
        FIRST = "first", "First result"
        WITHIN = "within", "Within the interval"
        BETTER = "better", "Better than before"
        WORSE = "worse", "Worse than before"
        FAILED = "failed", "Could not be evaluated"

    watch = models.ForeignKey(Watch, on_delete=models.CASCADE, related_name="checks")
    suite = models.ForeignKey(EvaluationSuite, on_delete=models.CASCADE, related_name="+")
    #: None once it is gone: what could not be made is forgotten when it is tried again.
    run = models.ForeignKey(EvaluationRun, null=True, on_delete=models.SET_NULL, related_name="+")
    before = models.ForeignKey(EvaluationRun, null=True, on_delete=models.SET_NULL, related_name="+")
    #: What slow changes are held against: the first result, or the last one that was taken as the reference.
    reference = models.ForeignKey(EvaluationRun, null=True, on_delete=models.SET_NULL, related_name="+")
    #: When its run was taken as the reference of the checks to come.
    taken_at = models.DateTimeField(null=True)
    reason = models.CharField(max_length=8, choices=Reason.choices)
    outcome = models.CharField(max_length=7, choices=Outcome.choices, default=Outcome.WAITING)
    #: Why there is no result, empty where there is one.
    fault = models.TextField(blank=True)
    #: What is compared: ``exact_match`` or ``token_f1``.
    metric = models.CharField(max_length=20, blank=True)
    #: {"value", "low", "high", "n"}: this run minus the one before, paired by example; None where pairs were not to be
    #: had, and the value was held against the interval before.
    difference = models.JSONField(null=True)
    #: The same two against ``reference``; empty where there is none.
    since = models.CharField(max_length=7, choices=Outcome.choices, blank=True)
    since_difference = models.JSONField(null=True)
    created_at = models.DateTimeField(default=timezone.now)
    settled_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-created_at", "-id"]
        indexes = [
            models.Index(fields=["watch", "suite", "-created_at"], name="regressions_check_history"),
            models.Index(
                fields=["created_at"], condition=models.Q(outcome="waiting"), name="regressions_check_waiting"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.watch_id} on {self.suite_id}: {self.outcome}"
