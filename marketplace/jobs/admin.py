"""Jobs for operators (not for moderators): to read, to cancel, to try again."""

from __future__ import annotations

from collections.abc import Callable

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from marketplace import policy
from marketplace.core.errors import AppError
from marketplace.jobs import services
from marketplace.jobs.models import Job


@admin.register(Job)
class JobAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    list_display = ("created_at", "kind", "owner", "state", "attempt", "error_code", "title")
    list_filter = ("state", "kind", "error_code")
    search_fields = ("id", "title", "owner__username")
    date_hierarchy = "created_at"
    list_select_related = ("owner",)
    actions = ("cancel", "retry")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Job | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Job | None = None) -> bool:
        return False

    def has_operate_permission(self, request: HttpRequest) -> bool:
        """Who may run the actions below."""
        return policy.may_operate_jobs(request.user)

    @admin.action(description="Cancel the selected jobs", permissions=["operate"])
    def cancel(self, request: HttpRequest, queryset: QuerySet[Job]) -> None:
        self._each(request, queryset, services.cancel_job)

    @admin.action(description="Try the selected jobs again", permissions=["operate"])
    def retry(self, request: HttpRequest, queryset: QuerySet[Job]) -> None:
        self._each(request, queryset, services.retry_job)

    def _each(self, request: HttpRequest, jobs: QuerySet[Job], action: Callable[..., Job]) -> None:
        for job in jobs:
            try:
                action(user=request.user, job=job)
            except AppError as error:
                self.message_user(request, f"{job}: {error.message}", messages.WARNING)
