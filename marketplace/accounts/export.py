"""Everything that is stored about a person, as a zip of JSON, with the files of their adapters where they want them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from tempfile import SpooledTemporaryFile
from typing import IO, Any, cast
from weakref import finalize

from allauth.account.models import EmailAddress
from django.core.serializers.json import DjangoJSONEncoder
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponseBase
from django.utils import timezone

from marketplace import policy
from marketplace.accounts.models import Token, User
from marketplace.adapters.models import AccessRequest, Adapter, Collaborator, Transfer, Upload, Version, VersionFile
from marketplace.adapters.uploads.selection import CARD
from marketplace.compositions.models import Composition
from marketplace.core.sending import attachment_headers, chunks_of, send_chunks
from marketplace.core.store import blob_store
from marketplace.core.stored_zip import Entry, StoredZip
from marketplace.evaluations.models import EvaluationSuite
from marketplace.evaluations.selectors import lines_of
from marketplace.jobs.models import Job
from marketplace.likes.models import Like
from marketplace.moderation import audit
from marketplace.moderation.models import AuditEntry, Report
from marketplace.notifications.models import MutedLetter, Notification
from marketplace.playground.models import Usage
from marketplace.regressions.models import Watch

#: Rows that are read at once, and how long a part may be (in bytes) before it goes to disk.
_BATCH, _IN_MEMORY = 500, 1 << 20

_README = """Everything that Brickyard stores about the account {username}, as of {at}.

account.json        profile, e-mail addresses, tokens (never their secrets)
adapters.json       adapters with their versions, examples, collaborators, former names
adapters/           cards{files}
uploads.json        files that arrived, and what was found in them
mixes.json          saved compositions with their members
suites.json         examples that you uploaded to run adapters on
jobs.json           what was computed for you, with plans and results
activity.json       reports, offers, requests for access, shared adapters, generations (their prompts are not kept)
audit.json          every write by you, and on what is yours
"""


def export_account(request: HttpRequest, user: User, *, files: bool) -> HttpResponseBase:
    """The zip, streamed. ``files`` adds every file of every version of the person's adapters that they may load, or
    bring back."""
    at = timezone.now()
    words = {"username": user.username, "at": f"{at:%Y-%m-%d %H:%M} UTC", "files": " and files" if files else ""}
    spools = ExitStack()
    entries = [_entry(spools, "README.txt", [_README.format(**words).encode()])]
    entries += [_entry(spools, f"{name}.json", _encoded(collect(user))) for name, collect in _PARTS.items()]
    missing: list[str] = []
    for adapter in _adapters(user).iterator(_BATCH):
        entries += _files_of(user, adapter, missing) if files else _card_of(user, adapter)
    if missing:
        lines = "".join(f"{line}\n" for line in missing)
        entries.append(_entry(spools, "MISSING.txt", [f"These files are not here.\n\n{lines}".encode()]))
    archive = StoredZip(entries, at, {})
    # Also for a reader who never comes.
    finish = finalize(archive, spools.close)
    audit.record(actor=user, action="account.export", target=user.username, files=files)
    headers = attachment_headers(
        filename=f"{user.username}-{at:%Y-%m-%d}.zip", content_type="application/zip", etag=f'"{at.timestamp()}"'
    )
    chunks = chunks_of(cast(IO[bytes], archive), archive.size)

    def close() -> None:
        archive.close()
        finish()

    return send_chunks(request, chunks, close, 200, headers)


def _entry(spools: ExitStack, path: str, chunks: Iterable[bytes]) -> Entry:
    """What does not stand in the store yet: written to disk where it is long, since a zip's sizes are known first."""
    spool = spools.enter_context(SpooledTemporaryFile(_IN_MEMORY))  # noqa: SIM115 (closed with the answer)
    spool.writelines(chunks)
    size = spool.tell()

    def opened() -> IO[bytes]:
        spool.seek(0)
        return cast(IO[bytes], spool)

    return Entry(path, size, path, opened)


def _encoded(found: Any) -> Iterator[bytes]:
    """JSON; iterators inside of the outermost object, or in its place, are written as lists, row by row."""
    if isinstance(found, Iterator):
        yield b"["
        for number, row in enumerate(found):
            yield (b",\n" if number else b"\n") + _json(row)
        yield b"\n]"
        return
    for number, (name, value) in enumerate(found.items()):
        yield (b",\n" if number else b"{\n") + _json(name) + b": "
        yield from _encoded(value) if isinstance(value, Iterator) else [_json(value)]
    yield b"\n}"


def _json(value: Any) -> bytes:
    return json.dumps(value, cls=DjangoJSONEncoder, indent=1, ensure_ascii=False).encode()


def _rows(rows: QuerySet[Any], fields: Sequence[str]) -> Iterator[dict[str, Any]]:
    return iter(rows.order_by("pk").values(*fields).iterator(_BATCH))


