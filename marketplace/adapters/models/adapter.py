"""The adapter: a name, who it belongs to, who may see it, and what its owner says about it."""

from __future__ import annotations

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.search import SearchVectorField
from django.core.validators import RegexValidator
from django.db import models
from django.db.models.functions import Lower
from django.utils import timezone
from pgvector.django import VectorField

ADAPTER_NAME = RegexValidator(
    r"^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9])?$",
    "Use 1 to 96 letters, digits, dots, hyphens or underscores; begin and end with a letter or digit.",
)


class Adapter(models.Model):
    """``owner/name``. The columns for search are a cache of the card's front matter of the current version."""

    class Visibility(models.TextChoices):
        PUBLIC = "public", "Public"
        #: Everybody sees it; whoever wants its files or answers from it asks its owner first.
        GATED = "gated", "Gated"
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
    #: What people read, and agree to, before they ask for a gated adapter.
    gate_terms = models.TextField(blank=True)
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
    likes = models.PositiveIntegerField(default=0)
    search = SearchVectorField(null=True, editable=False)
    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(default=timezone.now)
    deleted_at = models.DateTimeField(null=True, blank=True)
    #: When a deleted adapter's bytes went for good, so that it cannot be restored any more.
    purged_at = models.DateTimeField(null=True, blank=True)

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
