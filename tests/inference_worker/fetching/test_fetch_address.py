"""Plain addresses: siblings, zips, and servers that mean no good."""

from __future__ import annotations

import datetime
import gzip
import socket
import time
from pathlib import Path

import pytest

from inference_worker.fetching.faults import AddressRefused, FetchFailed, TooMuch
from tests.inference_worker.fetching.conftest import CARD, CONFIG, WEIGHTS, Fetch, contents
from tests.inference_worker.fetching.loopback import Handler, Loopback, serving

ZIP = b"PK\x05\x06" + bytes(18)


def test_weights_with_their_config_beside_them(loopback: Loopback, run: Fetch) -> None:
    whole = {"a/adapter_config.json": CONFIG, "a/adapter_model.safetensors": WEIGHTS, "a/README.md": CARD}
    loopback.files = whole | {"b/adapter_config.json": CONFIG, "b/adapter_model.safetensors": WEIGHTS}
    expected = {"adapter_config.json": CONFIG, "adapter_model.safetensors": WEIGHTS, "README.md": CARD}
    for name in ("adapter_model.safetensors?download=true", "adapter_config.json"):
        done = run(f"{loopback.url}/files/a/{name}")
        assert contents(done) == expected
        assert "download" not in done.origin
    assert set(contents(run(f"{loopback.url}/files/b/adapter_config.json"))) == set(expected) - {"README.md"}
    with pytest.raises(FetchFailed, match=r"no adapter_config\.json at this address"):
        run(f"{loopback.url}/files/c/adapter_model.safetensors")


def test_a_zip_by_name_or_by_content(loopback: Loopback, run: Fetch) -> None:
    loopback.files = {"my lora.zip": ZIP, "get": ZIP, "page": b"plain text"}
    assert contents(run(f"{loopback.url}/files/my%20lora.zip")) == {"my_lora.zip": ZIP}
    assert contents(run(f"{loopback.url}/files/get?id=7")) == {"adapter.zip": ZIP}
    with pytest.raises(FetchFailed, match="sends is no zip"):
        run(f"{loopback.url}/files/page")
    with pytest.raises(FetchFailed, match="Python pickle") as fault:
        run(f"{loopback.url}/files/adapter_model.bin")
    assert fault.value.code == "pickle_refused"


@pytest.mark.parametrize(
    ("status", "words"), [(401, "login"), (403, "private, gated"), (404, "has no"), (410, "no longer"), (418, "418")]
)
def test_statuses_in_words(loopback: Loopback, run: Fetch, status: int, words: str) -> None:
    loopback.special["/a.zip"] = lambda handler: handler.plain(status, b"")
    with pytest.raises(FetchFailed, match=words):
        run(f"{loopback.url}/a.zip")


def test_web_pages_and_compressed_bodies_are_no_files(loopback: Loopback, run: Fetch) -> None:
    loopback.special["/a.zip"] = lambda handler: handler.plain(200, b"<html>", Content_Type="text/html; charset=utf-8")
    with pytest.raises(FetchFailed, match="web page"):
        run(f"{loopback.url}/a.zip")
    bomb = gzip.compress(bytes(50_000_000))
    loopback.special["/b.zip"] = lambda handler: handler.plain(200, bomb, Content_Encoding="gzip")
    with pytest.raises(FetchFailed, match="compressed"):
        run(f"{loopback.url}/b.zip")


