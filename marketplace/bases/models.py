"""Base models that adapters belong to."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.urls import reverse
from django.utils import timezone

#: PEFT's task type of what the live workers load.
GENERATES = "CAUSAL_LM"


class Base(models.Model):
    """A base: a hub repository or a directory that the operator configured. Weights are never stored here.

    ``shapes`` maps module names to ``[d_out, d_in]`` as the model of ``task`` has them, ``variants`` those that are
    named otherwise for another task; a worker job reads them on the meta device. ``features`` and ``layers`` follow
    from both and find the bases that may fit an adapter (``marketplace.bases.shapes``).
    """

    class State(models.TextChoices):
        PENDING = "pending", "Being read"
        READY = "ready", "Ready"
        FAILED = "failed", "Could not be read"

    name = models.CharField(max_length=160, unique=True)
    source = models.CharField(max_length=500)
    revision = models.CharField(max_length=100, blank=True)
    state = models.CharField(max_length=10, choices=State.choices, default=State.PENDING)
    fault = models.TextField(blank=True)
    config = models.JSONField(default=dict, blank=True)
    shapes = models.JSONField(default=dict, blank=True)
    variants = models.JSONField(default=dict, blank=True)
    task = models.CharField(max_length=40, blank=True)
    features = ArrayField(models.CharField(max_length=400), default=list, blank=True)
    layers = models.PositiveIntegerField(default=0)
    notes = models.JSONField(default=list, blank=True)
    fingerprint = models.CharField(max_length=64, blank=True, db_index=True)
    tokenizer_hash = models.CharField(max_length=64, blank=True)
    chat_template = models.TextField(blank=True)
    parameters = models.BigIntegerField(default=0)
    license = models.CharField(max_length=40, blank=True)
    parent = models.ForeignKey("self", null=True, blank=True, on_delete=models.SET_NULL, related_name="children")
    served = models.BooleanField(default=True, help_text="Live workers may load this base.")
    #: Adapters that wait for a base are still to be compared with this one.
    linking = models.BooleanField(default=False)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["name"]
        indexes = [GinIndex(fields=["features"], name="bases_base_features")]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("base", args=[self.name])

    @property
    def generates(self) -> bool:
        """Whether live workers can load it: shapes alone make an encoder fit its adapters, and no text comes out."""
        return self.served and self.state == self.State.READY and self.task in ("", GENERATES)


class BaseAlias(models.Model):
    """Another name for a base: a re-upload, a quantised copy, a former name. In lower case.

    ``canonical`` is the hub's id of what it is a copy of. Rows that come with Brickyard (``shipped``) wait without a
    ``base`` until that one is registered; one that an admin does not want is switched off, so that the next update
    does not bring it back.
    """

    alias = models.CharField(max_length=200, unique=True)
    canonical = models.CharField(max_length=200, blank=True)
    base = models.ForeignKey(Base, null=True, blank=True, on_delete=models.SET_NULL, related_name="aliases")
    shipped = models.BooleanField(default=False, editable=False)
    active = models.BooleanField(default=True, help_text="Whether configs that use this name mean this base.")

    class Meta:
        ordering = ["alias"]
        verbose_name_plural = "base aliases"
        constraints = [
            models.CheckConstraint(
                condition=models.Q(base__isnull=False) | ~models.Q(canonical=""), name="bases_alias_means_something"
            )
        ]

    def __str__(self) -> str:
        return f"{self.alias} → {self.base.name if self.base else self.canonical}"


class BaseChoice(models.Model):
    """The owner's own answer to which base an adapter is of; None stands for "none of those here".

    What is found later by names or shapes never changes it.
    """

    adapter = models.OneToOneField("adapters.Adapter", on_delete=models.CASCADE, related_name="base_choice")
    base = models.ForeignKey(Base, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return f"{self.adapter_id} → {self.base_id}"
