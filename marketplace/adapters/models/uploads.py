"""Files on their way to an adapter."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models
from django.utils import timezone

from marketplace.adapters.models.adapter import Adapter
from marketplace.adapters.models.files import Artifact


class Upload(models.Model):
    """Files that arrived and are checked, before they are published under a name (or after: ``adapter`` is set)."""

    class State(models.TextChoices):
        READY = "ready", "Ready to publish"
        REFUSED = "refused", "Refused"
        PUBLISHED = "published", "Published"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="uploads")
    state = models.CharField(max_length=10, choices=State.choices, default=State.READY)
    artifact = models.ForeignKey(Artifact, null=True, blank=True, on_delete=models.PROTECT, related_name="uploads")
    #: Problems found before any worker looked: missing files, pickles, unreadable zip (list of Problem).
    problems = models.JSONField(default=list)
    files = models.JSONField(default=list)  # [{path, sha256, git_sha1, size}]
    #: Suggestions read from an uploaded README.md's front matter.
    suggested = models.JSONField(default=dict)
    adapter = models.ForeignKey(Adapter, null=True, blank=True, on_delete=models.SET_NULL, related_name="uploads")
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return str(self.id)
