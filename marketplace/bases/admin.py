"""Bases in the admin. They are registered on the page, by ``manage.py register_base`` or REST: a worker reads them."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest

from marketplace.bases.aliases import MAX_ALIAS
from marketplace.bases.models import Base, BaseAlias
from marketplace.bases.requests import ask_for_linking
from marketplace.moderation.admin_base import AuditedAdmin


class AliasForm(forms.ModelForm):  # type: ignore[type-arg]
    """Names are compared in lower case, so they are kept so."""

    class Meta:
        model = BaseAlias
        fields = ["alias", "canonical", "base", "active"]

    def clean_alias(self) -> str:
        alias: str = self.cleaned_data["alias"].strip().lower()
        if not alias.isprintable() or len(alias) > MAX_ALIAS:
            raise forms.ValidationError(f"Use at most {MAX_ALIAS} printable characters.")
        return alias

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        base = cleaned.get("base")
        if base is not None and not cleaned.get("canonical"):
            cleaned["canonical"] = base.name
        if base is None and not cleaned.get("canonical"):
            raise forms.ValidationError("Choose a base here, or write the hub's id of what it is a copy of.")
        return cleaned


class AliasInline(admin.TabularInline):  # type: ignore[type-arg]
    model = BaseAlias
    form = AliasForm
    extra = 0
    fields = ("alias", "active", "shipped")
    readonly_fields = ("shipped",)
    can_delete = False


@admin.register(BaseAlias)
class BaseAliasAdmin(AuditedAdmin):
    """The alias table: what comes with Brickyard and what staff added."""

    form = AliasForm
    list_display = ("alias", "canonical", "base", "shipped", "active")
    list_filter = ("shipped", "active", ("base", admin.EmptyFieldListFilter))
    search_fields = ("alias", "canonical", "base__name")
    list_select_related = ("base",)
    autocomplete_fields = ("base",)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        # What is shipped would come back with the next update; it is switched off instead.
        return super().has_delete_permission(request, obj) and not (obj is not None and obj.shipped)

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        actions = super().get_actions(request)
        actions.pop("delete_selected", None)
        return actions

    def save_model(self, request: HttpRequest, obj: Model, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        if isinstance(obj, BaseAlias) and obj.base is not None and obj.active:
            ask_for_linking(obj.base)


@admin.register(Base)
class BaseAdmin(AuditedAdmin):
    """What a worker read of a base is shown; whether it is served, its licence, parent and aliases can be changed."""

    list_display = ("name", "source", "revision", "state", "task", "parameters", "license", "served", "created_at")
    list_filter = ("state", "served", "task")
    search_fields = ("name", "source", "aliases__alias")
    inlines = [AliasInline]
    readonly_fields = ("name", "source", "revision", "state", "fault", "task", "parameters", "fingerprint")
    fields = (*readonly_fields, "license", "parent", "served")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        # The base's page and REST delete one that nothing refers to; others are not served any more.
        return False

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        for formset in formsets:
            for alias_form in formset.forms:
                if alias_form.has_changed():
                    alias_form.instance.canonical = alias_form.instance.canonical or form.instance.name
        super().save_related(request, form, formsets, change)
        ask_for_linking(form.instance)
