"""Questions of rights in templates that every page has; the views answer all others."""

from __future__ import annotations

from django import template

from marketplace import policy

register = template.Library()


@register.filter
def may_enter_admin(person: policy.Person) -> bool:
    """``{% if user|may_enter_admin %}``."""
    return policy.may_enter_admin(person)
