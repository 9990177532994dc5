"""What the admin's classes share: reading for moderators, and audit of what is changed there."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.db.models import Model, QuerySet
from django.http import HttpRequest

from marketplace import policy
from marketplace.moderation import audit


class ReadOnlyAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Staff with the permission ``accounts.moderate`` may look; nobody changes anything here."""

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return policy.may_moderate(request.user)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


class AuditedAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Writes of the admin go into the audit log too, in the transaction that the admin opens around them."""

    def log_addition(self, request: HttpRequest, obj: Model, message: Any) -> LogEntry:
        self._audit(request, "add", obj, message)
        return super().log_addition(request, obj, message)

    def log_change(self, request: HttpRequest, obj: Model, message: Any) -> LogEntry:
        self._audit(request, "change", obj, message)
        return super().log_change(request, obj, message)

    def log_deletions(self, request: HttpRequest, queryset: QuerySet[Any]) -> Any:
        for obj in queryset:
            self._audit(request, "delete", obj, [])
        return super().log_deletions(request, queryset)

    def _audit(self, request: HttpRequest, verb: str, obj: Model, message: Any) -> None:
        changes = message if isinstance(message, list) else [str(message)]
        audit.record(
            actor=request.user,  # type: ignore[arg-type]
            action=f"{obj._meta.model_name}.admin_{verb}",
            target=str(obj),
            key=str(obj.pk),
            changes=changes,
        )
