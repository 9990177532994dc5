"""Suites and runs for operators: to choose a base's probes, and to take a public suite away."""

from __future__ import annotations

from django.contrib import admin
from django.http import HttpRequest

from marketplace.evaluations.models import EvaluationRun, EvaluationSuite
from marketplace.moderation.admin_base import AuditedAdmin


@admin.register(EvaluationSuite)
class EvaluationSuiteAdmin(AuditedAdmin):
    list_display = ("name", "kind", "owner", "visibility", "base", "probe", "count", "created_at")
    list_filter = ("kind", "visibility", "probe")
    search_fields = ("name", "owner__username")
    readonly_fields = ("kind", "owner", "adapter", "builtin", "sha256", "count", "prompt_format", "created_at")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False


@admin.register(EvaluationRun)
class EvaluationRunAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    list_display = ("label", "suite", "base", "state", "seconds", "created_at")
    list_filter = ("state", "base")
    list_select_related = ("suite", "base")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: EvaluationRun | None = None) -> bool:
        return False
