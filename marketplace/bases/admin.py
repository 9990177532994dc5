"""Bases in the admin. New ones are registered by ``manage.py register_base`` or REST, which also read their shapes."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from marketplace.bases.models import Base, BaseAlias
from marketplace.moderation.admin_base import AuditedAdmin


class AliasInline(admin.TabularInline):  # type: ignore[type-arg]
    model = BaseAlias
    extra = 0


@admin.register(Base)
class BaseAdmin(AuditedAdmin):
    """What a worker read of a base is shown; whether it is served, its licence, parent and aliases can be changed."""

    list_display = ("name", "source", "revision", "state", "parameters", "license", "served", "created_at")
    list_filter = ("state", "served")
    search_fields = ("name", "source", "aliases__alias")
    inlines = [AliasInline]
    readonly_fields = ("name", "source", "revision", "state", "fault", "parameters", "fingerprint")
    fields = (*readonly_fields, "license", "parent", "served")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        # Adapters keep pointing at it; one that is not wanted any more is not served.
        return False
