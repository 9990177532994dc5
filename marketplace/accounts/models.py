"""People and their API tokens."""

from __future__ import annotations

from django.contrib.auth.models import AbstractUser
from django.core.validators import RegexValidator
from django.db import models
from django.db.models.functions import Lower
from django.utils import timezone

OWNER_NAME = RegexValidator(
    r"^[A-Za-z0-9](?:[A-Za-z0-9_-]{0,37}[A-Za-z0-9])?$",
    "Use 1 to 39 letters, digits, hyphens or underscores; begin and end with a letter or digit.",
)


class User(AbstractUser):
    """A person, and at once the owner in ``owner/name``. ``quota_bytes`` None means the site's default."""

    username = models.CharField(
        max_length=39, unique=True, validators=[OWNER_NAME], error_messages={"unique": "This name is taken."}
    )
    email = models.EmailField(blank=True)
    display_name = models.CharField(max_length=80, blank=True)
    quota_bytes = models.BigIntegerField(null=True, blank=True)
    #: When the account will be erased, as long as its owner can still take that back.
    closing_at = models.DateTimeField(null=True, blank=True)
    #: When it was erased: what is left is the name, which nobody else gets.
    erased_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(Lower("username"), name="accounts_user_username_ci")]
        permissions = [("moderate", "May quarantine, restore and remove adapters")]


class Token(models.Model):
    """An API token. Only its sha256 is kept; ``prefix`` lets its owner recognise it."""

    class Scope(models.TextChoices):
        READ = "read", "Read"
        WRITE = "write", "Read and write"

    owner = models.ForeignKey(User, on_delete=models.CASCADE, related_name="tokens")
    name = models.CharField(max_length=80)
    prefix = models.CharField(max_length=12)
    digest = models.CharField(max_length=64, unique=True)
    scope = models.CharField(max_length=8, choices=Scope.choices, default=Scope.READ)
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"{self.prefix}… ({self.name})"

    @property
    def is_live(self) -> bool:
        return self.revoked_at is None and (self.expires_at is None or self.expires_at > timezone.now())
