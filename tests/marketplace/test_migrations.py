"""The schema that the migrations make is the schema that the models declare."""

import pytest
from django.core.management import call_command
from django.db import DatabaseError, transaction

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
