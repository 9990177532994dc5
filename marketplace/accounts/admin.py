"""Accounts and tokens in the admin."""

from __future__ import annotations

from typing import Any, cast

from allauth.account.admin import EmailAddressAdmin as AllauthEmailAddressAdmin
from allauth.account.decorators import secure_admin_login
from allauth.account.models import EmailAddress, EmailConfirmation
from django import forms
from django.contrib import admin, messages
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.forms import AdminUserCreationForm
from django.contrib.auth.models import Group
from django.db.models import QuerySet
from django.http import HttpRequest

from marketplace import policy
from marketplace.accounts import services
from marketplace.accounts.models import Token, User
from marketplace.accounts.names import is_reserved
from marketplace.moderation.admin_base import AuditedAdmin, ReadOnlyAdmin

# The admin's own form counts no failed attempts; staff sign in where everybody does.
admin.site.login = secure_admin_login(admin.site.login)  # type: ignore[method-assign]

# The stock pages of groups and addresses write without a word in the audit log; keys of confirmations are nobody's.
for _stock in (Group, EmailAddress, EmailConfirmation):
    if admin.site.is_registered(_stock):
        admin.site.unregister(_stock)


@admin.register(Group)
class GroupAdmin(AuditedAdmin, DjangoGroupAdmin):
    """Who may do what; every change is audited."""


@admin.register(EmailAddress)
class EmailAddressAdmin(AuditedAdmin, AllauthEmailAddressAdmin):
    """Addresses of accounts. Marking one as verified is audited by the signal that it sends."""


class NewUserForm(AdminUserCreationForm):
    """An operator may give out protected names, but not those that the site needs as addresses."""

    class Meta(AdminUserCreationForm.Meta):
        model = User

    def clean_username(self) -> str:
        name = str(super().clean_username())
        if is_reserved(name):
            raise forms.ValidationError("The site needs this name for its own addresses. Choose another.")
        return name


@admin.register(User)
class UserAdmin(AuditedAdmin, DjangoUserAdmin):
    """Accounts are deactivated, never deleted: names are not reused, and what others built on must stay."""

    add_form = NewUserForm
    list_display = ("username", "display_name", "email", "is_active", "is_staff", "date_joined", "last_login")
    fieldsets = (
        *(DjangoUserAdmin.fieldsets or ()),
        ("Brickyard", {"fields": ("display_name", "quota_bytes")}),
    )

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        # A rename would break every address owner/name.
        return ("username", "date_joined", "last_login") if obj else ("date_joined", "last_login")

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Token)
class TokenAdmin(ReadOnlyAdmin):
    """Superusers see who has tokens, never a secret, and can revoke them."""

    list_display = ("prefix", "owner", "name", "scope", "created_at", "expires_at", "last_used_at", "revoked_at")
    list_filter = ("scope", "created_at")
    list_select_related = ("owner",)
    search_fields = ("prefix", "owner__username", "name")
    exclude = ("digest",)
    actions = ["revoke"]

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return policy.may_see_everything(request.user)

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    @admin.action(description="Revoke", permissions=["revoke"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[Token]) -> None:
        for token in queryset.select_related("owner"):
            services.revoke_token(user=cast(User, request.user), token=token)
        self.message_user(request, "The tokens are revoked.", messages.SUCCESS)
