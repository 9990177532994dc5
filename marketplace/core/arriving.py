"""Request bodies under ASGI that are read while they arrive.

Django's own handler writes every body into a temporary file before it looks at the request: an upload would be
written twice, a stranger could fill the disk, and limits would be noticed at the end. Here the body of an upload (a
multipart form, or a piece of a file by tus) reaches the view as it comes in, and the sender is slowed down to the
view's pace; other bodies are small and kept whole. Senders who fall silent or trickle lose their connection.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import CancelledError, Future
from typing import Any

from django.conf import settings
from django.core.exceptions import SuspiciousOperation
from django.core.handlers.asgi import ASGIHandler

from marketplace.core.errors import AppError, LengthRequired, TooLarge

Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[Mapping[str, Any]], Awaitable[None]]

#: Bodies that may be large and are therefore never kept whole.
STREAMED = (b"multipart/form-data", b"application/offset+octet-stream")
#: Bodies whose length has to be stated.
MEASURED = (b"multipart/form-data", b"application/json")
#: Over so many seconds of waiting for it, a sender has to keep up ``UPLOAD_MIN_BYTES_PER_SECOND``.
PACE_SECONDS = 30.0
#: What a form may have beyond ``UPLOAD_MAX_BYTES``; below that the view says in its own words what is too large.
MARGIN_BYTES = 8 << 20
_UNMEASURED = (
    "The body came in chunks without a length. State it as Content-Length, or send the files in pieces by tus."
)


class BodyTooLarge(TooLarge, SuspiciousOperation):
    """More came than any view takes. Where no view is there to translate it, Django answers with 400."""


class ArrivingBody:
    """A blocking file over the messages of an ASGI server. To be read in a worker thread, never in the loop's own.

    Raises ``OSError`` when the sender has gone, ``BodyTooLarge`` beyond ``limit`` bytes; nothing waits for ever.
    """

    def __init__(self, receive: Receive, limit: int | None = None) -> None:
        self._receive = receive
        self._limit = limit
        self._total = 0
        self._loop = asyncio.get_running_loop()
        self._loop_thread = threading.get_ident()
        self._buffer = bytearray()
        self._ended = False
        self._lost = False
        self._why = "The sender has gone before the body was complete."
        self._over = asyncio.Event()
        self._waiting: Future[bytes | None] | None = None
        self._waited = 0.0
        self._paced_from = 0

    def read(self, size: int | None = -1) -> bytes:
        """``size`` bytes, fewer at the end and before a loss; everything for a negative one, if that is little."""
        wanted = None if size is None or size < 0 else size
        if wanted is None:
            return self._read_whole()
        self._fill(wanted)
        with memoryview(self._buffer) as view:
            # A slice of the buffer itself would be one more copy of every byte.
            taken = bytes(view[:wanted])
        del self._buffer[:wanted]
        return taken

    def _read_whole(self) -> bytes:
        """For code that knows nothing of large bodies: it gets no more than any other body may have."""
        limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        self._fill(limit + 1)
        if self._lost:
            raise OSError(self._why)
        if len(self._buffer) > limit:
            raise BodyTooLarge(_words(limit), extra={"limit": limit})
        taken = bytes(self._buffer)
        self._buffer.clear()
        return taken

    def _fill(self, wanted: int) -> None:
        while not self._ended and len(self._buffer) < wanted:
            try:
                part = self._next_part()
            except OSError:
                if self._buffer:
                    # What arrived is handed out first; the next read says that there is no more.
                    return
                raise
            if part is not None:
                self._buffer += part

    def readline(self, size: int | None = -1) -> bytes:
        """Up to and with the next line's end; at most ``size`` bytes of it."""
        most = None if size is None or size < 0 else size
        while not self._ended and b"\n" not in self._buffer and (most is None or len(self._buffer) < most):
            part = self._next_part()
            if part is not None:
                self._buffer += part
        found = self._buffer.find(b"\n")
        end = len(self._buffer) if found < 0 else found + 1
        return self.read(end if most is None else min(end, most))

    def _next_part(self) -> bytes | None:
        if self._lost:
            raise OSError(self._why)
        if threading.get_ident() == self._loop_thread:
            raise RuntimeError("A multipart body is read in a thread: make the view synchronous.")
        began = time.monotonic()
        self._waiting = asyncio.run_coroutine_threadsafe(self._take(), self._loop)
        try:
            part = self._waiting.result(timeout=settings.UPLOAD_SILENCE_SECONDS)
        except (CancelledError, TimeoutError) as error:
            self._waiting.cancel()
            self._lost, self._why = True, "The rest of the body did not arrive."
            raise OSError(self._why) from error
        finally:
            self._waiting = None
        self._keep_pace(time.monotonic() - began)
        return part

    def _keep_pace(self, waited: float) -> None:
        """Only time spent waiting for the sender counts, and bytes of the past earn no right to trickle later."""
        self._waited += waited
        if self._waited < PACE_SECONDS or self._ended:
            return
        if self._total - self._paced_from < self._waited * settings.UPLOAD_MIN_BYTES_PER_SECOND:
            self._lost, self._why = True, "The sender is too slow."
            raise OSError(self._why)
        self._waited, self._paced_from = 0.0, self._total

    async def _take(self) -> bytes | None:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            self._lost = True
            self._over.set()
            raise OSError(self._why)
        part: bytes = message.get("body", b"")
        self._total += len(part)
        if self._limit is not None and self._total > self._limit:
            # Not told to Django as a lost sender: the sender is there and gets an answer.
            raise BodyTooLarge(_words(self._limit), extra={"limit": self._limit})
        if not message.get("more_body", False):
            self._ended = True
            self._over.set()
        return part or None

    async def receive_after(self) -> Mapping[str, Any]:
        """What Django listens to while the view runs: nothing until the body is over, then the server's messages."""
        await self._over.wait()
        return {"type": "http.disconnect"} if self._lost else await self._receive()

    def close(self) -> None:
        """Wake up a thread that still waits."""
        self._lost = True
        waiting = self._waiting
        if waiting is not None:
            waiting.cancel()


