"""Uploaded files are held in memory and bounded before a byte of them is read: no clear copy on disk."""

from __future__ import annotations

from typing import Any, Final

from django.core.exceptions import RequestDataTooBig
from django.core.files.uploadhandler import MemoryFileUploadHandler

#: The largest file is 10 MiB; the rest of a form fits beside it.
MAX_REQUEST: Final = 11 * 1024 * 1024


class BoundedMemoryUploads(MemoryFileUploadHandler):
    """Django's handler for small files, for all of them; a larger request is refused whole."""

    def handle_raw_input(
        self,
        input_data: Any,
        META: dict[str, str],
        content_length: int,
        boundary: str,
        encoding: Any = None,
    ) -> None:
        if content_length > MAX_REQUEST:
            raise RequestDataTooBig("the upload is larger than any file may be")
        self.activated = True
