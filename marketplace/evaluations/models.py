"""Suites of examples, runs of a composition on a suite, what of them
its owner hides, and where an adapter stands by its newest ones."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models
from django.urls import reverse
from django.utils import timezone

from marketplace.adapters.models import Adapter, Artifact
from marketplace.bases.models import Base
from marketplace.jobs.models import Job


class EvaluationSuite(models.Model):
    """Prompts with expected answers. The examples of a row never change: other examples are another row.

    Those of the engine are known by name (``builtin``, with ``count`` examples of each task), all others lie in the
    blob store as JSON lines.
    """

    class Kind(models.TextChoices):
        BUILTIN = "builtin", "Built in"
        #: What the owner of an adapter says that it is asked, where the expected answer is known.
        EXAMPLES = "examples", "The adapter's own examples"
        #: The examples of everything that an adapter was made from; the task of each is its parent's name.
        PARENTS = "parents", "The parents' examples"
        OWN = "own", "Uploaded"

    class Visibility(models.TextChoices):
        PRIVATE = "private", "Private"
        PUBLIC = "public", "Public"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    kind = models.CharField(max_length=8, choices=Kind.choices, default=Kind.OWN)
    name = models.CharField(max_length=100)
    #: Whose it is; nobody's for built-in ones and for examples, which belong to their adapter.
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.CASCADE, related_name="suites"
    )
    adapter = models.ForeignKey(Adapter, null=True, blank=True, on_delete=models.CASCADE, related_name="suites")
    visibility = models.CharField(max_length=7, choices=Visibility.choices, default=Visibility.PRIVATE)
    #: The only base that it is meant for; None for any.
    base = models.ForeignKey(Base, null=True, blank=True, on_delete=models.CASCADE, related_name="suites")
    #: What every adapter of ``base`` is run on, to see what it forgets.
    probe = models.BooleanField(default=False)
    builtin = models.CharField(max_length=100, blank=True)
    #: Of the blob of JSON lines; empty for built-in ones.
    sha256 = models.CharField(max_length=64, blank=True)
    #: Examples in all; of built-in suites, examples of each task.
    count = models.PositiveIntegerField()
    #: How prompts are put to the model (contracts.common.PromptFormat); None leaves it to what is evaluated.
    prompt_format = models.JSONField(null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-created_at", "-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["base", "builtin"], condition=models.Q(kind="builtin"), name="evaluations_suite_builtin"
            ),
            models.UniqueConstraint(
                fields=["adapter", "kind", "sha256"],
                condition=models.Q(adapter__isnull=False),
                name="evaluations_suite_of_adapter",
            ),
            models.UniqueConstraint(
                fields=["base"], condition=models.Q(probe=True), name="evaluations_suite_one_probe"
            ),
            models.CheckConstraint(
                condition=models.Q(builtin="") ^ models.Q(sha256=""), name="evaluations_suite_one_source"
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("suite", args=[self.pk])


class EvaluationRun(models.Model):
    """One composition of a base on one suite.

    ``key`` is the digest of everything that the result depends on: engine's version, members, base with its source and
    revision, suite, settings, prompt format. While
    one is waiting there is no second one; what was measured is found by its key instead of being measured again.
    """

    class State(models.TextChoices):
        WAITING = "waiting", "Being evaluated"
        MEASURED = "measured", "Measured"
        FAILED = "failed", "Could not be evaluated"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    key = models.CharField(max_length=64, db_index=True)
    #: The members: [{"label", "config", "weights", "weight", "version"}], with "ensemble" where they vote; empty for
    #: the bare base.
    subject = models.JSONField(default=list)
    subject_digest = models.CharField(max_length=64, db_index=True)
    #: Where the subject is one adapter at full weight; the run goes when its bytes go.
    artifact = models.ForeignKey(Artifact, null=True, blank=True, on_delete=models.CASCADE, related_name="runs")
    base = models.ForeignKey(Base, on_delete=models.CASCADE, related_name="runs")
    suite = models.ForeignKey(EvaluationSuite, on_delete=models.CASCADE, related_name="runs")
    options = models.JSONField(default=dict)  # contracts.evaluate.EvaluationSettings
    prompt_format = models.JSONField(default=dict)  # contracts.common.PromptFormat
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    job = models.ForeignKey(Job, null=True, blank=True, on_delete=models.SET_NULL, related_name="runs")
    state = models.CharField(max_length=8, choices=State.choices, default=State.WAITING)
    fault = models.TextField(blank=True)
    #: {"overall": {metric: Estimate}, "tasks": {task: {metric: Estimate}}, "clusters": …}
    estimates = models.JSONField(default=dict)
    #: The bare base on the same examples; None for the bare base itself.
    against = models.ForeignKey("self", null=True, blank=True, on_delete=models.SET_NULL, related_name="compared")
    #: {metric: Estimate} of this minus ``against``, paired by example.
    difference = models.JSONField(default=dict)
    #: {run's id: {metric: Estimate}} of this minus other runs on the same suite, for merges: their parents.
    differences = models.JSONField(default=dict)
    #: Blob with the outcomes of the whole job, a JSON list of contracts.evaluate.Evaluation, and the place in it.
    outcomes = models.CharField(max_length=64, blank=True)
    position = models.PositiveIntegerField(default=0)
    seconds = models.FloatField(default=0.0)
    created_at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-created_at", "-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["key"], condition=models.Q(state="waiting"), name="evaluations_run_one_waiting"
            )
        ]
        indexes = [
            models.Index(fields=["suite", "subject_digest"], name="evaluations_run_subject"),
            models.Index(fields=["outcomes"], name="evaluations_run_outcomes"),
        ]

    def __str__(self) -> str:
        return f"{self.label} on {self.suite_id}"

    @property
    def is_ensemble(self) -> bool:
        """Whether its members vote on every token instead of being added up."""
        return any(row.get("ensemble") for row in self.subject)

    @property
    def label(self) -> str:
        """The members' names, with weights other than 1."""
        names = [row["label"] + (f" × {row['weight']:g}" if row["weight"] != 1.0 else "") for row in self.subject]
        return (" | " if self.is_ensemble else " + ").join(names) or "the bare base"


