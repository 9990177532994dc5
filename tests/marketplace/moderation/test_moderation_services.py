"""Reports and decisions: who may, in which state, with what trace."""

from __future__ import annotations

from typing import Any

import pytest
from django.core import mail

from marketplace.accounts.models import User
from marketplace.adapters.models import Adapter, Upload
from marketplace.adapters.selectors import get_adapter
from marketplace.adapters.services import publish_upload
from marketplace.compositions.services import create_merge
from marketplace.core.errors import Conflict, Forbidden, Invalid, NotFound
from marketplace.moderation import selectors, services, tasks
from marketplace.moderation.models import AuditEntry, Decision, Report
from marketplace.notifications.models import Notification
from marketplace.notifications.services import choose_letters
from marketplace.policy import may_download, may_edit

pytestmark = pytest.mark.django_db


@pytest.fixture
def adapter(make_adapter: Any, ada: User) -> Adapter:
    return make_adapter(ada, "poems")


def decide(moderator: User, adapter: Adapter, action: str) -> Decision:
    return services.decide(moderator=moderator, adapter=adapter, action=action, reason="Copied without permission.")


def test_report_is_stored_and_audited(adapter: Adapter, bob: User) -> None:
    report = services.report_adapter(user=bob, adapter=adapter, reason="licence", text=" Mine. ")
    assert (report.reporter, report.text, report.state) == (bob, "Mine.", "open")
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.target, entry.actor) == ("adapter.report", "ada/poems", bob)


def test_second_report_of_the_same_person_replaces_the_first(adapter: Adapter, bob: User) -> None:
    first = services.report_adapter(user=bob, adapter=adapter, reason="spam", text="a")
    again = services.report_adapter(user=bob, adapter=adapter, reason="spam", text="b")
    assert again.pk == first.pk
    assert Report.objects.get().text == "b"
    services.report_adapter(user=bob, adapter=adapter, reason="privacy")
    services.report_adapter(user=None, adapter=adapter, reason="spam")
    services.report_adapter(user=None, adapter=adapter, reason="spam")
    assert Report.objects.count() == 4


@pytest.mark.parametrize(
    ("reason", "text", "field"), [("ugly", "", "reason"), ("other", " ", "text"), ("spam", "x" * 4001, "text")]
)
def test_faults_of_reports(adapter: Adapter, reason: str, text: str, field: str) -> None:
    with pytest.raises(Invalid) as caught:
        services.report_adapter(user=None, adapter=adapter, reason=reason, text=text)
    assert list(caught.value.extra["fields"]) == [field]


def test_quarantine_hides_from_others_and_freezes_for_the_owner(
    adapter: Adapter, ada: User, bob: User, moderator: User
) -> None:
    decide(moderator, adapter, "quarantine")
    assert adapter.moderation == "quarantined"
    with pytest.raises(NotFound):
        get_adapter(user=bob, owner="ada", name="poems")
    assert get_adapter(user=ada, owner="ada", name="poems") == adapter
    assert get_adapter(user=moderator, owner="ada", name="poems") == adapter
    assert not may_download(bob, adapter)
    assert may_download(ada, adapter)
    assert not may_edit(ada, adapter)
    decide(moderator, adapter, "restore")
    assert get_adapter(user=bob, owner="ada", name="poems").moderation == "visible"
    assert may_edit(ada, adapter)


def test_removed_is_kept_for_moderators_alone(adapter: Adapter, ada: User, moderator: User) -> None:
    decide(moderator, adapter, "remove")
    assert not may_download(ada, adapter)
    assert may_download(moderator, adapter)


def test_decision_closes_reports_and_is_audited(adapter: Adapter, bob: User, moderator: User) -> None:
    services.report_adapter(user=bob, adapter=adapter, reason="licence")
    services.report_adapter(user=None, adapter=adapter, reason="spam")
    [waiting] = selectors.adapters_to_decide()
    assert waiting.open_reports == 2
    decision = decide(moderator, adapter, "quarantine")
    assert not selectors.adapters_to_decide().exists()
    entry = AuditEntry.objects.get(action="adapter.quarantine")
    assert entry.actor == moderator
    assert entry.detail == {
        "decision": decision.pk,
        "reason": "Copied without permission.",
        "before": "visible",
        "after": "quarantined",
        "reports_closed": 2,
        "blocked": [],
    }
    assert selectors.latest_decision(adapter) == decision


@pytest.mark.parametrize(
    ("state", "action", "allowed"),
    [
        ("visible", "quarantine", True),
        ("visible", "restore", False),
        ("visible", "remove", True),
        ("quarantined", "quarantine", False),
        ("quarantined", "restore", True),
        ("quarantined", "remove", True),
        ("removed", "quarantine", False),
        ("removed", "restore", True),
        ("removed", "remove", False),
        ("visible", "dismiss", False),
    ],
)
def test_every_transition(adapter: Adapter, moderator: User, state: str, action: str, allowed: bool) -> None:
    Adapter.objects.filter(pk=adapter.pk).update(moderation=state)
    if allowed:
        decide(moderator, adapter, action)
        return
    with pytest.raises(Conflict):
        decide(moderator, adapter, action)
    adapter.refresh_from_db()
    assert adapter.moderation == state
    assert not Decision.objects.exists()
    assert not AuditEntry.objects.exists()