def test_limits_by_header_and_by_what_really_comes(loopback: Loopback, run: Fetch) -> None:
    loopback.special["/huge.zip"] = lambda handler: handler.plain(200, b"PK", Content_Length=str(10**15))
    with pytest.raises(TooMuch, match="1,000,000,000,000,000 bytes"):
        run(f"{loopback.url}/huge.zip")

    def endless(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        try:
            while True:
                handler.wfile.write(b"10000\r\n" + bytes(1 << 16) + b"\r\n")
        except OSError:
            handler.close_connection = True

    loopback.special["/endless.zip"] = endless
    with pytest.raises(TooMuch, match="is larger"):
        run(f"{loopback.url}/endless.zip", max_bytes=500_000)


@pytest.mark.parametrize(
    "target",
    ["http://169.254.169.254/latest/meta-data/", "http://127.0.0.1:1/", "https://10.0.0.1/", "file:///etc/passwd",
     "https://localhost/", "https://user:password@example.org/", "gopher://127.0.0.1:70/_x"],
)  # fmt: skip
def test_redirects_into_private_networks_are_refused(loopback: Loopback, run: Fetch, target: str) -> None:
    loopback.special["/a.zip"] = lambda handler: handler.redirect(target)
    with pytest.raises(AddressRefused):
        run(f"{loopback.url}/a.zip")
    assert len(loopback.requests) == 1


def test_redirects_in_a_circle_end(loopback: Loopback, run: Fetch) -> None:
    loopback.special["/a.zip"] = lambda handler: handler.redirect("/b.zip")
    loopback.special["/b.zip"] = lambda handler: handler.redirect("/a.zip")
    with pytest.raises(AddressRefused, match="more than 5 times"):
        run(f"{loopback.url}/a.zip")
    assert len(loopback.requests) == 6


def test_a_name_cannot_lead_elsewhere_the_second_time(
    loopback: Loopback, run: Fetch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DNS rebinding: public when it is vetted, this machine when it is connected to."""
    answers = iter(["203.0.113.9", "127.0.0.1"])

    def rebinding(*_: object, **__: object) -> list[object]:
        return [(2, 1, 6, "", (next(answers, "127.0.0.1"), 443))]

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    with pytest.raises(AddressRefused, match="private network"):
        run("https://rebinding.example/a.zip", attempts=1)
    assert loopback.requests == []


def _dripping(piece: bytes, pause: float) -> object:
    def drip(handler: Handler) -> None:
        try:
            handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
            while True:
                handler.wfile.write(piece)
                handler.wfile.flush()
                time.sleep(pause)
        except OSError:
            handler.close_connection = True

    return drip


def test_a_server_that_drips_is_given_up(loopback: Loopback, run: Fetch) -> None:
    loopback.special["/a.zip"] = _dripping(b"x", 0.01)  # type: ignore[assignment]
    with pytest.raises(FetchFailed, match="so slowly"):
        run(f"{loopback.url}/a.zip", rate_window=0.2, min_rate=10_000)


def test_all_the_time_there_is(loopback: Loopback, run: Fetch) -> None:
    """Each single read is quick enough; together they would take for ever."""
    loopback.special["/a.zip"] = _dripping(b"x", 0.02)  # type: ignore[assignment]
    started = time.monotonic()
    with pytest.raises(FetchFailed, match="within 1 seconds"):
        run(f"{loopback.url}/a.zip", max_seconds=1)
    assert time.monotonic() - started < 30


def test_headers_that_never_end(loopback: Loopback, run: Fetch) -> None:
    def endless(handler: Handler) -> None:
        try:
            handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
            while True:
                handler.wfile.write(b"X: 1\r\n")
                handler.wfile.flush()
                time.sleep(0.01)
        except OSError:
            handler.close_connection = True

    loopback.special["/a.zip"] = endless
    with pytest.raises(FetchFailed, match="broke off"):
        run(f"{loopback.url}/a.zip", header_seconds=0.2, attempts=1)


def test_nobody_there(loopback: Loopback, run: Fetch) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    host = f"127.0.0.1:{port}"
    with pytest.raises(FetchFailed, match="could not be fetched"):
        run(f"http://{host}/a.zip", allowed_hosts=frozenset({host}), attempts=2)


def test_an_operators_proxy_is_asked_and_no_other(
    loopback: Loopback, run: Fetch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    loopback.files["a.zip"] = ZIP
    allowed = frozenset({"hub.internal", loopback.allowed})
    assert contents(run(f"{loopback.url}/files/a.zip", allowed_hosts=allowed)) == {"a.zip": ZIP}
    done = run("http://hub.internal/files/a.zip", allowed_hosts=allowed, proxy=loopback.url)
    assert contents(done) == {"a.zip": ZIP}
    assert [headers["host"] for headers in loopback.asked("/files/a.zip")] == [loopback.allowed, "hub.internal"]
    with pytest.raises(AddressRefused, match="private network"):
        run("https://10.0.0.1/a.zip", proxy=loopback.url)


def certificate(folder: Path) -> Path:
    """A self-signed certificate of 127.0.0.1 with its key."""
    x509 = pytest.importorskip("cryptography.x509")
    import ipaddress

    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "loopback")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    plain = serialization.NoEncryption()
    path = folder / "server.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return path


def test_tls_with_the_operators_own_certificates(tmp_path: Path, run: Fetch) -> None:
    pem = certificate(tmp_path)
    with serving(pem) as server:
        server.files["a.zip"] = ZIP
        allowed = frozenset({server.allowed})
        done = run(f"{server.url}/files/a.zip", allowed_hosts=allowed, ca_bundle=str(pem))
        assert contents(done) == {"a.zip": ZIP}
        with pytest.raises(FetchFailed, match="certificate"):
            run(f"{server.url}/files/b.zip", allowed_hosts=allowed)
