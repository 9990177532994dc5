"""Where the demo's web process listens."""

from __future__ import annotations

import errno
import os
import socket
from dataclasses import dataclass

from marketplace.embedded.faults import Fault

_EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 - recognised here, chosen by the user
_LOOPBACK = ("127.0.0.1", "::1")


@dataclass(frozen=True)
class Address:
    """``HOST`` and ``PORT``."""

    host: str
    port: int

    @property
    def url(self) -> str:
        """What a person types into the browser."""
        return f"http://localhost:{self.port}" if self.host in _EVERYWHERE + _LOOPBACK else self.local_url

    @property
    def local_url(self) -> str:
        """What reaches the web process from this machine, by number: ``localhost`` may mean another protocol."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    @property
    def allowed_hosts(self) -> str:
        """Names under which the site answers; every one of them where it listens to the network."""
        if self.host in _EVERYWHERE:
            return "*"
        return ",".join(dict.fromkeys(["localhost", "127.0.0.1", "[::1]", self.host, socket.gethostname()]))


def read_address() -> Address:
    """``HOST`` and ``PORT`` from the environment.

    Raises:
        Fault: not a port, not this machine's address, or in use.
    """
    host = os.environ.get("HOST") or "127.0.0.1"
    text = os.environ.get("PORT") or "8000"
    if not text.isdigit() or not 0 < int(text) < 65536:
        raise Fault(f"PORT={text} is not a port: give a number from 1 to 65535.")
    _check_free(host, int(text))
    return Address(host, int(text))


def _check_free(host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen()
        except PermissionError as error:
            raise Fault(
                f"Port {port} needs more rights than this user has: choose one above 1023 with PORT=."
            ) from error
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise Fault(f"Port {port} is in use: choose another with PORT=, as in PORT={port + 1}.") from error
            raise Fault(f"HOST={host} cannot be listened on: {error.strerror or error}.") from error
