"""The operator's health check: what it says when a site is away, and that it catches a wrong merge."""

from __future__ import annotations

import io
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from django.test import Client

from marketplace.accounts.models import Token
from marketplace.core.management.commands.smoke import Command, _public
from marketplace.core.smoke.comparison import compare_logits
from marketplace.core.smoke.site import LeftOut, Site, SmokeFault, wait_for
from marketplace.core.smoke.steps import SHIPPED

ROOT = Path(__file__).resolve().parents[3]
ADAPTERS = SHIPPED / "adapters"


def smoke(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The command in a bare environment: it needs no database and no settings."""
    names = ("DATABASE_URL", "SECRET_KEY", "REDIS_URL", "DJANGO_SETTINGS_MODULE")
    bare = {name: value for name, value in os.environ.items() if name not in names}
    command = [sys.executable, "manage.py", "smoke", *arguments]
    return subprocess.run(command, cwd=ROOT, env={**bare, "DATA": "/nowhere"}, capture_output=True, text=True)


def test_a_site_that_is_away_fails_with_words() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    done = smoke("--url", f"http://127.0.0.1:{port}", "--token", "x")
    assert done.returncode == 1
    assert "FAILED  sign in" in done.stdout
    assert "no answer" in done.stdout


def test_without_a_login_it_says_what_to_give() -> None:
    done = smoke()
    assert done.returncode == 1
    assert "Give --token, or --username and --password" in done.stderr


def test_waiting_ends() -> None:
    with pytest.raises(SmokeFault, match="The merge took longer than 0 s"):
        wait_for(lambda: "queued", lambda state: state == "succeeded", 0, "The merge")


def test_comparison_accepts_the_adapter_itself_and_catches_another() -> None:
    """A merge of one adapter at weight 1 is that adapter; at another weight it is not."""
    one = ADAPTERS / "opposites"
    assert "largest difference" in compare_logits(SHIPPED / "base", one, [(one, 1.0)], ["Instruction: x"])
    with pytest.raises(SmokeFault, match="Logits differ"):
        compare_logits(SHIPPED / "base", one, [(one, 0.5)], ["Instruction: x"])


def test_comparison_says_why_it_could_not(tmp_path: Path) -> None:
    shutil.copytree(ADAPTERS / "opposites", tmp_path / "broken")
    (tmp_path / "broken" / "adapter_model.safetensors").write_bytes(b"")
    with pytest.raises(SmokeFault, match="could not be compared"):
        compare_logits(SHIPPED / "base", tmp_path / "broken", [(ADAPTERS / "opposites", 1.0)], ["x"])


class _Django(httpx.BaseTransport):
    """Hands httpx's requests to Django, as a server in the same container would."""

    def __init__(self) -> None:
        self.client = Client(enforce_csrf_checks=True)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        headers = {name: value for name, value in request.headers.items() if name != "content-length"}
        self.client.cookies.clear()
        answer = self.client.generic(
            request.method,
            request.url.raw_path.decode(),
            request.read(),
            content_type=request.headers.get("content-type", "application/octet-stream"),
            headers=headers,
        )
        cookies = [("set-cookie", morsel.OutputString()) for morsel in answer.cookies.values()]
        return httpx.Response(answer.status_code, headers=[*answer.headers.items(), *cookies], content=answer.content)


@pytest.mark.django_db
def test_inside_the_container_it_speaks_as_the_proxy_would(make_person: Any, settings: Any) -> None:
    """TLS, one allowed host, secure cookies: all as on a server; asked at http://localhost:8000 past the proxy."""
    settings.ALLOWED_HOSTS = ["brickyard.example.org"]
    settings.SECURE_SSL_REDIRECT = settings.SESSION_COOKIE_SECURE = settings.CSRF_COOKIE_SECURE = True
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    make_person("op")
    with Site("http://localhost:8000", "https://brickyard.example.org", transport=_Django()) as site:
        site.sign_in("op", "correct horse battery")
        assert site.user == "op"
        assert Token.objects.filter(owner__username="op", name="smoke test").exists()
    with pytest.raises(SmokeFault, match="400"), Site("http://localhost:8000", transport=_Django()) as site:
        site.sign_in("op", "correct horse battery")


def test_the_public_address_is_the_environments_for_this_machine_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SITE_URL", "https://brickyard.example.org")
    assert _public({"url": "http://localhost:8000", "public_url": ""}) == "https://brickyard.example.org"
    assert _public({"url": "https://other.example.org", "public_url": ""}) == ""
    assert _public({"url": "http://10.0.0.3", "public_url": "https://x.example"}) == "https://x.example"


def test_without_torch_the_comparison_is_left_out_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    command, out = Command(stdout=(text := io.StringIO())), []
    command._left_out = out
    command._step("compare logits", lambda: compare_logits(SHIPPED / "base", SHIPPED, [], []))
    assert text.getvalue().startswith("LEFT    compare logits")
    assert "manage.py smoke --url" in text.getvalue()
    assert out == ["compare logits"]
    with pytest.raises(LeftOut):
        compare_logits(SHIPPED / "base", SHIPPED, [], [])
