"""Everything that is stored about a person, as a zip of JSON, with the files of their adapters where they want them."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from functools import partial
from typing import IO, Any, cast

from allauth.account.models import EmailAddress
from django.core.serializers.json import DjangoJSONEncoder
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponseBase
from django.utils import timezone

from marketplace.accounts.models import Token, User
from marketplace.adapters.gone import readable_card
from marketplace.adapters.models import AccessRequest, Adapter, Collaborator, Transfer, Upload, Version
from marketplace.core.sending import attachment_headers, chunks_of, send_chunks
from marketplace.core.store import blob_store
from marketplace.core.stored_zip import Entry, StoredZip
from marketplace.jobs.models import Job
from marketplace.moderation import audit
from marketplace.moderation.models import AuditEntry, Report
from marketplace.playground.models import Usage

_README = """Everything that Brickyard stores about the account {username}, as of {at}.

account.json        profile, e-mail addresses, tokens (never their secrets)
adapters.json       adapters with their versions, examples, collaborators, former names
adapters/           cards{files}
uploads.json        files that arrived, and what was found in them
jobs.json           what was computed for you, with plans and results
activity.json       reports, offers, requests for access, shared adapters, generations (their prompts are not kept)
audit.json          every write by you, and on what is yours
"""


def export_account(request: HttpRequest, user: User, *, files: bool) -> HttpResponseBase:
    """The zip, streamed. ``files`` adds every file of every version of the person's adapters."""
    at = timezone.now()
    words = {"username": user.username, "at": f"{at:%Y-%m-%d %H:%M} UTC", "files": " and files" if files else ""}
    entries = [_entry("README.txt", _README.format(**words).encode())]
    entries += [_entry(f"{name}.json", _encoded(collect(user))) for name, collect in _PARTS.items()]
    for adapter in _adapters(user):
        entries += _files_of(adapter) if files else _card_of(adapter)
    archive = StoredZip(entries, at, {})
    audit.record(actor=user, action="account.export", target=user.username, files=files)
    headers = attachment_headers(
        filename=f"{user.username}-{at:%Y-%m-%d}.zip", content_type="application/zip", etag=f'"{at.timestamp()}"'
    )
    chunks = chunks_of(cast(IO[bytes], archive), archive.size)
    return send_chunks(request, chunks, archive.close, 200, headers)


def _encoded(found: Any) -> bytes:
    return json.dumps(found, cls=DjangoJSONEncoder, indent=1, ensure_ascii=False).encode()


def _rows(rows: QuerySet[Any], fields: Sequence[str]) -> list[dict[str, Any]]:
    return list(rows.order_by("pk").values(*fields))


def _adapters(user: User) -> QuerySet[Adapter]:
    return Adapter.objects.filter(owner=user, purged_at=None).select_related("owner", "current").order_by("pk")


def _account(user: User) -> dict[str, Any]:
    tokens = ("name", "prefix", "scope", "created_at", "expires_at", "last_used_at", "revoked_at")
    return {
        "username": user.username,
        "display_name": user.display_name,
        "email": user.email,
        "email_addresses": _rows(EmailAddress.objects.filter(user=user), ("email", "verified", "primary")),
        "joined_at": user.date_joined,
        "last_login": user.last_login,
        "groups": list(user.groups.values_list("name", flat=True)),
        "quota_bytes": user.quota_bytes,
        "tokens": _rows(Token.objects.filter(owner=user), tokens),
    }


def _adapter(adapter: Adapter) -> dict[str, Any]:
    columns = ("name", "visibility", "moderation", "origin", "title", "description", "license", "tags", "base_name",
               "downloads", "created_at", "updated_at", "deleted_at")  # fmt: skip
    people = adapter.collaborators.order_by("pk").values_list("user__username", "role")
    return {
        **{column: getattr(adapter, column) for column in columns},
        "former_names": list(adapter.former_names.values_list("name", flat=True)),
        "examples": _rows(adapter.examples.all(), ("prompt", "expected", "public")),
        "collaborators": [{"username": username, "role": role} for username, role in people],
        "versions": [_version(version) for version in adapter.versions.select_related("artifact").order_by("pk")],
    }


def _version(version: Version) -> dict[str, Any]:
    columns = ("commit", "message", "prompt_format", "recipe", "created_at", "yanked_at", "yank_reason",
               "deprecated_at", "deprecation")  # fmt: skip
    return {
        **{column: getattr(version, column) for column in columns},
        "state": version.artifact.state,
        "files": list(version.files.values("path", "blob__sha256", "blob__size")),
    }


def _activity(user: User) -> dict[str, Any]:
    offers = Transfer.objects.filter(Q(sender=user) | Q(receiver=user))
    return {
        "reports": _rows(
            Report.objects.filter(reporter=user), ("adapter__name", "reason", "text", "state", "created_at")
        ),
        "offers": _rows(
            offers, ("adapter__name", "sender__username", "receiver__username", "state", "created_at", "decided_at")
        ),
        "access_requests": _rows(
            AccessRequest.objects.filter(user=user), ("adapter__name", "message", "state", "answer", "created_at")
        ),
        "shared_with_me": _rows(Collaborator.objects.filter(user=user), ("adapter__name", "role", "created_at")),
        "generations": _rows(
            Usage.objects.filter(user=user),
            ("base__name", "prompt_tokens", "completion_tokens", "seconds", "finish_reason", "created_at"),
        ),
    }


def _jobs(user: User) -> list[dict[str, Any]]:
    fields = ("id", "kind", "title", "state", "request", "result", "error_message", "created_at", "finished_at")
    return _rows(Job.objects.filter(owner=user), fields)


def _uploads(user: User) -> list[dict[str, Any]]:
    return _rows(
        Upload.objects.filter(owner=user),
        ("id", "state", "files", "problems", "suggested", "adapter__name", "created_at"),
    )


def _audit(user: User) -> list[dict[str, Any]]:
    """Who else wrote (moderators, collaborators) is not said: these are other people's data."""
    own = Q(actor=user) | Q(target=user.username) | Q(target__startswith=f"{user.username}/")
    fields = ("at", "actor_id", "action", "target", "detail", "token_prefix")
    return [
        {**row, "actor": user.username if row.pop("actor_id") == user.pk else "somebody else"}
        for row in _rows(AuditEntry.objects.filter(own), fields)
    ]


_PARTS = {
    "account": _account,
    "adapters": lambda user: [_adapter(adapter) for adapter in _adapters(user)],
    "uploads": _uploads,
    "jobs": _jobs,
    "activity": _activity,
    "audit": _audit,
}


def _entry(path: str, data: bytes) -> Entry:
    return Entry(path, len(data), path, partial(io.BytesIO, data))


def _card_of(adapter: Adapter) -> Iterator[Entry]:
    if adapter.current is not None:
        yield _entry(f"adapters/{adapter.name}/README.md", readable_card(adapter.current).encode())


def _files_of(adapter: Adapter) -> Iterator[Entry]:
    """Every file of every version, below its commit."""
    for version in adapter.versions.order_by("pk"):
        for file in version.files.select_related("blob"):
            if blob_store().has(file.blob_id):
                path = f"adapters/{adapter.name}/{version.commit[:12]}/{file.path}"
                yield Entry(path, file.blob.size, file.blob_id, partial(blob_store().open, file.blob_id))