def _adapters(user: User) -> QuerySet[Adapter]:
    return (
        Adapter.objects.filter(owner=user, purged_at=None).select_related("owner", "current__artifact").order_by("pk")
    )


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
        "examples": list(_rows(adapter.examples.all(), ("prompt", "expected", "public"))),
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
        "notifications": _rows(
            Notification.objects.filter(user=user), ("kind", "title", "text", "address", "created_at", "read_at")
        ),
        "likes": _rows(Like.objects.filter(user=user), ("adapter__name", "created_at")),
        "watches": _rows(
            Watch.objects.filter(owner=user), ("adapter__name", "mix__name", "every", "next_at", "created_at")
        ),
        "muted_letters": _rows(MutedLetter.objects.filter(user=user), ("kind",)),
        "generations": _rows(
            Usage.objects.filter(user=user),
            ("base__name", "prompt_tokens", "completion_tokens", "seconds", "finish_reason", "created_at"),
        ),
    }


def _mixes(user: User) -> Iterator[dict[str, Any]]:
    columns = ("name", "visibility", "strategy", "description", "created_at", "updated_at")
    for mix in Composition.objects.filter(owner=user).prefetch_related("members").order_by("pk").iterator(_BATCH):
        members = [{"adapter": row.label, "version": row.commit, "weight": row.weight} for row in mix.members.all()]
        yield {**{column: getattr(mix, column) for column in columns}, "members": members}


def _suites(user: User) -> Iterator[dict[str, Any]]:
    columns = ("name", "visibility", "created_at")
    for suite in EvaluationSuite.objects.filter(owner=user).order_by("created_at", "pk").iterator(_BATCH):
        yield {**{column: getattr(suite, column) for column in columns}, "examples": list(lines_of(suite))}


def _jobs(user: User) -> Iterator[dict[str, Any]]:
    fields = ("id", "kind", "title", "state", "request", "result", "error_message", "created_at", "finished_at")
    return _rows(Job.objects.filter(owner=user), fields)


def _uploads(user: User) -> Iterator[dict[str, Any]]:
    return _rows(
        Upload.objects.filter(owner=user),
        ("id", "state", "files", "problems", "suggested", "adapter__name", "created_at"),
    )


def _audit(user: User) -> Iterator[dict[str, Any]]:
    """Who else wrote (moderators, collaborators), and with which token, is not said: these are other people's data."""
    own = Q(actor=user) | Q(target=user.username) | Q(target__startswith=f"{user.username}/")
    for row in _rows(AuditEntry.objects.filter(own), ("at", "actor_id", "action", "target", "detail", "token_prefix")):
        mine = row.pop("actor_id") == user.pk
        if not mine:
            del row["token_prefix"]
        yield {**row, "actor": user.username if mine else "somebody else"}


_PARTS = {
    "account": _account,
    "adapters": lambda user: (_adapter(adapter) for adapter in _adapters(user).iterator(_BATCH)),
    "uploads": _uploads,
    "mixes": _mixes,
    "suites": _suites,
    "jobs": _jobs,
    "activity": _activity,
    "audit": _audit,
}


def _may_have(user: User, action: policy.Action, version: Version) -> bool:
    """What is deleted belongs to whoever may bring it back."""
    bring_back = policy.may(user, policy.Action.RESTORE, version.adapter)
    return bring_back or policy.may(user, action, version.adapter, version=version)


def _card_of(user: User, adapter: Adapter) -> Iterator[Entry]:
    """What is said about it, which its owner reads in any state; nothing for bytes that are gone."""
    current = adapter.current
    if current is None or not _may_have(user, policy.Action.VIEW, current):
        return
    for file in current.files.filter(path=CARD).select_related("blob"):
        if blob_store().has(file.blob_id):
            yield _stored(file, f"adapters/{adapter.name}/{CARD}")


def _files_of(user: User, adapter: Adapter, missing: list[str]) -> Iterator[Entry]:
    """Every file of every version, below its commit; a line in ``missing`` for each that is not to be had."""
    for version in adapter.versions.select_related("artifact", "adapter__owner").order_by("pk"):
        allowed = _may_have(user, policy.Action.DOWNLOAD, version)
        for file in version.files.select_related("blob").order_by("path"):
            path = f"adapters/{adapter.name}/{version.commit[:12]}/{file.path}"
            if not allowed:
                missing.append(f"{path}: a moderator has taken it down.")
            elif not blob_store().has(file.blob_id):
                missing.append(f"{path}: its bytes were deleted.")
            else:
                yield _stored(file, path)


def _stored(file: VersionFile, path: str) -> Entry:
    return Entry(path, file.blob.size, file.blob_id, partial(blob_store().open, file.blob_id))
