"""Django's upload handler: each part goes straight into the blob store's scratch folder, hashed on the way."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.core.exceptions import SuspiciousOperation
from django.core.files.uploadedfile import UploadedFile
from django.core.files.uploadhandler import FileUploadHandler
from django.http import HttpRequest, UnreadablePostError
from django.http.multipartparser import MultiPartParserError

from inference_worker.blobs import BlobWriter
from marketplace.adapters.uploads.incoming import IncomingFile, room_in_store
from marketplace.core.connections import release_connections
from marketplace.core.errors import AppError, Invalid, NotAuthenticated, TooLarge
from marketplace.core.store import blob_store

#: What form fields and part headers may add to the files' own bytes.
FORM_BYTES = 1 << 20


class StoredFile(UploadedFile):
    """What ``request.FILES`` holds: no content in memory, closing it forgets the bytes."""

    def __init__(self, incoming: IncomingFile, content_type: str | None) -> None:
        super().__init__(file=None, name=incoming.path, content_type=content_type or "", size=incoming.size)
        self.incoming = incoming

    def close(self) -> None:
        self.incoming.discard()


class StoreUploadHandler(FileUploadHandler):
    """Counts and limits while the bytes arrive, so that an oversized upload ends early and leaves nothing."""

    chunk_size = 1 << 18

    def __init__(self, request: HttpRequest | None = None) -> None:
        super().__init__(request)
        self.received: list[IncomingFile] = []
        self.total = 0
        self._writer: BlobWriter | None = None

    def handle_raw_input(
        self,
        input_data: Any,
        META: dict[str, Any],
        content_length: int,
        boundary: str,
        encoding: str | None = None,
    ) -> None:
        if content_length > settings.UPLOAD_MAX_BYTES + FORM_BYTES:
            raise too_large()
        # Whoever is signed in was looked up by now; the body may take minutes and needs no database.
        release_connections()

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        super().new_file(*args, **kwargs)
        if len(self.received) >= settings.UPLOAD_MAX_FILES:
            raise TooLarge(
                f"An upload may have at most {settings.UPLOAD_MAX_FILES} files.",
                code="too_many_files",
                extra={"limit": settings.UPLOAD_MAX_FILES},
            )
        with room_in_store():
            self._writer = blob_store().writer(self.content_length)

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        assert self._writer is not None
        self.total += len(raw_data)
        if self.total > settings.UPLOAD_MAX_BYTES:
            raise too_large()
        with room_in_store():
            self._writer.write(raw_data)

    def file_complete(self, file_size: int) -> StoredFile | None:
        assert self._writer is not None
        incoming = IncomingFile(self.file_name or "", self._writer)
        self._writer = None
        self.received.append(incoming)
        return StoredFile(incoming, self.content_type)

    def upload_interrupted(self) -> None:
        self.discard()

    def discard(self) -> None:
        """Forget everything that was not committed."""
        if self._writer is not None:
            self._writer.discard()
            self._writer = None
        for incoming in self.received:
            incoming.discard()


def too_large() -> TooLarge:
    limit = settings.UPLOAD_MAX_BYTES
    return TooLarge(f"An upload may have at most {limit:,} bytes in all.", extra={"limit": limit})


@contextmanager
def receiving(request: HttpRequest) -> Iterator[StoreUploadHandler]:
    """Receive the request's files with this handler; what nobody committed is discarded at the end.

    Has to be entered before anything reads ``request.POST`` (a page's view is ``csrf_exempt`` outside and
    ``csrf_protect`` inside). Faults of the form's encoding become ``Invalid``.
    """
    handler = StoreUploadHandler(request)
    request.upload_handlers = [handler]
    try:
        yield handler
    except TooLarge:
        raise
    except (SuspiciousOperation, MultiPartParserError) as fault:
        raise Invalid(f"The form could not be read: {fault}") from fault
    except UnreadablePostError as fault:
        raise Invalid("The upload broke off before all of it arrived. Try again.", code="upload_broken") from fault
    finally:
        handler.discard()


def received_files(request: HttpRequest) -> list[IncomingFile]:
    """The files of a request inside ``receiving``, in the order in which they arrived; reads the body."""
    if not request.user.is_authenticated:
        raise NotAuthenticated("Sign in to upload files.")
    handler = next((one for one in request.upload_handlers if isinstance(one, StoreUploadHandler)), None)
    if handler is None:
        raise AppError("The upload was not received by the site's upload handler.")
    _ = request.FILES
    return list(handler.received)
