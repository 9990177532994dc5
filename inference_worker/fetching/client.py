"""GET with redirects followed by hand: every hop is vetted anew, and gets only what is meant for it."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

import httpcore

from inference_worker.fetching.addresses import Address, joined
from inference_worker.fetching.faults import AddressRefused, FetchFailed, Interrupted, TooMuch
from inference_worker.fetching.network import Clock, open_pool
from inference_worker.fetching.settings import FetchSettings

Value = TypeVar("Value")

REDIRECTS = frozenset({301, 302, 303, 307, 308})
#: What servers answer when they are busy or broken for the moment.
PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
#: Longest pause between two attempts, in seconds.
MAX_PAUSE = 30.0
#: Headers of a hub's redirect that tell of the file behind it.
_KEPT = ("x-linked-etag", "x-linked-size", "x-repo-commit")
_BROKEN = (httpcore.NetworkError, httpcore.TimeoutException, httpcore.RemoteProtocolError)


@dataclass
class Answer:
    """The last hop's answer. ``headers`` are in lower case, with what the hops before said of the file."""

    status: int
    address: Address
    headers: Mapping[str, str]
    chunks: Iterator[bytes] = field(repr=False)


class Client:
    """The connections of one job; use it as a context manager."""

    def __init__(self, settings: FetchSettings, seconds: float) -> None:
        self.settings = settings
        self.clock = Clock(seconds)
        self._seconds = seconds
        self._pool = open_pool(settings, self.clock)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exc: object) -> None:
        self._pool.close()

    @contextmanager
    def get(self, address: Address, headers: Mapping[str, str] | None = None) -> Iterator[Answer]:
        """The answer to GET, its body unread and not decompressed.

        Raises ``Interrupted`` for what may pass, ``AddressRefused`` and ``FetchFailed`` for what will not.
        """
        known: dict[str, str] = {}
        with self._translated(address):
            for _ in range(self.settings.max_redirects + 1):
                # Headers must come soon, however many bytes of them a server sends now and then.
                self.clock.answer = time.monotonic() + self.settings.header_seconds
                with self._pool.stream(
                    "GET", self._url(address), headers=self._headers(address, headers or {}), extensions=self._timeouts
                ) as response:
                    self.clock.answer = None
                    own = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers}
                    known.update({name: own[name] for name in _KEPT if name in own})
                    if response.status in REDIRECTS and own.get("location"):
                        address = joined(address, own["location"], self.settings)
                        continue
                    if response.status in PASSING:
                        raise Interrupted(f"{address.host} answers with status {response.status}")
                    yield Answer(response.status, address, {**known, **own}, response.iter_stream())
                    return
            raise AddressRefused(
                f"{address.host} sends from one address to the next, more than {self.settings.max_redirects} times."
            )

    def read(self, address: Address, limit: int, headers: Mapping[str, str] | None = None) -> tuple[Answer, bytes]:
        """The whole of a short answer, tried again when it breaks off. Raises ``TooMuch`` beyond ``limit`` bytes."""

        def once() -> tuple[Answer, bytes]:
            with self.get(address, headers) as answer:
                body = bytearray()
                for chunk in answer.chunks:
                    body += chunk
                    if len(body) > limit:
                        raise TooMuch(f"The answer of {answer.address.host} is larger than {limit:,} bytes.")
                return answer, bytes(body)

        return self.patiently(str(address), once)

    def patiently(self, what: str, action: Callable[[], Value], progressed: Callable[[], bool] | None = None) -> Value:
        """Run ``action`` until it is not interrupted. Attempts without progress are numbered, pauses double."""
        attempt = 0
        while True:
            try:
                return action()
            except Interrupted as fault:
                attempt = 1 if progressed is not None and progressed() else attempt + 1
                if self.clock.over:
                    raise self._too_slow(what) from fault
                if attempt >= self.settings.attempts:
                    raise FetchFailed(
                        f"{what} could not be fetched: {fault}. Try again later; what has arrived is kept for a day."
                    ) from fault
            pause = min(self.settings.backoff * 2 ** (attempt - 1), MAX_PAUSE)
            time.sleep(max(0.0, min(pause, self.clock.ends - time.monotonic())))

    @contextmanager
    def _translated(self, address: Address) -> Iterator[None]:
        try:
            yield
        except _BROKEN as fault:
            if self.clock.over:
                raise self._too_slow(str(address)) from fault
            if _is_certificate(fault):
                raise FetchFailed(f"{address.host} shows a certificate that is not valid for it.") from fault
            raise Interrupted(
                f"the connection to {address.host} broke off ({fault or type(fault).__name__})"
            ) from fault
        except (httpcore.ProtocolError, httpcore.UnsupportedProtocol, httpcore.ProxyError) as fault:
            raise FetchFailed(f"{address.host} cannot be understood: {fault}.") from fault

    def _too_slow(self, what: str) -> FetchFailed:
        return FetchFailed(f"{what} was not there within {self._seconds:.0f} seconds, which is all the time there is.")

    def _url(self, address: Address) -> httpcore.URL:
        return httpcore.URL(
            scheme=address.scheme.encode(),
            host=address.host.encode(),
            port=address.port,
            target=address.target.encode("ascii"),
        )

    @property
    def _timeouts(self) -> dict[str, dict[str, float]]:
        read = self.settings.read_seconds
        return {"timeout": {"connect": self.settings.connect_seconds, "read": read, "write": read, "pool": read}}

    def _headers(self, address: Address, more: Mapping[str, str]) -> list[tuple[str, str]]:
        """No cookies, nobody's own token; the operator's token goes to its hub alone."""
        headers = {"Host": address.authority, "User-Agent": "Brickyard", "Accept-Encoding": "identity", **more}
        token = self.settings.hub_tokens.get(address.authority) or self.settings.hub_tokens.get(address.host)
        trusted = address.is_secure or self.settings.is_allowed(address.host, address.port)
        if token and trusted:
            headers["Authorization"] = f"Bearer {token}"
        return list(headers.items())


def _is_certificate(fault: BaseException) -> bool:
    cause: BaseException | None = fault
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return True
        cause = cause.__cause__ or cause.__context__
    return False
