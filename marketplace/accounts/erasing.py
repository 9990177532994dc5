"""Erasing what is known of a person whose account was closed."""

from __future__ import annotations

from allauth.account.models import EmailAddress
from django.contrib.sessions.models import Session
from django.core.cache import cache
from django.db import transaction
from django.utils import timezone
from rest_framework.throttling import SimpleRateThrottle

from marketplace.accounts.closing import stop_jobs
from marketplace.accounts.models import Token, User
from marketplace.adapters.models import AccessRequest, Adapter, Collaborator, PartialUpload, Transfer, Upload, Version
from marketplace.adapters.services.deleting import entomb
from marketplace.compositions.models import Composition
from marketplace.evaluations.forgetting import forget_suites
from marketplace.evaluations.models import EvaluationSuite
from marketplace.jobs.models import Job
from marketplace.likes.services import forget_likes
from marketplace.moderation import audit
from marketplace.moderation.models import Report
from marketplace.notifications.models import MutedLetter, Notification
from marketplace.playground.models import Usage
from marketplace.regressions.models import Watch


def erase_due_accounts() -> int:
    """Erase the accounts whose time to come back is over; how many."""
    due = User.objects.filter(closing_at__lte=timezone.now(), erased_at=None).order_by("pk")
    return sum(_erase(pk) for pk in list(due.values_list("pk", flat=True)))


def _erase(pk: int) -> bool:
    due = User.objects.filter(closing_at__lte=timezone.now(), erased_at=None)
    if (leaving := due.filter(pk=pk).first()) is not None:
        stop_jobs(leaving)
    with transaction.atomic():
        user = due.select_for_update(skip_locked=True, no_key=True).filter(pk=pk).first()
        if user is None:
            return False
        _end_adapters(user)
        _forget_traces(user)
        _forget_person(user)
        audit.record(actor=None, action="account.erase", target=user.username)
        transaction.on_commit(lambda: _forget_sessions(pk))
    return True


def _end_adapters(user: User) -> None:
    """Delete whatever is left, also what was made since the closing; what moderators took down stays as evidence, and
    ``purging`` ends it after ``REMOVED_KEEP_DAYS``."""
    rows = Adapter.objects.select_for_update(of=("self",)).select_related("owner").order_by("pk")
    entomb(list(rows.filter(owner=user, deleted_at=None, moderation=Adapter.Moderation.VISIBLE)), user)
    Version.objects.filter(author=user).update(author=None)


def _forget_traces(user: User) -> None:
    """What the person did beside their adapters. Others' records of it lose the name of who it was."""
    Upload.objects.filter(owner=user).delete()
    PartialUpload.objects.filter(owner=user).update(expires_at=timezone.now(), path="", fingerprint="")
    Job.objects.filter(owner=user, state__in=Job.ENDED).delete()
    forget_suites(EvaluationSuite.objects.filter(owner=user))
    Usage.objects.filter(user=user).update(user=None)
    Report.objects.filter(reporter=user).update(reporter=None)
    Collaborator.objects.filter(user=user).delete()
    AccessRequest.objects.filter(user=user).delete()
    Transfer.objects.filter(receiver=user).exclude(state=Transfer.State.ACCEPTED).delete()
    forget_likes(user)
    Watch.objects.filter(owner=user).delete()
    Composition.objects.filter(owner=user).delete()
    Notification.objects.filter(user=user).delete()
    MutedLetter.objects.filter(user=user).delete()
    Token.objects.filter(owner=user).delete()
    EmailAddress.objects.filter(user=user).delete()


def _forget_person(user: User) -> None:
    user.groups.clear()
    user.user_permissions.clear()
    user.email = user.display_name = user.first_name = user.last_name = ""
    user.is_active = user.is_staff = user.is_superuser = False
    user.last_login = user.quota_bytes = user.closing_at = None
    user.erased_at = timezone.now()
    user.set_unusable_password()
    user.save()


def _forget_sessions(pk: int) -> None:
    """Sessions ended with the password; their rows name the person until they expire. Rate limits count by key."""
    for session in Session.objects.filter(expire_date__gt=timezone.now()).iterator(chunk_size=500):
        if session.get_decoded().get("_auth_user_id") == str(pk):
            session.delete()
    cache.delete_many([f"throttle_{scope}_{pk}" for scope in SimpleRateThrottle.THROTTLE_RATES])
