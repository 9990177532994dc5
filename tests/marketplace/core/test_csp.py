from __future__ import annotations

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory

from marketplace.core.csp import POLICY, ContentSecurityPolicy


@pytest.mark.django_db
def test_pages_allow_nothing_inline_and_nothing_from_elsewhere(client: Client) -> None:
    policy = client.get("/catalogue/")["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "unsafe" not in policy


@pytest.mark.django_db
def test_only_the_api_documentation_has_its_inline_script(client: Client) -> None:
    assert "script-src 'self' 'unsafe-inline'" in client.get("/api/docs/")["Content-Security-Policy"]
    assert "unsafe" not in client.get("/nobody/nothing")["Content-Security-Policy"]


async def test_the_same_for_asynchronous_servers() -> None:
    async def view(request: HttpRequest) -> HttpResponse:
        return HttpResponse("x", headers={"Content-Security-Policy": "sandbox"} if request.path == "/file" else {})

    middleware = ContentSecurityPolicy(view)
    factory = RequestFactory()
    assert (await middleware(factory.get("/")))["Content-Security-Policy"] == POLICY
    assert (await middleware(factory.get("/file")))["Content-Security-Policy"] == "sandbox"
