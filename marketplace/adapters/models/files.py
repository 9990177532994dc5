"""Bytes and what was measured on them."""

from __future__ import annotations

from django.db import models
from django.utils import timezone
from pgvector.django import HalfVectorField


class Blob(models.Model):
    """Bytes in the blob store, by their sha256; ``git_sha1`` is the digest of git's blob object of the same bytes."""

    sha256 = models.CharField(max_length=64, primary_key=True)
    git_sha1 = models.CharField(max_length=40, db_index=True)
    size = models.BigIntegerField()
    created_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return self.sha256[:12]


class Artifact(models.Model):
    """Weights + config, shared by every version that has the same bytes."""

    class State(models.TextChoices):
        PENDING = "pending", "Waiting for its check"
        VALIDATING = "validating", "Being checked"
        VALID = "valid", "Valid"
        INVALID = "invalid", "Not accepted"

    config_blob = models.ForeignKey(Blob, on_delete=models.PROTECT, related_name="+")
    weights_blob = models.ForeignKey(Blob, on_delete=models.PROTECT, related_name="+")
    state = models.CharField(max_length=10, choices=State.choices, default=State.PENDING, db_index=True)
    problems = models.JSONField(default=list)  # list of contracts.common.Problem
    summary = models.JSONField(default=dict)  # contracts.inspect.AdapterSummary
    modules = models.JSONField(default=list)  # list of contracts.inspect.ModuleStats
    signature = HalfVectorField(dimensions=256, null=True, blank=True)
    base = models.ForeignKey("bases.Base", null=True, blank=True, on_delete=models.SET_NULL, related_name="artifacts")
    rank = models.PositiveIntegerField(default=0)
    size = models.BigIntegerField(default=0)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["config_blob", "weights_blob"], name="adapters_artifact_bytes")]

    def __str__(self) -> str:
        return f"artifact {self.pk} ({self.state})"
