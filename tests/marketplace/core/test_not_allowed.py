"""A form's address that is opened, as after a sign-in, leads back to the form."""

from __future__ import annotations

import pytest
from django.test import Client

from marketplace.accounts.models import User

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("address", "back"),
    [("/combine/from-file", "/combine/"), ("/watches/set", "/watches/"), ("/account/letters", "/account/")],
)
def test_an_opened_form_address_is_a_page(address: str, back: str, ada: User, client: Client) -> None:
    client.force_login(ada)
    answer = client.get(address, headers={"Accept": "text/html"})
    assert (answer.status_code, answer["Allow"]) == (405, "POST")
    page = answer.content.decode()
    assert "only takes what a form sends" in page
    assert f'href="{back}">Back' in page
    program = client.get(address, headers={"Accept": "application/json"})
    assert (program.status_code, program.content) == (405, b"")