def test_owners_are_told_on_the_site(adapter: Adapter, ada: User, moderator: User) -> None:
    """Also of what was made from the adapter, and not of what changes nothing."""
    services.report_adapter(user=None, adapter=adapter, reason="spam")
    decide(moderator, adapter, "dismiss")
    assert not Notification.objects.exists()
    decide(moderator, adapter, "quarantine")
    told = Notification.objects.get()
    assert (told.user, told.kind, told.title) == (ada, "moderation", "ada/poems is in quarantine")
    assert told.text.endswith("Reason: Copied without permission.")
    assert told.address == "/ada/poems"
    decide(moderator, adapter, "restore")
    assert Notification.objects.filter(title="ada/poems is restored").exists()


def test_who_wants_no_letters_of_decisions_gets_none(adapter: Adapter, ada: User, moderator: User) -> None:
    choose_letters(user=ada, wanted={"moderation": False})
    decide(moderator, adapter, "quarantine")
    assert tasks.mail_decisions() == 0
    assert Notification.objects.filter(user=ada).count() == 1


def test_dismissing_closes_reports_and_leaves_the_adapter(adapter: Adapter, moderator: User) -> None:
    services.report_adapter(user=None, adapter=adapter, reason="spam")
    decide(moderator, adapter, "dismiss")
    adapter.refresh_from_db()
    assert adapter.moderation == "visible"
    assert Report.objects.get().state == "closed"


def test_reason_is_mandatory_and_only_moderators_decide(adapter: Adapter, ada: User, moderator: User) -> None:
    with pytest.raises(Invalid, match="reason"):
        services.decide(moderator=moderator, adapter=adapter, action="quarantine", reason="  ")
    with pytest.raises(Forbidden):
        decide(ada, adapter, "quarantine")
    with pytest.raises(Invalid):
        decide(moderator, adapter, "burn")


def test_owner_is_told_by_mail_once(adapter: Adapter, moderator: User, django_capture_on_commit_callbacks: Any) -> None:
    with django_capture_on_commit_callbacks() as callbacks:
        decide(moderator, adapter, "quarantine")
    assert len(callbacks) == 2, "the letter, and a look at open jobs"
    assert tasks.mail_decisions() == 1
    [message] = mail.outbox
    assert message.to == ["ada@example.org"]
    assert "ada/poems is in quarantine" in message.subject
    assert "Copied without permission." in message.body
    assert "/ada/poems" in message.body
    assert tasks.mail_decisions() == 0
    assert len(mail.outbox) == 1


def test_a_mail_server_that_is_away_delays_the_mail(adapter: Adapter, moderator: User, settings: Any) -> None:
    decide(moderator, adapter, "quarantine")
    working = settings.EMAIL_BACKEND
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 1
    assert tasks.mail_decisions() == 0
    settings.EMAIL_BACKEND = working
    assert tasks.mail_decisions() == 1


def test_owner_without_address_gets_no_mail(adapter: Adapter, moderator: User) -> None:
    User.objects.filter(username="ada").update(email="")
    decide(moderator, adapter, "quarantine")
    assert tasks.mail_decisions() == 0
    assert mail.outbox == []
    assert Decision.objects.get().notified_at is not None


def test_dismissals_are_not_mailed(adapter: Adapter, moderator: User) -> None:
    services.report_adapter(user=None, adapter=adapter, reason="spam")
    decide(moderator, adapter, "dismiss")
    assert tasks.mail_decisions() == 0


def test_decision_sticks_to_the_weights(make_adapter: Any, ada: User, bob: User, moderator: User) -> None:
    bad = make_adapter(ada, "bad", weights="bad bytes")
    make_adapter(bob, "good", weights="good bytes")
    digest = bad.current.artifact.weights_blob_id
    digests = [digest, Adapter.objects.get(name="good").current.artifact.weights_blob_id]
    assert selectors.refused_bytes(digests) == {}
    decision = decide(moderator, bad, "remove")
    assert selectors.refused_bytes(digests) == {digest: decision.reason}


def test_weights_that_were_taken_down_cannot_be_published_again(
    make_adapter: Any, ada: User, bob: User, moderator: User
) -> None:
    bad = make_adapter(ada, "bad")
    decision = decide(moderator, bad, "quarantine")
    delete = Adapter.objects.filter(pk=bad.pk)
    delete.update(deleted_at=decision.created_at)
    upload = Upload.objects.create(owner=bob, artifact=bad.current.artifact)
    with pytest.raises(Conflict, match="taken down"):
        publish_upload(user=bob, upload=upload, name="again")
    assert not Adapter.objects.filter(owner=bob).exists()


def test_what_is_in_quarantine_cannot_be_merged(adapter: Adapter, ada: User, moderator: User) -> None:
    decide(moderator, adapter, "quarantine")
    with pytest.raises(Conflict, match="ada/poems"):
        create_merge(user=ada, name="sum", members=[(adapter, 1.0)], method="linear")
