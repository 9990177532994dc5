"""Blobs, artefacts, versions, adapters: see "Data" in the architecture.

An **artefact** is weights + config and carries what was measured; a **version** is a commit of a tree of files and
points at an artefact; an **adapter** is the name people know. A change of the card alone makes a new version on the
same artefact, so nothing is checked twice.
"""

from __future__ import annotations

import uuid

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.search import SearchVectorField
from django.core.validators import RegexValidator
from django.db import models
from django.db.models.functions import Lower
from django.utils import timezone
from pgvector.django import HalfVectorField, VectorField

ADAPTER_NAME = RegexValidator(
    r"^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9])?$",
    "Use 1 to 96 letters, digits, dots, hyphens or underscores; begin and end with a letter or digit.",
)


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


class Adapter(models.Model):
    """``owner/name``. The columns for search are a cache of the card's front matter of the current version."""

    class Visibility(models.TextChoices):
        PUBLIC = "public", "Public"
        PRIVATE = "private", "Private"

    class Moderation(models.TextChoices):
        VISIBLE = "visible", "Visible"
        QUARANTINED = "quarantined", "Quarantined"
        REMOVED = "removed", "Removed"

    class Origin(models.TextChoices):
        UPLOAD = "upload", "Uploaded"
        MERGE = "merge", "Merged"

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="adapters")
    name = models.CharField(max_length=96, validators=[ADAPTER_NAME])
    visibility = models.CharField(max_length=8, choices=Visibility.choices, default=Visibility.PRIVATE)
    #: Why an adapter must stay private (a licence that forbids sharing the merge), empty when it may be published.
    private_reason = models.TextField(blank=True)
    moderation = models.CharField(max_length=12, choices=Moderation.choices, default=Moderation.VISIBLE)
    origin = models.CharField(max_length=8, choices=Origin.choices, default=Origin.UPLOAD)
    title = models.CharField(max_length=120, blank=True)
    description = models.TextField(blank=True)
    license = models.CharField(max_length=60, blank=True)
    tags = ArrayField(models.CharField(max_length=40), default=list, blank=True)
    base = models.ForeignKey("bases.Base", null=True, blank=True, on_delete=models.SET_NULL, related_name="adapters")
    base_name = models.CharField(max_length=300, blank=True)  # as the config says it
    current = models.ForeignKey("Version", null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    downloads = models.PositiveBigIntegerField(default=0)
    search = SearchVectorField(null=True, editable=False)
    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(default=timezone.now)
    deleted_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-created_at", "-id"]
        constraints = [
            # A deleted name is not reused, so the constraint covers tombstones too.
            models.UniqueConstraint("owner", Lower("name"), name="adapters_adapter_owner_name")
        ]
        indexes = [
            GinIndex(fields=["search"], name="adapters_adapter_search"),
            GinIndex(fields=["tags"], name="adapters_adapter_tags"),
            models.Index(fields=["-created_at", "-id"], name="adapters_adapter_recent"),
            models.Index(fields=["-downloads", "-id"], name="adapters_adapter_popular"),
        ]

    def __str__(self) -> str:
        return self.full_name

    def get_absolute_url(self) -> str:
        return f"/{self.full_name}"

    @property
    def full_name(self) -> str:
        return f"{self.owner.username}/{self.name}"


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
    created_at = models.DateTimeField(default=timezone.now)

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


class ExamplePrompt(models.Model):
    """An example of what the adapter is asked, with the expected answer where it is known. Private by default."""

    adapter = models.ForeignKey(Adapter, on_delete=models.CASCADE, related_name="examples")
    position = models.PositiveIntegerField(default=0)
    prompt = models.TextField(max_length=4000)
    expected = models.TextField(max_length=4000, blank=True)
    public = models.BooleanField(default=False)

    class Meta:
        ordering = ["position"]

    def __str__(self) -> str:
        return self.prompt[:60]


class Embedding(models.Model):
    """A vector of an adapter's current visible version. Vectors of different encoders have different lengths."""

    class Kind(models.TextChoices):
        DESCRIPTION = "description", "Description"
        EXAMPLES = "examples", "Examples"

    adapter = models.ForeignKey(Adapter, on_delete=models.CASCADE, related_name="embeddings")
    encoder = models.CharField(max_length=120)
    kind = models.CharField(max_length=12, choices=Kind.choices)
    text_digest = models.CharField(max_length=64)
    embedding = VectorField()
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["adapter", "encoder", "kind"], name="adapters_embedding_unique")]

    def __str__(self) -> str:
        return f"{self.kind} of {self.adapter_id}"


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
