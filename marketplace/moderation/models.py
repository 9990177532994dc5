"""Reports, decisions and the append-only audit log."""

from __future__ import annotations

from django.conf import settings
from django.core.validators import RegexValidator
from django.db import models
from django.utils import timezone


class Report(models.Model):
    """Somebody says that an adapter breaks a rule. Anonymous reports have no ``reporter``."""

    class Reason(models.TextChoices):
        MALICIOUS = "malicious", "Malicious or deceptive"
        ILLEGAL = "illegal", "Illegal content"
        LICENCE = "licence", "Breaks a licence or copyright"
        PRIVACY = "privacy", "Exposes personal data"
        SPAM = "spam", "Spam or name squatting"
        OTHER = "other", "Something else"

    class State(models.TextChoices):
        OPEN = "open", "Open"
        CLOSED = "closed", "Closed"

    adapter = models.ForeignKey("adapters.Adapter", on_delete=models.CASCADE, related_name="reports")
    reporter = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="reports"
    )
    reason = models.CharField(max_length=12, choices=Reason.choices)
    text = models.TextField(max_length=4000, blank=True)
    state = models.CharField(max_length=8, choices=State.choices, default=State.OPEN)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"{self.get_reason_display()}: {self.adapter_id}"


class Decision(models.Model):
    """A moderator's decision with its reason; the newest one of an adapter explains its moderation state."""

    class Action(models.TextChoices):
        QUARANTINE = "quarantine", "Quarantine"
        RESTORE = "restore", "Restore"
        REMOVE = "remove", "Remove"
        DISMISS = "dismiss", "Dismiss the reports"

    adapter = models.ForeignKey("adapters.Adapter", on_delete=models.CASCADE, related_name="decisions")
    moderator = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    action = models.CharField(max_length=12, choices=Action.choices)
    reason = models.TextField(max_length=4000)
    created_at = models.DateTimeField(default=timezone.now)
    #: When the owner was told, None while that is to be done.
    notified_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        ordering = ["-created_at", "-id"]
        indexes = [
            models.Index(fields=["created_at"], condition=models.Q(notified_at=None), name="moderation_decision_untold")
        ]

    def __str__(self) -> str:
        return f"{self.action} {self.adapter_id}"


SHA256 = RegexValidator(r"^[0-9a-f]{64}$", "A sha256 digest has 64 digits, 0 to 9 and a to f.")


class Block(models.Model):
    """Bytes that no way into the store takes, by their digest. Unblocking deletes the row; the audit log keeps both."""

    sha256 = models.CharField(max_length=64, primary_key=True, validators=[SHA256])
    reason = models.TextField(max_length=4000)
    #: The removal that brought it, None when a moderator named the digest.
    decision = models.ForeignKey(Decision, null=True, blank=True, on_delete=models.CASCADE, related_name="blocks")
    blocked_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)
    #: From when on what is stored of them goes; an adapter that was removed is kept for an appeal.
    delete_after = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-created_at", "sha256"]

    def __str__(self) -> str:
        return self.sha256[:12]


class AuditEntry(models.Model):
    """One write, by whom, on what. A database trigger refuses UPDATE and DELETE."""

    at = models.DateTimeField(default=timezone.now, db_index=True)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.DO_NOTHING, related_name="+", db_constraint=False
    )
    actor_name = models.CharField(max_length=60, blank=True)
    action = models.CharField(max_length=60, db_index=True)
    target = models.CharField(max_length=200, blank=True, db_index=True)
    detail = models.JSONField(default=dict)
    request_id = models.CharField(max_length=64, blank=True)
    token_prefix = models.CharField(max_length=12, blank=True)

    class Meta:
        ordering = ["-at", "-id"]
        verbose_name_plural = "audit entries"

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M} {self.actor_name} {self.action} {self.target}"
