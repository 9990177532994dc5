"""Files on their way to an adapter."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models
from django.utils import timezone

from inference_worker.blobs import PartialState
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


class PartialUpload(models.Model):
    """One file that arrives in pieces (tus), until it and its companions become an ``Upload``."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="partial_uploads")
    #: What the sender calls the file, with forward slashes.
    path = models.CharField(max_length=500)
    length = models.BigIntegerField()
    #: How much is known to have arrived. A disk may know of more, when the process was killed.
    offset = models.BigIntegerField(default=0)
    #: ``Upload-Metadata`` as it was sent; the protocol wants it back unchanged.
    metadata = models.TextField(blank=True)
    #: Files with the same group belong to one adapter; chosen by the sender.
    group = models.CharField(max_length=64, blank=True)
    #: By which the sender recognises the file when it is chosen again.
    fingerprint = models.CharField(max_length=200, blank=True)
    #: What the sender says that the bytes hash to.
    declared_sha256 = models.CharField(max_length=64, blank=True)
    #: Known once everything arrived.
    sha256 = models.CharField(max_length=64, blank=True)
    git_sha1 = models.CharField(max_length=40, blank=True)
    #: The multipart upload in the bucket (``PartialState`` without its offset).
    multipart = models.JSONField(default=dict)
    #: What it was made into; its bytes have gone there, and the row answers a sender who did not hear of it.
    upload = models.ForeignKey(Upload, null=True, blank=True, on_delete=models.SET_NULL, related_name="parts")
    used_at = models.DateTimeField(null=True, blank=True)
    expires_at = models.DateTimeField(db_index=True)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["created_at", "id"]
        indexes = [models.Index(fields=["owner", "created_at", "id"], name="adapters_partialupload_owner")]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(offset__gte=0, offset__lte=models.F("length")), name="adapters_partialupload_offset"
            )
        ]

    def __str__(self) -> str:
        return f"{self.path}: {self.offset} of {self.length}"

    @property
    def is_complete(self) -> bool:
        """Everything arrived and its digests are known."""
        return bool(self.sha256)

    @property
    def state(self) -> PartialState:
        """What the store needs to know to go on."""
        kept = self.multipart
        return PartialState(
            offset=self.offset,
            upload=kept.get("upload", ""),
            parts=tuple(kept.get("parts", ())),
            tail=kept.get("tail", 0),
        )
