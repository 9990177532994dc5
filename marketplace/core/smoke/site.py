"""A site's REST as the smoke test uses it: signed in, with errors in the words that the site gave."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

import httpx

_TIMEOUT = httpx.Timeout(60.0, connect=5.0)
_POLL_SECONDS = 0.25


class LeftOut(Exception):
    """A step that cannot be done here; the message says why, and where it can."""


class SmokeFault(Exception):
    """A step did not hold; the message says what was asked and what came back."""


class Site:
    """One site. Used as a context manager, it takes back the token that it made.

    ``public`` is the address under which the site knows itself. Where ``url`` is another one (the server behind its
    proxy, from inside its container), requests carry the public host and scheme, as the proxy would send them.
    """

    def __init__(self, url: str, public: str = "", transport: httpx.BaseTransport | None = None) -> None:
        self.url = url.rstrip("/")
        self.public = public.rstrip("/") or self.url
        self._http = httpx.Client(base_url=self.url, timeout=_TIMEOUT, follow_redirects=False, transport=transport)
        if self.public != self.url:
            parts = urlsplit(self.public)
            self._http.headers.update({"Host": parts.netloc, "X-Forwarded-Proto": parts.scheme})
        self._made_token: int | None = None
        self.user = ""

    def __enter__(self) -> Site:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._made_token is not None:
                self.delete(f"/api/v1/tokens/{self._made_token}/")
        finally:
            self._http.close()

    # --- signing in --------------------------------------------------------------------------------------------------
    def use_token(self, token: str) -> None:
        self._http.headers["Authorization"] = f"Bearer {token}"
        self.user = str(self.get("/api/v1/me/")["username"])

    def sign_in(self, username: str, password: str) -> None:
        """Open a session as a browser does, make a token of an hour in it, and go on with that."""
        login = "/account/login/"
        self._send("GET", login, (200,))
        form = {"login": username, "password": password, "csrfmiddlewaretoken": self._csrf()}
        answer = self._send("POST", login, (200, 302), data=form, headers=self._same_origin())
        if answer.status_code != 302:
            raise SmokeFault(f"{username} cannot sign in: the user name or the password is wrong.")
        expiry = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600))
        body = {"name": "smoke test", "scope": "write", "expires_at": expiry}
        made = self._send("POST", "/api/v1/tokens/", (201,), json=body, headers=self._same_origin()).json()
        self._http.cookies.clear()
        self._made_token = int(made["id"])
        self.use_token(str(made["secret"]))

    def _csrf(self) -> str:
        return self._http.cookies.get("csrftoken") or ""

    def _same_origin(self) -> dict[str, str]:
        return {"X-CSRFToken": self._csrf(), "Origin": self.public, "Referer": f"{self.public}/"}

    # --- requests ----------------------------------------------------------------------------------------------------
    def _send(self, method: str, path: str, expected: tuple[int, ...], **arguments: Any) -> httpx.Response:
        try:
            answer = self._http.request(method, path, **arguments)
        except httpx.HTTPError as error:
            raise SmokeFault(f"{method} {self.url}{path}: no answer ({error or type(error).__name__})") from error
        if self.public != self.url:
            for cookie in self._http.cookies.jar:
                cookie.secure = False  # Meant for the public address, whose TLS the proxy ends.
        if answer.status_code not in expected:
            raise SmokeFault(f"{method} {path}: {answer.status_code} {_words(answer)}")
        return answer

    def get(self, path: str, params: Mapping[str, Any] | None = None, expected: tuple[int, ...] = (200,)) -> Any:
        return self._send("GET", path, expected, params=params).json()

    def get_bytes(self, path: str) -> bytes:
        return self._send("GET", path, (200,)).content

    def post(self, path: str, body: Mapping[str, Any], expected: tuple[int, ...] = (200, 201, 202)) -> Any:
        return self._send("POST", path, expected, json=body).json()

    def post_files(self, path: str, files: Mapping[str, bytes]) -> Any:
        parts = [("files", (name, content)) for name, content in files.items()]
        return self._send("POST", path, (201,), files=parts).json()

    def delete(self, path: str) -> None:
        self._send("DELETE", path, (204, 404))


def _words(answer: httpx.Response) -> str:
    """The message of the error envelope, else the beginning of whatever came."""
    try:
        return str(answer.json()["message"])
    except (ValueError, KeyError, TypeError):
        return " ".join(answer.text.split())[:200]


def wait_for(read: Callable[[], Any], done: Callable[[Any], bool], within: float, what: str) -> Any:
    """What ``read`` gives once ``done`` accepts it.

    Raises:
        SmokeFault: not within ``within`` seconds.
    """
    until = time.monotonic() + within
    while True:
        value = read()
        if done(value):
            return value
        if time.monotonic() > until:
            raise SmokeFault(f"{what} took longer than {within:g} s")
        time.sleep(_POLL_SECONDS)
