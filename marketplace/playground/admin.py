"""Usage, read-only."""

from django.contrib import admin
from django.http import HttpRequest

from marketplace.playground.models import Usage


@admin.register(Usage)
class UsageAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    list_display = ("created_at", "user", "base", "prompt_tokens", "completion_tokens", "seconds", "finish_reason")
    list_filter = ("finish_reason", "base")
    date_hierarchy = "created_at"

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Usage | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Usage | None = None) -> bool:
        return False