class HiddenResult(models.Model):
    """The owner of an adapter keeps its results on a suite of somebody's off its pages. What was measured stays."""

    adapter = models.ForeignKey(Adapter, on_delete=models.CASCADE, related_name="hidden_results")
    suite = models.ForeignKey(EvaluationSuite, on_delete=models.CASCADE, related_name="hidden_results")
    hidden_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["adapter", "suite"], name="evaluations_hiddenresult_once"),
        ]

    def __str__(self) -> str:
        return f"{self.adapter_id} on {self.suite_id}"


class Standing(models.Model):
    """What the automatic runs of an adapter as it is now say of it, for filters and order in the catalogue."""

    class Verdict(models.TextChoices):
        BETTER = "better", "Better than its base"
        NO_EFFECT = "no_effect", "No effect"
        WORSE = "worse", "Worse than its base"
        UNCLEAR = "unclear", "Unclear"

    adapter = models.OneToOneField(Adapter, on_delete=models.CASCADE, related_name="standing")
    #: On its own examples, a merge's on its parents'; empty while nothing was measured.
    verdict = models.CharField(max_length=9, choices=Verdict.choices, blank=True)
    #: Mean over those examples of what it scores above its base in exact match, from -1 to 1, and the lower end of its
    #: 95 % interval; None of too few examples, and where token F1 is what counts: the two are no one scale.
    gain = models.FloatField(null=True, blank=True)
    gain_low = models.FloatField(null=True, blank=True)
    #: Whether it forgets what its base could do; None where that was not measured or is unclear.
    forgets = models.BooleanField(null=True, blank=True)
    #: Suite -> key of the run that measures it as it is now; on these suites no other run speaks of it.
    keys = models.JSONField(default=dict)
    #: Of what the runs were asked for (artefact, base, suites, prompt format), so that a change is noticed.
    digest = models.CharField(max_length=64, blank=True)
    #: The suites that it is measured on now; runs on others belong to earlier examples.
    suites = models.ManyToManyField(EvaluationSuite, related_name="standings")
    updated_at = models.DateTimeField(default=timezone.now)
    #: Source and revision of the base, and the engine's version, that it was asked for: others are another measurement.
    ran_on = models.TextField(blank=True)
    #: How often it failed since it changed, and when it is tried again; None where it is not.
    tries = models.PositiveSmallIntegerField(default=0)
    again_at = models.DateTimeField(null=True, blank=True)
    #: When a merge's copies of its parents' examples were last compared with what its owner may use.
    settled_at = models.DateTimeField(default=timezone.now)

    class Meta:
        indexes = [models.Index(fields=["-gain_low", "-adapter"], name="evaluations_standing_gain")]

    def __str__(self) -> str:
        return f"{self.adapter_id}: {self.verdict or 'unknown'}"
