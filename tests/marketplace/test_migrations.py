"""The schema that the migrations make is the schema that the models declare."""

import pytest
from django.core.management import call_command
from django.db import DatabaseError, connection, transaction

from marketplace.moderation import audit
from marketplace.moderation.models import AuditEntry

pytestmark = pytest.mark.django_db


def test_no_migration_is_missing() -> None:
    call_command("makemigrations", "--check", "--dry-run", verbosity=0)


def test_audit_log_is_append_only() -> None:
    entry = audit.record(actor=None, action="test.write", target="x", why="because")
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        AuditEntry.objects.filter(pk=entry.pk).update(action="other")
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        entry.delete()
    assert AuditEntry.objects.get(pk=entry.pk).detail == {"why": "because"}


def test_audit_log_cannot_be_truncated() -> None:
    """The tests' own connections may, for Django's flush; one that does not say so may not, nor by a cascade."""
    entry = audit.record(actor=None, action="test.write", target="x")
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL brickyard.allow_truncate = 'off'")
    for statement in ("TRUNCATE moderation_auditentry", "TRUNCATE moderation_auditentry, moderation_report CASCADE"):
        with pytest.raises(DatabaseError, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement)
    assert AuditEntry.objects.filter(pk=entry.pk).exists()
