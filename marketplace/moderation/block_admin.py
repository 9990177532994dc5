"""The block list in the admin: add digests with a reason, take them off again."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from marketplace.adapters.models import Adapter
from marketplace.moderation import blocking
from marketplace.moderation.admin_base import ReadOnlyAdmin
from marketplace.moderation.models import Block


class BlockForm(forms.ModelForm):  # type: ignore[type-arg]
    """What a moderator writes; the service checks it."""

    def clean_sha256(self) -> str:
        # As digests are copied: with capitals, spaces around, and the algorithm before them.
        return str(self.cleaned_data["sha256"]).strip().lower().removeprefix("sha256:")

    class Meta:
        model = Block
        fields = ("sha256", "reason")
        help_texts = {
            "sha256": "Of the file's bytes; an adapter's page shows it beside each file.",
            "reason": "Owners of adapters with these bytes read it.",
        }


@admin.register(Block)
class BlockAdmin(ReadOnlyAdmin):
    """Adding and taking off; nobody edits an entry."""

    form = BlockForm
    list_display = ("sha256", "reason", "holders", "blocked_by", "decision", "created_at", "delete_after")
    list_filter = ("created_at",)
    list_select_related = ("blocked_by", "decision__adapter__owner")
    search_fields = ("sha256", "reason")
    actions = ["unblock"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def has_unblock_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> tuple[str, ...]:
        fields = ("sha256", "reason", "holders", "blocked_by", "decision", "created_at", "delete_after")
        return fields if obj is not None else ()

    def get_fields(self, request: HttpRequest, obj: Model | None = None) -> tuple[str, ...]:
        return self.get_readonly_fields(request, obj) or ("sha256", "reason")

    @admin.display(description="adapters with these bytes")
    def holders(self, block: Block) -> SafeString:
        """As far as the moderator may see them."""
        holding = Adapter.objects.filter(versions__files__blob=block.sha256).distinct().select_related("owner")
        return format_html("{}", ", ".join(adapter.full_name for adapter in holding[:10]) or "none")

    def save_model(self, request: HttpRequest, obj: Block, form: Any, change: bool) -> None:
        """The service writes the row, its audit entry and what follows from it."""
        blocking.block_digest(moderator=request.user, sha256=obj.sha256, reason=obj.reason)  # type: ignore[arg-type]

    @admin.action(description="Take off the block list", permissions=["unblock"])
    def unblock(self, request: HttpRequest, queryset: QuerySet[Block]) -> None:
        for sha256 in list(queryset.values_list("pk", flat=True)):
            blocking.unblock_digest(moderator=request.user, sha256=sha256)  # type: ignore[arg-type]
        self.message_user(
            request, "Unblocked. Restore the adapters that were in quarantine for these bytes.", messages.SUCCESS
        )
