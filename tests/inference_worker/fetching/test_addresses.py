"""Which addresses are asked at all."""

from __future__ import annotations

import ipaddress
import socket
from typing import Any

import pytest

from inference_worker.fetching import FetchSettings
from inference_worker.fetching.addresses import is_public, joined, parse_address, resolve
from inference_worker.fetching.faults import AddressRefused

PLAIN = FetchSettings()
OWN = FetchSettings(allowed_hosts=frozenset({"hub.internal", "127.0.0.1:8123"}))


@pytest.mark.parametrize("number", ["8.8.8.8", "1.1.1.1", "2606:4700::1111", "2a00:1450:4001:81b::200e"])
def test_public_numbers(number: str) -> None:
    assert is_public(ipaddress.ip_address(number))


@pytest.mark.parametrize(
    "number",
    [
        "127.0.0.1", "127.8.8.8", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
        "100.100.100.200", "192.0.0.192", "192.0.2.1", "198.18.0.1", "198.51.100.7", "203.0.113.1", "224.0.0.1",
        "239.255.255.250", "240.0.0.1", "255.255.255.255", "168.63.129.16", "192.88.99.1",
        "::", "::1", "fe80::1", "fc00::1", "fd00:ec2::254", "fec0::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:8.8.8.8",
        "::8.8.8.8", "64:ff9b::808:808", "64:ff9b::7f00:1", "64:ff9b:1::1", "2002:7f00:1::", "2002:808:808::1",
        "2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001:db8::1", "100::1", "3fff::1", "2606:4700:0:0:0:5efe:7f00:1",
    ],
)  # fmt: skip
def test_numbers_that_are_nobodys_on_the_internet(number: str) -> None:
    assert not is_public(ipaddress.ip_address(number))


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("", "one line"),
        ("https://example.org/ a", "one line"),
        ("https://example.org/\n", "one line"),
        ("https://example.org\\@127.0.0.1/", "one line"),
        ("https://example.org/" + "a" * 2000, "2000 characters"),
        ("http://example.org/a.zip", "not encrypted"),
        ("file:///etc/passwd", "not an https"),
        ("gopher://example.org/", "not an https"),
        ("ftp://example.org/a.zip", "not an https"),
        ("https:///a.zip", "not an https"),
        ("https://", "not an https"),
        ("https://user:secret@example.org/a.zip", "user name"),
        ("https://example.org@127.0.0.1/a.zip", "user name"),
        ("https://example.org:22/a.zip", "port 22"),
        ("https://example.org:99999/a.zip", "not an address"),
        ("https://[::1/a.zip", "not an address"),
        ("https://[fe80::1%25eth0]/a.zip", "network interface"),
        ("https://127.0.0.1/a.zip", "private network"),
        ("https://[::ffff:10.0.0.1]/a.zip", "private network"),
        ("https://169.254.169.254/latest/meta-data/", "private network"),
        ("https://" + "a" * 64 + ".org/", "not an address"),
    ],
)
def test_refused_addresses(url: str, words: str) -> None:
    with pytest.raises(AddressRefused, match=words):
        parse_address(url, PLAIN)


def test_what_is_connected_to_is_put_together_from_the_parts() -> None:
    address = parse_address("https://EXAMPLE.org./a b".replace(" ", "%20") + "?x=1#secret", PLAIN)
    assert (address.host, address.port, address.target) == ("example.org", 443, "/a%20b?x=1")
    assert str(address) == "https://example.org/a%20b?x=1"
    assert str(parse_address("https://bücher.example:8443/ü", PLAIN)) == "https://xn--bcher-kva.example:8443/%C3%BC"
    assert parse_address("https://[2606:4700::1111]/", PLAIN).authority == "[2606:4700::1111]"


def test_redirects_are_vetted_like_addresses() -> None:
    start = parse_address("https://example.org/a/b.zip?x=1", PLAIN)
    assert str(joined(start, "../c.zip", PLAIN)) == "https://example.org/c.zip"
    for target in ("http://example.org/c.zip", "//169.254.169.254/c", "https://a@b/", "https://example.org:8080/"):
        with pytest.raises(AddressRefused):
            joined(start, target, PLAIN)


def test_only_hosts_that_the_operator_named_may_be_private_and_plain() -> None:
    assert parse_address("http://hub.internal:9000/a.zip", OWN).port == 9000
    assert parse_address("http://127.0.0.1:8123/a.zip", OWN).port == 8123
    with pytest.raises(AddressRefused, match="private network"):
        parse_address("http://127.0.0.1:8124/a.zip", OWN)
    assert resolve("127.0.0.1", 8123, OWN) == ["127.0.0.1"]


@pytest.mark.parametrize("name", ["2130706433", "0x7f.1", "017700000001", "127.1", "localhost"])
def test_names_of_this_machine_in_other_writings(name: str) -> None:
    with pytest.raises(AddressRefused, match="private network"):
        resolve(name, 443, PLAIN)


def test_a_name_with_mixed_numbers_is_connected_to_by_the_public_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    def answers(*_: Any, **__: Any) -> list[Any]:
        return [(2, 1, 6, "", (number, 443)) for number in ("10.0.0.5", "8.8.8.8", "127.0.0.1")]

    monkeypatch.setattr(socket, "getaddrinfo", answers)
    assert resolve("mixed.example", 443, PLAIN) == ["8.8.8.8"]


def test_settings_come_from_the_environment() -> None:
    settings = FetchSettings.from_environment(
        {"IMPORT_ALLOWED_HOSTS": "Hub.Internal, 10.0.0.7:8000", "IMPORT_HUB_TOKENS": "huggingface.co=hf_x=y,broken"}
    )
    assert settings.allowed_hosts == {"hub.internal", "10.0.0.7:8000"}
    assert settings.hub_tokens == {"huggingface.co": "hf_x=y"}
