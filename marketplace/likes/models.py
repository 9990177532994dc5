"""Who likes which adapter. ``Adapter.likes`` counts these rows, so that lists need not."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone

from marketplace.adapters.models import Adapter


class Like(models.Model):
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="likes")
    adapter = models.ForeignKey(Adapter, on_delete=models.CASCADE, related_name="liked_by")
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-created_at", "-id"]
        constraints = [models.UniqueConstraint(fields=["user", "adapter"], name="likes_like_once")]

    def __str__(self) -> str:
        return f"{self.user_id} likes {self.adapter_id}"
