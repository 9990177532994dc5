"""Which addresses may be asked at all (server-side request forgery, CWE-918).

An address is taken apart once, by this file; what is connected to is put together from the parts, so that no two
parsers can understand it differently. Names are resolved here and the connection goes to the vetted number
(``network``), so that a name cannot lead elsewhere the second time (DNS rebinding).
"""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass
from urllib.parse import quote, urljoin, urlsplit

from inference_worker.fetching.faults import AddressRefused
from inference_worker.fetching.settings import PORTS, FetchSettings

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

MAX_URL = 2000
#: Global by their registration, and yet not somebody's server on the internet: translations that lead back into IPv4
#: (NAT64, 6to4, Teredo, IPv4-compatible), a relay, the platform address of a large cloud, and ranges for
#: documentation and discarding that older tables call global.
_REFUSED = tuple(
    ipaddress.ip_network(network)
    for network in (
        "64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32", "::/96", "fec0::/10", "100::/64", "3fff::/20",
        "5f00::/16", "192.88.99.0/24", "168.63.129.16/32", "100.64.0.0/10", "192.0.0.0/24", "240.0.0.0/4",
    )
)  # fmt: skip
#: Interface identifiers of ISATAP, which carry an IPv4 address in their last 32 bits.
_ISATAP = frozenset({0x00005EFE, 0x02005EFE})


@dataclass(frozen=True)
class Address:
    """The parts of a vetted address. ``target`` is path and query as they are sent."""

    scheme: str
    host: str
    port: int
    target: str

    @property
    def is_secure(self) -> bool:
        return self.scheme == "https"

    @property
    def authority(self) -> str:
        """Host and, where it is not the scheme's own, port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.is_secure else 80) else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}{self.target}"


def parse_address(url: str, settings: FetchSettings) -> Address:
    """Take ``url`` apart. Raises ``AddressRefused`` for whatever is no plain https address on an ordinary port."""
    shown = url[:200]
    if not url or len(url) > MAX_URL or "\\" in url or any(ord(letter) <= 32 or ord(letter) == 127 for letter in url):
        raise AddressRefused("An address must be one line without spaces or backslashes, of at most 2000 characters.")
    try:
        parts = urlsplit(url)
        port = parts.port
        host = (parts.hostname or "").rstrip(".").lower().encode("idna").decode("ascii") if parts.hostname else ""
    except (ValueError, UnicodeError) as error:
        raise AddressRefused(f"{shown} is not an address.") from error
    if parts.scheme not in ("https", "http") or not host:
        raise AddressRefused(f"{shown} is not an https address.")
    if "@" in parts.netloc:
        raise AddressRefused("An address must not carry a user name or a password.")
    if "%" in host:
        raise AddressRefused(f"{shown} names a network interface.")
    port = port or (443 if parts.scheme == "https" else 80)
    if not settings.is_allowed(host, port):
        _check_literal(host)
        if parts.scheme != "https":
            raise AddressRefused(f"{shown} is not encrypted; only https addresses are fetched.")
        if port not in PORTS:
            raise AddressRefused(f"{shown} asks for port {port}; only {_ports()} are fetched from.")
    path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._")
    query = "?" + quote(parts.query, safe="/%:@!$&'()*+,;=~-._?") if parts.query else ""
    return Address(parts.scheme, host, port, path + query)


def joined(address: Address, reference: str, settings: FetchSettings) -> Address:
    """Where a redirect (or a file beside another) leads, vetted like any address."""
    return parse_address(urljoin(str(address), reference), settings)


def resolve(host: str, port: int, settings: FetchSettings) -> list[str]:
    """The numbers that may be connected to for ``host``, in the resolver's order.

    Raises ``AddressRefused`` when there are none, ``OSError`` when the name cannot be resolved.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    numbers = list(dict.fromkeys(str(entry[4][0]).partition("%")[0] for entry in found))
    if settings.is_allowed(host, port):
        return numbers
    public = [number for number in numbers if is_public(ipaddress.ip_address(number))]
    if not public:
        raise AddressRefused(
            f"{host} leads into a private network, which is not fetched from. The operator can allow a host with "
            "IMPORT_ALLOWED_HOSTS."
        )
    return public


def is_public(address: IPAddress) -> bool:
    """Whether ``address`` is somebody's on the internet: not private, local, shared, reserved, and no translation."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None or (int(address) >> 32) & 0xFFFFFFFF in _ISATAP:
            return False
        if address.is_site_local:
            return False
    if not address.is_global or address.is_multicast or address.is_reserved or address.is_unspecified:
        return False
    return not any(address.version == network.version and address in network for network in _REFUSED)


def _check_literal(host: str) -> None:
    """A number in place of a name needs no resolver to be judged (and a proxy of the operator's has none of ours)."""
    try:
        number = ipaddress.ip_address(host)
    except ValueError:
        return
    if not is_public(number):
        raise AddressRefused(f"{host} lies in a private network, which is not fetched from.")


def _ports() -> str:
    return " and ".join(str(port) for port in sorted(PORTS))
