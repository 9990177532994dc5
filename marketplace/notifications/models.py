"""What somebody is told on the site and, unless they said otherwise, by e-mail."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone


class Kind(models.TextChoices):
    """What notifications are about, as people choose letters by it."""

    REGRESSION = "regression", "An evaluation left its interval"
    ACCESS = "access", "Access to adapters: requests, answers, shares"
    TRANSFER = "transfer", "Adapters that are offered to you, and answers to your offers"
    MODERATION = "moderation", "What moderators decide on your adapters"


class Notification(models.Model):
    """One thing that somebody is told. ``address`` is a path on this site."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="notifications")
    kind = models.CharField(max_length=20, choices=Kind.choices)
    title = models.CharField(max_length=200)
    text = models.TextField(blank=True)
    address = models.CharField(max_length=300)
    created_at = models.DateTimeField(default=timezone.now)
    read_at = models.DateTimeField(null=True, blank=True)
    #: When the letter was sent, None where none was.
    mailed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-created_at", "-id"]
        indexes = [
            models.Index(fields=["user", "-created_at", "-id"], name="notifications_newest"),
            models.Index(fields=["user"], condition=models.Q(read_at=None), name="notifications_unread"),
            models.Index(fields=["created_at"], name="notifications_age"),
        ]

    def __str__(self) -> str:
        return self.title


class MutedLetter(models.Model):
    """Somebody wants no letters of one kind. What is told on the site stays."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="muted_letters")
    kind = models.CharField(max_length=20, choices=Kind.choices)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "kind"], name="notifications_mutedletter_once")]

    def __str__(self) -> str:
        return f"{self.user_id}: no {self.kind}"
