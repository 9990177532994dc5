"""Errors say the same in REST and on pages, with the right status, whatever raised them."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import redis
from django.core.exceptions import PermissionDenied, SuspiciousOperation, ValidationError
from django.db import OperationalError
from django.http import Http404, HttpRequest, HttpResponse
from django.test import Client
from django.urls import include, path
from kombu.exceptions import OperationalError as BrokerError
from rest_framework import serializers
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from inference_worker import errors as engine
from marketplace import urls as site
from marketplace.core import errors
from marketplace.core.translator import as_app_error

FAULTS: dict[str, Exception] = {
    "conflict": errors.Conflict("The name is taken.", extra={"name": "x"}),
    "missing": errors.NotFound("There is no such adapter."),
    "forbidden": PermissionDenied("Moderators only."),
    "gone": Http404("details"),
    "slow": errors.TooManyRequests("Try again in 7 seconds.", extra={"retry_after": 7}),
    "sign-in": errors.NotAuthenticated("Sign in."),
    "database": OperationalError("server closed the connection"),
    "full": engine.StorageFull("no space left"),
    "suspicious": SuspiciousOperation("details"),
    "bug": KeyError("a bug"),
}


class Item(serializers.Serializer[Any]):
    number = serializers.IntegerField()
    names = serializers.ListField(child=serializers.CharField(max_length=3))


class RestView(APIView):
    authentication_classes: list[Any] = []
    permission_classes = [AllowAny]

    def get(self, request: Request, fault: str) -> Response:
        raise FAULTS[fault]

    def post(self, request: Request, fault: str) -> Response:
        item = Item(data=request.data)
        item.is_valid(raise_exception=True)
        return Response(item.data)


def page(request: HttpRequest, fault: str) -> HttpResponse:
    raise FAULTS[fault]


async def async_page(request: HttpRequest, fault: str) -> HttpResponse:
    raise FAULTS[fault]


handler400, handler403 = site.handler400, site.handler403
handler404, handler500 = site.handler404, site.handler500
urlpatterns = [
    path("api/v1/faults/<str:fault>/", RestView.as_view()),
    path("api/v1/plain/<str:fault>/", page),
    path("faults/<str:fault>/", page),
    path("async-faults/<str:fault>/", async_page),
    path("", include(site.urlpatterns)),
]
pytestmark = [pytest.mark.urls(__name__), pytest.mark.django_db]


@pytest.fixture
def browser() -> Client:
    return Client(raise_request_exception=False, headers={"Accept": "text/html"})


CASES = [
    ("conflict", 409, "conflict", "The name is taken."),
    ("missing", 404, "not_found", "There is no such adapter."),
    ("forbidden", 403, "forbidden", "Moderators only."),
    ("gone", 404, "not_found", "There is nothing at this address, or it is not yours to see."),
    ("slow", 429, "too_many_requests", "Try again in 7 seconds."),
    ("sign-in", 401, "not_authenticated", "Sign in."),
    ("database", 503, "unavailable", "does not answer"),
    ("full", 507, "storage_full", "storage is full"),
    ("suspicious", 400, "bad_request", "The request is malformed."),
    ("bug", 500, "server_error", "This is a fault of the site"),
]


@pytest.mark.parametrize(("fault", "status", "code", "words"), CASES)
def test_rest_and_pages_say_the_same(browser: Client, fault: str, status: int, code: str, words: str) -> None:
    for prefix in ("/api/v1/faults", "/api/v1/plain"):
        answer = browser.get(f"{prefix}/{fault}/")
        assert answer.status_code == status
        body = answer.json()
        assert set(body) == {"code", "message", "extra"}
        assert body["code"] == code
        assert words in body["message"]
        assert "details" not in answer.content.decode()
    for prefix in ("/faults", "/async-faults"):
        shown = browser.get(f"{prefix}/{fault}/")
        assert shown.status_code == status
        assert shown["Content-Type"].startswith("text/html")
        assert words in shown.content.decode()


def test_headers_of_errors(browser: Client) -> None:
    for prefix in ("/api/v1/faults", "/faults"):
        assert browser.get(f"{prefix}/slow/")["Retry-After"] == "7"
        assert browser.get(f"{prefix}/sign-in/")["WWW-Authenticate"] == "Bearer"


def test_programs_get_json_from_pages(browser: Client) -> None:
    answer = browser.get("/faults/conflict/", headers={"Accept": "application/json"})
    assert answer.json() == {"code": "conflict", "message": "The name is taken.", "extra": {"name": "x"}}


def test_bugs_show_the_request_id_and_nothing_else(browser: Client) -> None:
    answer = browser.get("/api/v1/faults/bug/")
    assert answer.json()["extra"]["request_id"]
    assert "a bug" not in answer.content.decode()
    assert re.search(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", browser.get("/faults/bug/").content.decode())


def test_unknown_addresses(browser: Client) -> None:
    for address in ("/api/v1/nothing/here/", "/api/v1/adapters", "/api/nothing"):
        answer = browser.get(address)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), address
    page = browser.get("/no/such/page/anywhere")
    assert page.status_code == 404
    assert "There is nothing at this address" in page.content.decode()


def post(browser: Client, body: bytes, content_type: str = "application/json") -> Any:
    return browser.generic("POST", "/api/v1/faults/x/", body, content_type=content_type)


@pytest.mark.parametrize("body", [b"{", b'{"number": }', b"\xff\xfe", b"nonsense", b"[" * 100_000, b'{"number": NaN}'])
def test_malformed_json_is_said_in_the_envelope(browser: Client, body: bytes) -> None:
    answer = post(browser, body)
    assert answer.status_code == 400
    assert answer.json()["code"] == "parse_error"


def test_long_json_is_refused_before_it_is_parsed(browser: Client) -> None:
    answer = post(browser, b'{"number": "' + b"x" * 3_000_000 + b'"}')
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


def test_other_media_types_and_methods(browser: Client) -> None:
    answer = post(browser, b"<a/>", "text/xml")
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")
    answer = browser.put("/api/v1/faults/x/")
    assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")
    assert "GET" in answer["Allow"]


def test_faults_of_fields_are_mapped(browser: Client) -> None:
    answer = post(browser, json.dumps({"number": "x", "names": ["ok", "too long"]}).encode())
    body = answer.json()
    assert (answer.status_code, body["code"]) == (400, "invalid")
    assert body["extra"]["fields"] == {
        "number": ["A valid integer is required."],
        "names": ["1: Ensure this field has no more than 3 characters."],
    }
    assert "number: A valid integer is required." in body["message"]
    assert post(browser, b"[]").json()["extra"]["fields"].keys() == {"non_field_errors"}


def test_nul_in_addresses_is_refused(browser: Client) -> None:
    for address in ("/api/v1/faults/x%00/", "/catalogue/?q=%00"):
        answer = browser.get(address)
        assert answer.status_code == 400
        assert "NUL" in answer.content.decode()


def test_csrf_failure_is_explained() -> None:
    client = Client(enforce_csrf_checks=True, headers={"Accept": "text/html"})
    answer = client.post("/account/login/", {"login": "x"})
    assert answer.status_code == 403
    assert "Reload the page" in answer.content.decode()


def test_translation_of_what_libraries_raise() -> None:
    for error in (redis.ConnectionError("x"), redis.TimeoutError("x"), BrokerError("x"), OperationalError("x")):
        translated = as_app_error(error)
        assert isinstance(translated, errors.Unavailable)
    refused = as_app_error(engine.Refused("Ranks differ.", extra={"ranks": [4, 8]}))
    assert isinstance(refused, errors.Invalid)
    assert (refused.message, refused.code, refused.extra) == ("Ranks differ.", "refused", {"ranks": [4, 8]})
    model_fault = as_app_error(ValidationError({"name": ["Too long."]}))
    assert isinstance(model_fault, errors.Invalid)
    assert model_fault.extra == {"fields": {"name": ["Too long."]}}
    assert as_app_error(ValidationError("No.")).extra["fields"] == {"non_field_errors": ["No."]}  # type: ignore[union-attr]
    assert as_app_error(ValueError("a bug")) is None
    assert as_app_error(engine.BlobCorrupt("x")) is None
