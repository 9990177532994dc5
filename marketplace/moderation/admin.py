"""The moderators' desk: adapters, reports, decisions, the audit log."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from marketplace import policy
from marketplace.accounts.models import User
from marketplace.adapters.lineage_graph import descendant_ids
from marketplace.adapters.models import Adapter
from marketplace.core.errors import AppError
from marketplace.moderation import services
from marketplace.moderation.admin_base import ReadOnlyAdmin
from marketplace.moderation.block_admin import BlockAdmin
from marketplace.moderation.models import AuditEntry, Decision, Report

__all__ = ["AdapterAdmin", "AuditEntryAdmin", "BlockAdmin", "DecisionAdmin", "ReportAdmin"]

admin.site.site_header = admin.site.site_title = "Brickyard"

_WORDS = {
    Decision.Action.QUARANTINE: (
        "Quarantine",
        "Others will no longer see or download it. Its owner sees it and the reason, but cannot change it.",
    ),
    Decision.Action.RESTORE: ("Restore", "It becomes as visible as before, and its owner can change it again."),
    Decision.Action.REMOVE: ("Remove", "Nobody but moderators can download it. The same weights are refused again."),
    Decision.Action.DISMISS: ("Dismiss the reports on", "Its open reports are closed; nothing else changes."),
}


@dataclass(frozen=True)
class Descendants:
    """What was made from adapters: what the moderator sees, and how many more there are."""

    seen: list[Adapter] = field(default_factory=list)
    hidden: int = 0

    def __bool__(self) -> bool:
        return bool(self.seen or self.hidden)


class ReasonForm(forms.Form):
    reason = forms.CharField(
        label="Reason",
        help_text="The owner reads this.",
        max_length=services.MAX_TEXT,
        widget=forms.Textarea(attrs={"rows": 5, "cols": 80, "autofocus": True}),
    )


class QuarantineForm(ReasonForm):
    """Quarantine asks about what was made from the adapters, too."""

    descendants = forms.BooleanField(
        label="Quarantine everything that was made from them, too",
        help_text="Their owners read the reason, too, and not which adapter it is about.",
        required=False,
    )


class DecidingAdmin(ReadOnlyAdmin):
    """Actions that lead to the page that asks for the reason."""

    actions = ["quarantine", "restore", "remove", "dismiss"]

    def has_moderate_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def adapter_ids(self, queryset: QuerySet[Any]) -> list[int]:
        return list(queryset.values_list("pk", flat=True))

    def _ask(self, queryset: QuerySet[Any], action: str) -> HttpResponse:
        ids = ",".join(str(pk) for pk in dict.fromkeys(self.adapter_ids(queryset)))
        return HttpResponseRedirect(f"{reverse('admin:adapters_adapter_decide', args=[action])}?ids={ids}")

    @admin.action(description="Quarantine…", permissions=["moderate"])
    def quarantine(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse:
        return self._ask(queryset, Decision.Action.QUARANTINE)

    @admin.action(description="Restore…", permissions=["moderate"])
    def restore(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse:
        return self._ask(queryset, Decision.Action.RESTORE)

    @admin.action(description="Remove…", permissions=["moderate"])
    def remove(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse:
        return self._ask(queryset, Decision.Action.REMOVE)

    @admin.action(description="Dismiss the reports…", permissions=["moderate"])
    def dismiss(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse:
        return self._ask(queryset, Decision.Action.DISMISS)


class ReportInline(admin.TabularInline):  # type: ignore[type-arg]
    model = Report
    fields = readonly_fields = ("created_at", "reason", "text", "reporter", "state")
    extra = 0
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: Adapter | None = None) -> bool:
        return False

    def has_view_permission(self, request: HttpRequest, obj: Adapter | None = None) -> bool:
        return policy.may_moderate(request.user)


class DecisionInline(ReportInline):
    model = Decision  # type: ignore[assignment]
    fields = readonly_fields = ("created_at", "action", "reason", "moderator")


@admin.register(Adapter)
class AdapterAdmin(DecidingAdmin):
    list_display = ("full_name", "moderation", "visibility", "origin", "open_reports", "created_at", "page")
    list_filter = ("moderation", "visibility", "origin", "created_at")
    list_select_related = ("owner",)
    search_fields = ("name", "owner__username", "title", "description")
    inlines = [ReportInline, DecisionInline]
    exclude = ("search",)
    change_form_template = "admin/adapters/adapter/change_form.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Adapter]:
        is_open = Q(reports__state=Report.State.OPEN)
        adapters = super().get_queryset(request)
        if not policy.may_see_everything(request.user):
            adapters = adapters.filter(policy.viewable(request.user))
        return adapters.annotate(open_count=Count("reports", filter=is_open))

    def _decidable(self, request: HttpRequest) -> QuerySet[Adapter]:
        """What the moderator sees, and what has open reports: an owner cannot escape by turning it private."""
        seen = Q(pk__in=self.get_queryset(request).values("pk"))
        reported = Q(pk__in=Report.objects.filter(state=Report.State.OPEN).values("adapter"))
        return Adapter.objects.filter(seen | reported).select_related("owner")

    @admin.display(description="open reports", ordering="open_count")
    def open_reports(self, adapter: Any) -> int:
        return int(adapter.open_count)

    @admin.display(description="page")
    def page(self, adapter: Adapter) -> SafeString:
        return format_html('<a href="{}">Open</a>', adapter.get_absolute_url())

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The adapter's page, with a link for every decision that its state allows."""
        adapter = Adapter.objects.filter(pk=object_id).first() if object_id.isdecimal() else None
        decisions = [
            (action, f"{_WORDS[Decision.Action(action)][0].removesuffix(' on')}…")
            for action, (states, _) in services.TRANSITIONS.items()
            if adapter is not None and adapter.moderation in states
        ]
        return super().change_view(request, object_id, form_url, {**(extra_context or {}), "decisions": decisions})

    def get_urls(self) -> list[URLPattern]:
        decide = self.admin_site.admin_view(self.decide_view)
        return [path("decide/<str:action>/", decide, name="adapters_adapter_decide"), *super().get_urls()]

    def decide_view(self, request: HttpRequest, action: str) -> HttpResponse:
        """Ask for the reason; with it, decide on each adapter and say which decisions were not possible."""
        if not self.has_moderate_permission(request):
            raise PermissionDenied
        ids = [int(pk) for pk in request.GET.get("ids", "").split(",") if pk.isdecimal()]
        adapters = list(self._decidable(request).filter(pk__in=ids))
        back = reverse("admin:adapters_adapter_changelist")
        if action not in _WORDS or not adapters:
            self.message_user(request, "Choose at least one adapter and an action.", messages.ERROR)
            return HttpResponseRedirect(back)
        made = self._made_from(request, adapters) if action == Decision.Action.QUARANTINE else Descendants()
        form = (QuarantineForm if made else ReasonForm)(request.POST or None)
        if request.method == "POST" and form.is_valid():
            family = bool(form.cleaned_data.get("descendants"))
            self._decide_each(request, adapters, action, form.cleaned_data["reason"], family=family)
            return HttpResponseRedirect(back)
        verb, consequence = _WORDS[Decision.Action(action)]
        context = {
            **self.admin_site.each_context(request),
            "title": f"{verb} {len(adapters)} adapter{'s' if len(adapters) > 1 else ''}",
            "opts": self.model._meta,
            "adapters": adapters,
            "consequence": consequence,
            "descendants": made,
            "form": form,
            "verb": verb,
            "back": back,
        }
        return TemplateResponse(request, "admin/adapters/adapter/decide.html", context)

    def _made_from(self, request: HttpRequest, adapters: list[Adapter]) -> Descendants:
        """What stands to be quarantined with ``adapters``; of what the moderator does not see, the number alone."""
        made = Adapter.objects.filter(
            pk__in=descendant_ids(adapter.pk for adapter in adapters), moderation=Adapter.Moderation.VISIBLE
        )
        seen = list(made.filter(pk__in=self.get_queryset(request).values("pk")).select_related("owner"))
        return Descendants(seen, made.count() - len(seen))

    def _decide_each(
        self, request: HttpRequest, adapters: list[Adapter], action: str, reason: str, *, family: bool = False
    ) -> None:
        decided: set[int] = set()
        moderator: User = request.user  # type: ignore[assignment]
        for adapter in adapters:
            if adapter.pk in decided:
                continue  # It was made from another of these and went with it.
            try:
                if family:
                    made = services.quarantine_with_descendants(moderator=moderator, adapter=adapter, reason=reason)
                    decided.update(decision.adapter_id for decision in made)
                else:
                    services.decide(moderator=moderator, adapter=adapter, action=action, reason=reason)
                    decided.add(adapter.pk)
            except AppError as error:
                self.message_user(request, f"Not possible: {error.message}", messages.ERROR)
        done = len(decided)
        if done:
            self.message_user(request, f"{done} decision{'s' if done > 1 else ''} taken.", messages.SUCCESS)


@admin.register(Report)
class ReportAdmin(DecidingAdmin):
    list_display = ("created_at", "adapter", "reason", "text", "reporter", "state")
    list_filter = ("state", "reason", "created_at")
    list_select_related = ("adapter__owner", "reporter")
    search_fields = ("adapter__name", "adapter__owner__username", "text")

    def adapter_ids(self, queryset: QuerySet[Any]) -> list[int]:
        return list(queryset.values_list("adapter_id", flat=True))


@admin.register(Decision)
class DecisionAdmin(ReadOnlyAdmin):
    list_display = ("created_at", "adapter", "action", "reason", "moderator")
    list_filter = ("action", "created_at")
    list_select_related = ("adapter__owner", "moderator")
    search_fields = ("adapter__name", "adapter__owner__username", "reason")


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnlyAdmin):
    list_display = ("at", "actor_name", "action", "target", "token_prefix", "request_id")
    list_filter = ("action", "at")
    search_fields = ("target", "actor_name", "request_id")
    show_full_result_count = False
