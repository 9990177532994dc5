"""What an operator decides about fetching, from the worker's environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

#: Ports of public hosts. Others belong to services that expect no visitors.
PORTS = frozenset({443, 8443})


@dataclass(frozen=True)
class FetchSettings:
    """``allowed_hosts`` (``host`` or ``host:port``) may lie in private networks and speak plain http: a hub of one's
    own. ``hub_tokens`` maps a host to the token that is sent to it and to nobody else. Times are in seconds."""

    allowed_hosts: frozenset[str] = frozenset()
    ca_bundle: str = ""
    proxy: str = ""
    hub_tokens: Mapping[str, str] = field(default_factory=dict)
    attempts: int = 6
    backoff: float = 1.0
    connect_seconds: float = 15.0
    read_seconds: float = 30.0
    header_seconds: float = 60.0
    #: Slower than ``min_rate`` bytes a second over ``rate_window`` is given up.
    min_rate: int = 1024
    rate_window: float = 60.0
    max_redirects: int = 5

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> FetchSettings:
        """``IMPORT_ALLOWED_HOSTS``, ``IMPORT_CA_BUNDLE``, ``IMPORT_PROXY`` and ``IMPORT_HUB_TOKENS``
        (``host=token`` separated by commas). Proxies that the environment names for other programs are not used."""
        return cls(
            allowed_hosts=frozenset(part.lower() for part in _listed(environment.get("IMPORT_ALLOWED_HOSTS", ""))),
            ca_bundle=environment.get("IMPORT_CA_BUNDLE", ""),
            proxy=environment.get("IMPORT_PROXY", ""),
            hub_tokens={
                host.strip().lower(): token.strip()
                for host, equals, token in (
                    part.partition("=") for part in _listed(environment.get("IMPORT_HUB_TOKENS", ""))
                )
                if equals
            },
        )

    def is_allowed(self, host: str, port: int) -> bool:
        """Whether the operator has named this host."""
        return host in self.allowed_hosts or f"{host}:{port}" in self.allowed_hosts


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]
