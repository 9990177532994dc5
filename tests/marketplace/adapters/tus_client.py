"""A client of the tus protocol that sends exactly what it is told."""

from __future__ import annotations

import base64
import hashlib
import uuid
from collections.abc import Mapping
from typing import Any

from django.test import Client

from marketplace.accounts.models import User
from marketplace.accounts.services import create_token

CREATE = "/api/v1/uploads/tus/"

UPLOADS = "/api/v1/uploads/"

DATA = b"some bytes\n" * 1000

PIECE = "application/offset+octet-stream"


def metadata(**values: str) -> str:
    return ",".join(f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in values.items())


class Tus:
    """A client that sends exactly what it is told."""

    def __init__(self, user: User, scope: str = "write", **headers: str) -> None:
        token = create_token(user=user, name=uuid.uuid4().hex, scope=scope)[1]
        self.headers = {"Authorization": f"Bearer {token}", "Tus-Resumable": "1.0.0", **headers}
        self.client = Client()

    def call(self, method: str, path: str, data: bytes = b"", type: str = "", **headers: Any) -> Any:
        named = {name.replace("_", "-"): str(value) for name, value in headers.items()}
        sent = {name: value for name, value in {**self.headers, **named}.items() if value}
        return self.client.generic(method, path, data, type or "application/octet-stream", headers=sent)

    def begin(self, length: int, name: str = "adapter_model.safetensors", **values: str) -> Any:
        said = metadata(filename=name, **values)
        return self.call("POST", CREATE, Upload_Length=length, Upload_Metadata=said)

    def piece(self, path: str, data: bytes, offset: int, **headers: Any) -> Any:
        return self.call("PATCH", path, data, PIECE, Upload_Offset=offset, **headers)

    def send(self, data: bytes, name: str, **values: str) -> str:
        """A whole file; its id."""
        path = self.begin(len(data), name, **values)["Location"]
        answer = self.piece(path, data, 0)
        assert answer.status_code == 204, answer.content
        return path.split("/")[-2]

    def finish(self, parts: list[str]) -> Any:
        return self.client.post(UPLOADS, {"parts": parts}, content_type="application/json", headers=self.headers)


def send_all(tus: Tus, files: Mapping[str, bytes]) -> list[str]:
    return [tus.send(data, name) for name, data in files.items()]


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
