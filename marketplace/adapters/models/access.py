"""People and one adapter: who works on it, who asked for it, who takes it over, and the names it had."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models.functions import Lower
from django.utils import timezone

from marketplace.adapters.models.adapter import Adapter


class Collaborator(models.Model):
    """Somebody beside the owner who may load the adapter (``read``), or change its card and versions (``write``)."""

    class Role(models.TextChoices):
        READ = "read", "May load it"
        WRITE = "write", "May change it"

    adapter = models.ForeignKey(Adapter, on_delete=models.CASCADE, related_name="collaborators")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="collaborations")
    role = models.CharField(max_length=5, choices=Role.choices, default=Role.READ)
    added_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["created_at", "id"]
        constraints = [models.UniqueConstraint(fields=["adapter", "user"], name="adapters_collaborator_once")]

    def __str__(self) -> str:
        return f"{self.user_id} {self.role} {self.adapter_id}"


class AccessRequest(models.Model):
    """Somebody asks for a gated adapter; its owner approves or refuses, and may take an approval back."""

    class State(models.TextChoices):
        WAITING = "waiting", "Waiting for an answer"
        APPROVED = "approved", "Approved"
        REFUSED = "refused", "Refused"

    adapter = models.ForeignKey(Adapter, on_delete=models.CASCADE, related_name="access_requests")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="access_requests")
    message = models.TextField(max_length=2000, blank=True)
    state = models.CharField(max_length=8, choices=State.choices, default=State.WAITING)
    #: What the owner answered, for whoever asked.
    answer = models.TextField(max_length=2000, blank=True)
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    decided_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-created_at", "-id"]
        constraints = [models.UniqueConstraint(fields=["adapter", "user"], name="adapters_accessrequest_once")]

    def __str__(self) -> str:
        return f"{self.user_id} asks for {self.adapter_id}: {self.state}"


class Transfer(models.Model):
    """An owner offers an adapter to somebody else, who accepts or declines; the owner may withdraw the offer."""

    class State(models.TextChoices):
        WAITING = "waiting", "Waiting for an answer"
        ACCEPTED = "accepted", "Accepted"
        DECLINED = "declined", "Declined"
        WITHDRAWN = "withdrawn", "Withdrawn"

    adapter = models.ForeignKey(Adapter, on_delete=models.CASCADE, related_name="transfers")
    sender = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="transfers_sent")
    receiver = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="transfers_received")
    state = models.CharField(max_length=9, choices=State.choices, default=State.WAITING)
    created_at = models.DateTimeField(default=timezone.now)
    decided_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-created_at", "-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["adapter"], condition=models.Q(state="waiting"), name="adapters_transfer_one_waiting"
            )
        ]

    def __str__(self) -> str:
        return f"{self.adapter_id}: {self.sender_id} → {self.receiver_id} ({self.state})"


class FormerName(models.Model):
    """An address that an adapter had before it was renamed or changed hands; it leads to the adapter for ever."""

    adapter = models.ForeignKey(Adapter, on_delete=models.CASCADE, related_name="former_names")
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    name = models.CharField(max_length=96)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [models.UniqueConstraint("owner", Lower("name"), name="adapters_formername_owner_name")]

    def __str__(self) -> str:
        return f"{self.owner_id}/{self.name} → {self.adapter_id}"
