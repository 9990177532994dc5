"""One usage row per generation."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone


class Usage(models.Model):
    """What one generation took; prompts and answers are not kept."""

    request = models.CharField(max_length=64, unique=True)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    base = models.ForeignKey("bases.Base", null=True, on_delete=models.SET_NULL, related_name="+")
    versions = models.JSONField(default=list)
    prompt_tokens = models.PositiveIntegerField(default=0)
    completion_tokens = models.PositiveIntegerField(default=0)
    seconds = models.FloatField(default=0.0)
    finish_reason = models.CharField(max_length=12, blank=True)
    created_at = models.DateTimeField(default=timezone.now, db_index=True)

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return self.request
