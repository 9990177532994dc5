"""What an owner says against a version, for whoever loads it: yanked, deprecated, superseded by another one."""

from __future__ import annotations

from urllib.parse import quote

from django.contrib.auth.models import AnonymousUser

from marketplace import policy
from marketplace.adapters.models import Version
from marketplace.core.errors import Conflict


def successor_of(user: policy.Person, version: Version) -> Version | None:
    """What to take instead, where ``user`` may see it."""
    found = version.superseded_by
    if found is None or found.adapter_id == version.adapter_id:
        return found
    return found if policy.may_view(user, found.adapter) else None


def standing_headers(version: Version) -> dict[str, str]:
    """For downloads: when it was deprecated (RFC 9745), its successor (RFC 5829), and why it was yanked."""
    headers: dict[str, str] = {}
    if version.yanked_at is not None:
        # Reasons are written in any language, headers in ASCII.
        headers["X-Yanked"] = quote(version.yank_reason, safe=" ,.;:!?()'")
    if version.deprecated_at is None:
        return headers
    headers["Deprecation"] = f"@{int(version.deprecated_at.timestamp())}"
    links = [f'<{version.adapter.get_absolute_url()}/versions>; rel="deprecation"; type="text/html"']
    successor = successor_of(AnonymousUser(), version)
    if successor is not None:
        address = f"/api/v1/adapters/{successor.adapter.full_name}/archive/{successor.commit}.zip"
        links.append(f'<{address}>; rel="successor-version"')
    headers["Link"] = ", ".join(links)
    return headers


def require_offered(version: Version, revision: str) -> None:
    """``Conflict`` when ``revision`` leaves the choice to us, and everything was taken back."""
    if revision == "main" and version.yanked_at is not None:
        raise Conflict(
            f"Every version of {version.adapter.full_name} is yanked: {version.yank_reason} Whoever depends on one "
            f"loads it by its commit, for example {version.commit}.",
            code="yanked",
            extra={"commit": version.commit},
        )
