"""Connections to vetted numbers only, each with a deadline that no server can stretch.

httpcore asks a backend for a TCP connection and does TLS itself with the address's name (SNI and certificate), so that
pinning the number costs no check.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterable
from typing import Any

import certifi
import httpcore

from inference_worker.fetching.addresses import resolve
from inference_worker.fetching.settings import FetchSettings


class Clock:
    """When everything must be over (``ends``, in monotonic seconds), and the answer that is waited for (``answer``)."""

    def __init__(self, seconds: float) -> None:
        self.ends = time.monotonic() + seconds
        self.answer: float | None = None

    @property
    def over(self) -> bool:
        return time.monotonic() >= self.ends

    def left(self, timeout: float | None) -> float:
        """Seconds that one operation may take. Raises ``httpcore.ReadTimeout`` when none are left."""
        ends = self.ends if self.answer is None else min(self.ends, self.answer)
        remaining = ends - time.monotonic()
        if remaining <= 0:
            raise httpcore.ReadTimeout("the time is over")
        return remaining if timeout is None else min(remaining, timeout)


class TimedStream(httpcore.NetworkStream):
    """A connection whose every operation ends with the clock: timeouts of single reads alone would let a server that
    sends a byte now and then keep a worker for ever."""

    def __init__(self, stream: httpcore.NetworkStream, clock: Clock) -> None:
        self._stream, self._clock = stream, clock

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._clock.left(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._clock.left(timeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        secured = self._stream.start_tls(ssl_context, server_hostname, self._clock.left(timeout))
        return TimedStream(secured, self._clock)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class TimedBackend(httpcore.NetworkBackend):
    """Connects to what it is told, within the clock."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._backend = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """Raises httpcore's own errors."""
        return TimedStream(self._backend.connect_tcp(host, port, self._clock.left(timeout)), self._clock)

    def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[Any] | None = None
    ) -> httpcore.NetworkStream:
        raise httpcore.ConnectError("local sockets are never connected to")


class GuardedBackend(TimedBackend):
    """Resolves names itself and connects to what ``addresses.resolve`` lets through."""

    def __init__(self, settings: FetchSettings, clock: Clock) -> None:
        super().__init__(clock)
        self._settings = settings

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """Raises ``AddressRefused``, and httpcore's own errors."""
        try:
            numbers = resolve(host, port, self._settings)
        except OSError as error:
            raise httpcore.ConnectError(f"{host} cannot be resolved") from error
        fault: Exception | None = None
        for number in numbers:
            try:
                return super().connect_tcp(number, port, timeout)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                fault = error
        raise fault or httpcore.ConnectError(f"{host} has no address")


def open_pool(settings: FetchSettings, clock: Clock) -> httpcore.ConnectionPool:
    """Connections for one job. A proxy that the operator has set resolves names itself and is the guard then."""
    context = ssl.create_default_context(cafile=settings.ca_bundle or certifi.where())
    if settings.proxy:
        proxy = httpcore.Proxy(settings.proxy)
        return httpcore.ConnectionPool(ssl_context=context, proxy=proxy, network_backend=TimedBackend(clock))
    return httpcore.ConnectionPool(ssl_context=context, network_backend=GuardedBackend(settings, clock))
