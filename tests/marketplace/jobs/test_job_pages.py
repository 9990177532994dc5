"""The list of one's jobs."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from marketplace.accounts.models import User

pytestmark = pytest.mark.django_db


def test_jobs_that_wait_show_their_place_and_no_start(ada: User, make_job: Any, client: Client) -> None:
    make_job()
    client.force_login(ada)
    assert "0 before it" in client.get("/jobs/").content.decode()
    make_job()
    page = client.get("/jobs/").content.decode()
    assert "1 before it" in page
    assert page.count("not yet, asked") == 2
    make_job(state="running", started_at=timezone.now())
    assert client.get("/jobs/").content.decode().count("not yet, asked") == 2


def test_a_job_that_was_withdrawn_says_why(ada: User, make_job: Any, client: Client) -> None:
    make_job(state="cancelled", error_code="withdrawn", error_message="ada/poems was deleted.")
    client.force_login(ada)
    page = client.get("/jobs/").content.decode()
    assert "ada/poems was deleted." in page
    assert ">failed<" not in page
