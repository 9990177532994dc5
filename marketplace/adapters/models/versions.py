"""Commits, their trees and what they were made from."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone

from marketplace.adapters.models.adapter import Adapter
from marketplace.adapters.models.files import Artifact, Blob


class Version(models.Model):
    """One immutable commit. ``commit`` is the 40-hex digest of the canonical commit object."""

    adapter = models.ForeignKey(Adapter, on_delete=models.CASCADE, related_name="versions")
    artifact = models.ForeignKey(Artifact, on_delete=models.PROTECT, related_name="versions")
    commit = models.CharField(max_length=40)
    parent = models.ForeignKey("self", null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    author = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    message = models.CharField(max_length=300)
    #: contracts.common.PromptFormat
    prompt_format = models.JSONField(default=dict)
    #: How this version was made (a merge's recipe), replayable; None for an upload.
    recipe = models.JSONField(null=True, blank=True)
    #: Whether its weights were found here from examples, from that half of them that is not for judging it.
    fitted_on_half = models.BooleanField(default=False)
    created_at = models.DateTimeField(default=timezone.now)
    #: A yanked version is found by its commit alone: nothing new is built on it (PEP 592 has the idea).
    yanked_at = models.DateTimeField(null=True, blank=True)
    yank_reason = models.CharField(max_length=300, blank=True)
    #: A deprecated version still works; ``superseded_by`` says what to take instead, where there is something.
    deprecated_at = models.DateTimeField(null=True, blank=True)
    deprecation = models.CharField(max_length=300, blank=True)
    superseded_by = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.SET_NULL, related_name="supersedes"
    )

    class Meta:
        ordering = ["-created_at", "-id"]
        constraints = [models.UniqueConstraint(fields=["adapter", "commit"], name="adapters_version_commit")]

    def __str__(self) -> str:
        return f"{self.adapter_id}@{self.commit[:8]}"


class VersionFile(models.Model):
    """One path of a version's tree."""

    version = models.ForeignKey(Version, on_delete=models.CASCADE, related_name="files")
    path = models.CharField(max_length=255)
    blob = models.ForeignKey(Blob, on_delete=models.PROTECT, related_name="+")

    class Meta:
        ordering = ["path"]
        constraints = [models.UniqueConstraint(fields=["version", "path"], name="adapters_versionfile_path")]

    def __str__(self) -> str:
        return self.path


class Lineage(models.Model):
    """``child`` was made from ``parent`` (with ``weight``) by ``operation``."""

    child = models.ForeignKey(Version, on_delete=models.CASCADE, related_name="parents")
    parent = models.ForeignKey(Version, on_delete=models.PROTECT, related_name="children")
    weight = models.FloatField(default=1.0)
    operation = models.CharField(max_length=40)
    position = models.PositiveIntegerField(default=0)

    class Meta:
        ordering = ["position"]
        constraints = [models.UniqueConstraint(fields=["child", "position"], name="adapters_lineage_position")]

    def __str__(self) -> str:
        return f"{self.parent_id} → {self.child_id}"
