"""Base models that adapters belong to."""

from __future__ import annotations

from django.db import models
from django.utils import timezone


class Base(models.Model):
    """A base: a hub repository or a directory that the operator configured. Weights are never stored here.

    ``shapes`` maps module names to ``[d_out, d_in]``; a worker job reads them on the meta device.
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
    fingerprint = models.CharField(max_length=64, blank=True, db_index=True)
    tokenizer_hash = models.CharField(max_length=64, blank=True)
    chat_template = models.TextField(blank=True)
    parameters = models.BigIntegerField(default=0)
    license = models.CharField(max_length=40, blank=True)
    parent = models.ForeignKey("self", null=True, blank=True, on_delete=models.SET_NULL, related_name="children")
    served = models.BooleanField(default=True, help_text="Live workers may load this base.")
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class BaseAlias(models.Model):
    """Another name for a base: a re-upload, a quantised copy, a local path's last part. Compared in lower case."""

    alias = models.CharField(max_length=200, unique=True)
    base = models.ForeignKey(Base, on_delete=models.CASCADE, related_name="aliases")

    class Meta:
        verbose_name_plural = "base aliases"

    def __str__(self) -> str:
        return f"{self.alias} → {self.base.name}"