class StreamingASGIHandler(ASGIHandler):
    """Django's handler with bodies as this module describes them."""

    async def handle(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        headers = {name.lower(): value for name, value in scope.get("headers", [])}
        if _is_unmeasured(headers):
            await _answer(send, LengthRequired(_UNMEASURED))
            return
        if headers.get(b"content-type", b"").lower().startswith(STREAMED):
            most = settings.UPLOAD_MAX_BYTES + MARGIN_BYTES
            if _length(headers) > most:
                await _refuse(send, most)
                return
            body = ArrivingBody(receive, most)
            try:
                await super().handle(scope, _Receive(body), send)
            finally:
                # Before the request's thread is waited for: it may wait for bytes that nobody reads any more.
                body.close()
            return
        limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        if _length(headers) > limit:
            await _refuse(send, limit)
            return
        await super().handle(scope, _limited(receive, send, limit), send)

    async def read_body(self, receive: Receive) -> Any:
        return receive.body if isinstance(receive, _Receive) else await super().read_body(receive)


class _Receive:
    """``receive`` as Django calls it once the body is taken care of."""

    def __init__(self, body: ArrivingBody) -> None:
        self.body = body

    async def __call__(self) -> Mapping[str, Any]:
        return await self.body.receive_after()


def _length(headers: dict[bytes, bytes]) -> int:
    text = headers.get(b"content-length", b"0")
    return int(text) if text.isdigit() else 0


def _is_unmeasured(headers: dict[bytes, bytes]) -> bool:
    """Whether Django and its REST framework would take the body for an empty one: both go by the stated length."""
    by_length = headers.get(b"content-type", b"").lower().startswith(MEASURED)
    return by_length and b"transfer-encoding" in headers and b"content-length" not in headers


def _limited(receive: Receive, send: Send, limit: int) -> Receive:
    """``receive`` that ends a body without a stated length once it is too large."""
    total = 0

    async def counted() -> Mapping[str, Any]:
        nonlocal total
        message = await receive()
        total += len(message.get("body", b""))
        if total > limit:
            await _refuse(send, limit)
            return {"type": "http.disconnect"}
        return message

    return counted


def _words(limit: int) -> str:
    return f"The request's body is larger than {limit:,} bytes."


async def _refuse(send: Send, limit: int) -> None:
    await _answer(send, TooLarge(_words(limit), extra={"limit": limit}))


async def _answer(send: Send, error: AppError) -> None:
    body = json.dumps(error.envelope()).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
