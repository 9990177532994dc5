"""Our rules inside django-allauth's forms."""

from __future__ import annotations

from allauth.account.adapter import DefaultAccountAdapter
from django.conf import settings
from django.core.exceptions import ValidationError
from django.db.models import F, Func, Value
from django.db.models.functions import Lower, Replace
from django.http import HttpRequest

from marketplace.accounts.models import User
from marketplace.accounts.names import canonical, is_protected, is_reserved


class AccountAdapter(DefaultAccountAdapter):
    """Sign-up refuses names that the site needs, that would deceive, or that look like somebody else's."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return bool(settings.SIGNUP_OPEN)

    def clean_username(self, username: str, shallow: bool = False) -> str:
        """Raises ``ValidationError`` with the reason. The pattern of names is the model's own validator."""
        name = str(super().clean_username(username, shallow))
        if is_reserved(name):
            raise ValidationError("The site needs this name for its own addresses. Choose another.", code="reserved")
        if is_protected(name):
            raise ValidationError(
                "This name could be taken for the site's staff or a known publisher. Choose another.", code="protected"
            )
        if not shallow and _looks_like_somebody(name):
            raise ValidationError(
                "This name differs from an existing one only in hyphens, underscores or capitals. Choose another.",
                code="too_similar",
            )
        return name


def _looks_like_somebody(name: str) -> bool:
    bare: Func = Replace(Replace(Lower(F("username")), Value("-"), Value("")), Value("_"), Value(""))
    return User.objects.annotate(bare=bare).filter(bare=canonical(name)).exists()
