"""The upload handler of every view that expects no files: the first part with one ends the request.

Without it ``request.POST``, which the CSRF check reads before any view runs, would write a stranger's files of any size
into temporary ones. Views that do take files put a handler of their own in place first.
"""

from __future__ import annotations

from typing import Any

from django.core.exceptions import TooManyFilesSent
from django.core.files.uploadhandler import FileUploadHandler


class RefuseFiles(FileUploadHandler):
    """Raises ``TooManyFilesSent``, which Django answers with 400, before a byte of the file is kept."""

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        raise TooManyFilesSent("This address takes no files.")

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        return None

    def file_complete(self, file_size: int) -> None:
        return None
