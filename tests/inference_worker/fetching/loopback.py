"""A small server that speaks what is needed of a model hub, and misbehaves on request."""

from __future__ import annotations

import hashlib
import json
import re
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

COMMIT = "c0ffee" + "0" * 34

#: (handler, path without query) -> whether it has answered.
Answer = Callable[["Handler"], None]


@dataclass
class Loopback:
    """``files`` are served below ``/files/``; ``repositories`` as a hub does, weights through a redirect to ``/cdn/``.

    ``special`` answers single paths by a function of the test; ``cut`` breaks the next transfers of a path off after so
    many bytes. Every request is kept as (path, headers).
    """

    files: dict[str, bytes] = field(default_factory=dict)
    repositories: dict[str, dict[str, bytes]] = field(default_factory=dict)
    special: dict[str, Answer] = field(default_factory=dict)
    cut: dict[str, list[int]] = field(default_factory=dict)
    ranges: bool = True
    etags: bool = True
    port: int = 0
    scheme: str = "http"
    requests: list[tuple[str, Mapping[str, str]]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    @property
    def allowed(self) -> str:
        return f"127.0.0.1:{self.port}"

    def asked(self, path: str) -> list[Mapping[str, str]]:
        """Headers of every request for ``path``."""
        return [headers for asked, headers in self.requests if asked == path]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    loopback: Loopback

    def log_message(self, *_: Any) -> None:
        """Nothing on the terminal."""

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        path = unquote(parts.path)
        self.loopback.requests.append((path, {name.lower(): value for name, value in self.headers.items()}))
        if path in self.loopback.special:
            self.loopback.special[path](self)
        elif path.startswith("/files/"):
            self.send_file(path, self.loopback.files.get(path.removeprefix("/files/")))
        elif match := re.fullmatch(r"/api/models/([^/]+/[^/]+)/revision/([^/]+)", path):
            self.send_listing(match[1], match[2])
        elif match := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            self.resolve(match[1], match[3])
        elif path.startswith("/cdn/"):
            owner, name, file = path.removeprefix("/cdn/").split("/", 2)
            self.send_file(path, self.loopback.repositories[f"{owner}/{name}"].get(file))
        else:
            self.plain(404, b"not here")

    def plain(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content_Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def redirect(self, to: str, **headers: str) -> None:
        self.plain(302, b"", Location=to, **headers)

    def send_listing(self, repository: str, revision: str) -> None:
        files = self.loopback.repositories.get(repository)
        if files is None:
            self.plain(401, b"{}", X_Error_Code="RepoNotFound")
        elif revision not in ("main", COMMIT):
            self.plain(404, b"{}", X_Error_Code="RevisionNotFound")
        else:
            siblings = [listed(path, data) for path, data in files.items()]
            body = json.dumps({"id": repository, "sha": COMMIT, "siblings": siblings}).encode()
            self.plain(200, body, Content_Type="application/json")

    def resolve(self, repository: str, path: str) -> None:
        data = self.loopback.repositories[repository].get(path)
        if data is None:
            self.plain(404, b"", X_Error_Code="EntryNotFound")
        elif path.endswith(".safetensors"):
            digest = hashlib.sha256(data).hexdigest()
            own = {"X_Linked_ETag": f'"{digest}"', "X_Linked_Size": str(len(data)), "X_Repo_Commit": COMMIT}
            self.redirect(f"/cdn/{repository}/{path}?signature=secret", **own)
        else:
            self.send_file(self.path, data)

    def send_file(self, path: str, data: bytes | None) -> None:
        if data is None:
            self.plain(404, b"not here")
            return
        etag = f'"{hashlib.md5(data).hexdigest()}"'
        start = self._start(etag, len(data))
        body = data[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        if self.loopback.etags:
            self.send_header("ETag", etag)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.end_headers()
        cuts = self.loopback.cut.get(path, [])
        if cuts:
            self.wfile.write(body[: cuts.pop(0)])
            self.wfile.flush()
            self.close_connection = True
            return
        self.wfile.write(body)

    def _start(self, etag: str, size: int) -> int:
        match = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        condition = self.headers.get("If-Range")
        if not match or not self.loopback.ranges or (condition and condition != etag):
            return 0
        return min(int(match[1]), size)


def listed(path: str, data: bytes) -> dict[str, Any]:
    entry: dict[str, Any] = {"rfilename": path, "size": len(data)}
    if path.endswith(".safetensors"):
        entry["lfs"] = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 133}
    return entry


@contextmanager
def serving(certificate: Path | None = None) -> Iterator[Loopback]:
    """The server in a thread of this process; with TLS where a PEM file of certificate and key is given."""
    loopback = Loopback()
    handler = type("Bound", (Handler,), {"loopback": loopback})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        loopback.scheme = "https"
    loopback.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield loopback
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
