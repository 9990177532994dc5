"""Saved compositions: ``mix/owner/name``, which can be named wherever a model can."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models.functions import Lower
from django.utils import timezone

from marketplace.adapters.models import ADAPTER_NAME
from marketplace.compositions.pairs.models import PairMeasure

__all__ = ["Composition", "CompositionMember", "PairMeasure"]


class Composition(models.Model):
    """A way to answer with several adapters of one base. Nothing is computed for it: the engine adds the members up
    while it answers."""

    class Visibility(models.TextChoices):
        PUBLIC = "public", "Public"
        PRIVATE = "private", "Private"

    class Strategy(models.TextChoices):
        FIXED = "fixed", "Fixed weights"

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="compositions")
    name = models.CharField(max_length=96, validators=[ADAPTER_NAME])
    visibility = models.CharField(max_length=8, choices=Visibility.choices, default=Visibility.PRIVATE)
    strategy = models.CharField(max_length=12, choices=Strategy.choices, default=Strategy.FIXED)
    #: The members' base when it was saved.
    base = models.ForeignKey("bases.Base", null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    description = models.TextField(max_length=2000, blank=True)
    #: What was evaluated last without anybody having asked (``mix_runs.Course.digest``), and when it was looked at:
    #: members that are followed have new versions or examples, members of a new mix may still be checked.
    evaluated = models.CharField(max_length=64, blank=True, editable=False)
    looked_at = models.DateTimeField(null=True, blank=True, editable=False)
    #: How often it failed since it changed, and when it is tried again; None where it is not.
    tries = models.PositiveSmallIntegerField(default=0, editable=False)
    again_at = models.DateTimeField(null=True, blank=True, editable=False)
    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-updated_at", "-id"]
        constraints = [
            models.UniqueConstraint("owner", Lower("name"), name="compositions_composition_owner_name"),
        ]
        indexes = [
            models.Index(fields=["-updated_at", "-id"], name="compositions_recent"),
            models.Index(fields=["looked_at"], name="compositions_looked_at"),
        ]

    def __str__(self) -> str:
        return self.full_name

    def get_absolute_url(self) -> str:
        return f"/{self.full_name}"

    @property
    def full_name(self) -> str:
        return f"mix/{self.owner.username}/{self.name}"


class CompositionMember(models.Model):
    """One adapter of a composition. ``label`` is its name when it was saved, for saying that it is gone."""

    composition = models.ForeignKey(Composition, on_delete=models.CASCADE, related_name="members")
    position = models.PositiveSmallIntegerField()
    adapter = models.ForeignKey("adapters.Adapter", null=True, on_delete=models.SET_NULL, related_name="+")
    label = models.CharField(max_length=140)
    #: The version that is pinned; empty follows the adapter's latest.
    commit = models.CharField(max_length=40, blank=True)
    #: Factor of the member's Δ, negative to subtract it. Weights are never renormalised.
    weight = models.FloatField(default=1.0)

    class Meta:
        ordering = ["position"]
        constraints = [
            models.UniqueConstraint(fields=["composition", "position"], name="compositions_member_position"),
            models.UniqueConstraint(fields=["composition", "adapter", "commit"], name="compositions_member_once"),
        ]

    def __str__(self) -> str:
        return f"{self.weight:g} × {self.label}"
