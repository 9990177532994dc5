"""Asking for a gated adapter, and the owner's answers."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser
from django.core import mail
from django.utils import timezone

from marketplace import policy
from marketplace.accounts.models import User
from marketplace.adapters import access_mails
from marketplace.adapters.models import AccessRequest, Adapter
from marketplace.adapters.services.access import answer_request, request_access, withdraw_request
from marketplace.core.errors import Conflict, Forbidden, Invalid, NotAuthenticated, NotFound
from marketplace.moderation.models import AuditEntry

pytestmark = pytest.mark.django_db


def actions() -> list[str]:
    return list(AuditEntry.objects.order_by("pk").values_list("action", flat=True))


def test_ask_approve_use_revoke(gated: Adapter, ada: User, bob: User) -> None:
    asked = request_access(user=bob, adapter=gated, message="  For my thesis. ", agree=True)
    assert (asked.state, asked.message) == ("waiting", "For my thesis.")
    assert not policy.may_download(bob, gated)
    answered = answer_request(user=ada, adapter=gated, asker=bob, approve=True, answer="Welcome.")
    assert (answered.state, answered.answer, answered.decided_by) == ("approved", "Welcome.", ada)
    assert policy.may_use(bob, gated)
    answer_request(user=ada, adapter=gated, asker=bob, approve=False, answer="The project is over.")
    assert not policy.may_use(bob, gated)
    assert actions() == ["access.request", "access.approve", "access.revoke"]


def test_terms_must_be_agreed_to(gated: Adapter, bob: User) -> None:
    with pytest.raises(Invalid) as raised:
        request_access(user=bob, adapter=gated)
    assert list(raised.value.extra["fields"]) == ["agree"]
    gated.gate_terms = ""
    gated.save()
    assert request_access(user=bob, adapter=gated).state == "waiting"


@pytest.mark.parametrize("visibility", ["public", "private"])
def test_only_gated_adapters_are_asked_for(make_adapter: Any, ada: User, bob: User, visibility: str) -> None:
    adapter = make_adapter(ada, "other", visibility=visibility)
    with pytest.raises(Conflict if visibility == "public" else NotFound):
        request_access(user=bob, adapter=adapter, agree=True)


def test_who_may_not_ask(gated: Adapter, ada: User, make_person: Any) -> None:
    with pytest.raises(NotAuthenticated):
        request_access(user=AnonymousUser(), adapter=gated, agree=True)  # type: ignore[arg-type]
    with pytest.raises(NotAuthenticated):
        request_access(user=make_person("gone", is_active=False), adapter=gated, agree=True)
    with pytest.raises(Conflict):
        request_access(user=ada, adapter=gated, agree=True)
    assert not AccessRequest.objects.exists()


def test_a_second_request_replaces_the_words(gated: Adapter, bob: User) -> None:
    request_access(user=bob, adapter=gated, message="One.", agree=True)
    request_access(user=bob, adapter=gated, message="Two.", agree=True)
    assert [asked.message for asked in gated.access_requests.all()] == ["Two."]


def test_after_a_refusal_some_days_pass(gated: Adapter, ada: User, bob: User, settings: Any) -> None:
    settings.ACCESS_ASK_AGAIN_DAYS = 3
    request_access(user=bob, adapter=gated, agree=True)
    answer_request(user=ada, adapter=gated, asker=bob, approve=False, answer="Say what for.")
    with pytest.raises(Conflict, match="again in 3 days") as raised:
        request_access(user=bob, adapter=gated, message="Please.", agree=True)
    assert raised.value.code == "ask_later"
    with pytest.raises(Conflict, match="refused"):
        withdraw_request(user=bob, adapter=gated)
    AccessRequest.objects.update(decided_at=timezone.now() - timedelta(days=3, seconds=1))
    asked = request_access(user=bob, adapter=gated, message="For my thesis.", agree=True)
    assert (asked.state, asked.answer, asked.decided_by, asked.decided_at) == ("waiting", "", None, None)


def test_withdrawing(gated: Adapter, ada: User, bob: User) -> None:
    with pytest.raises(NotFound):
        withdraw_request(user=bob, adapter=gated)
    request_access(user=bob, adapter=gated, agree=True)
    withdraw_request(user=bob, adapter=gated)
    assert not gated.access_requests.exists()
    request_access(user=bob, adapter=gated, agree=True)
    answer_request(user=ada, adapter=gated, asker=bob, approve=True)
    withdraw_request(user=bob, adapter=gated)
    assert not policy.may_download(bob, gated)


def test_only_the_owner_answers(gated: Adapter, bob: User, moderator: User, make_person: Any) -> None:
    request_access(user=bob, adapter=gated, agree=True)
    writer = make_person("wim")
    gated.collaborators.create(user=writer, role="write")
    for person in (bob, moderator, writer):
        with pytest.raises(Forbidden):
            answer_request(user=person, adapter=gated, asker=bob, approve=True)
    assert gated.access_requests.get().state == "waiting"


def test_answers_need_a_request_and_bounded_words(gated: Adapter, ada: User, bob: User) -> None:
    with pytest.raises(NotFound, match="bob has not asked"):
        answer_request(user=ada, adapter=gated, asker=bob, approve=True)
    with pytest.raises(Invalid):
        request_access(user=bob, adapter=gated, message="x" * 2001, agree=True)


def test_letters(gated: Adapter, ada: User, bob: User) -> None:
    asked = request_access(user=bob, adapter=gated, message="For my thesis.", agree=True)
    assert access_mails.send(access_mails.ASKED, asked.pk)
    answer_request(user=ada, adapter=gated, asker=bob, approve=True, answer="Welcome.")
    assert access_mails.send(access_mails.ANSWERED, asked.pk)
    assert not access_mails.send(access_mails.ASKED, asked.pk), "it is answered already"
    to_owner, to_asker = mail.outbox
    assert (to_owner.to, to_owner.subject) == ([ada.email], "bob asks for access to ada/poems")
    assert "For my thesis." in to_owner.body
    assert "/ada/poems/access" in to_owner.body
    assert (to_asker.to, to_asker.subject) == ([bob.email], "You have access to ada/poems")
    assert "Welcome." in to_asker.body
    answer_request(user=ada, adapter=gated, asker=bob, approve=False)
    assert access_mails.send(access_mails.ANSWERED, asked.pk)
    assert mail.outbox[-1].subject == "No access to ada/poems"
    assert not access_mails.send(access_mails.ASKED, 0)
