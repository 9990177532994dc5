"""Transfers that break off, and go on."""

from __future__ import annotations

from pathlib import Path

import pytest

from inference_worker.contracts.fetch import HubSource
from inference_worker.fetching.faults import FetchFailed
from tests.inference_worker.fetching.conftest import CONFIG, WEIGHTS, Fetch, contents
from tests.inference_worker.fetching.loopback import Loopback

CDN = "/cdn/ada/lora/adapter_model.safetensors"


@pytest.fixture
def source(loopback: Loopback) -> HubSource:
    loopback.repositories["ada/lora"] = {"adapter_config.json": CONFIG, "adapter_model.safetensors": WEIGHTS}
    return HubSource(endpoint=loopback.url, repository="ada/lora")


def ranges(loopback: Loopback, path: str = CDN) -> list[str | None]:
    return [headers.get("range") for headers in loopback.asked(path)]


def test_a_broken_transfer_goes_on_where_it_was(loopback: Loopback, run: Fetch, source: HubSource) -> None:
    loopback.cut[CDN] = [100_000, 200_000]
    done = run(source)
    assert contents(done)["adapter_model.safetensors"] == WEIGHTS
    assert done.resumed == 2
    assert ranges(loopback) == [None, "bytes=100000-", "bytes=300000-"]
    assert all(headers.get("if-range") for headers in loopback.asked(CDN)[1:])


def test_a_later_attempt_goes_on_from_what_is_kept(loopback: Loopback, run: Fetch, source: HubSource) -> None:
    loopback.cut[CDN] = [70_000, 0, 0]
    with pytest.raises(FetchFailed, match="is kept for a day"):
        run(source, attempts=2)
    before = len(loopback.asked(CDN))
    loopback.cut.clear()
    done = run(source)
    assert contents(done)["adapter_model.safetensors"] == WEIGHTS
    assert ranges(loopback)[before:] == ["bytes=70000-"]


def test_what_is_whole_already_is_not_fetched_again(loopback: Loopback, run: Fetch, source: HubSource) -> None:
    run(source)
    asked = len(loopback.asked(CDN))
    run(source)
    assert len(loopback.asked(CDN)) == asked


def test_a_server_without_ranges_starts_again(loopback: Loopback, run: Fetch, source: HubSource) -> None:
    loopback.cut[CDN] = [100_000]
    loopback.ranges = False
    done = run(source)
    assert contents(done)["adapter_model.safetensors"] == WEIGHTS
    assert done.resumed == 0


def test_without_any_mark_of_the_file_it_starts_again(loopback: Loopback, run: Fetch) -> None:
    """Nothing says that the rest would belong to the same file."""
    loopback.files = {"a.zip": b"PK\x05\x06" + WEIGHTS}
    loopback.etags = False
    loopback.cut["/files/a.zip"] = [100_000]
    done = run(f"{loopback.url}/files/a.zip")
    assert contents(done) == {"a.zip": b"PK\x05\x06" + WEIGHTS}
    assert ranges(loopback, "/files/a.zip") == [None, None]


def test_a_file_that_changed_meanwhile_starts_again(loopback: Loopback, run: Fetch) -> None:
    old, new = b"PK\x05\x06" + WEIGHTS, b"PK\x05\x06" + WEIGHTS[::-1]
    loopback.files = {"a.zip": old}
    loopback.cut["/files/a.zip"] = [100_000, 0]
    with pytest.raises(FetchFailed):
        run(f"{loopback.url}/files/a.zip", attempts=2)
    loopback.files = {"a.zip": new}
    assert contents(run(f"{loopback.url}/files/a.zip")) == {"a.zip": new}


def test_a_kept_part_that_went_wrong_is_found_by_its_digest(
    loopback: Loopback, run: Fetch, source: HubSource, tmp_path: Path
) -> None:
    loopback.cut[CDN] = [100_000, 0]
    with pytest.raises(FetchFailed):
        run(source, attempts=2)
    (part,) = [path for path in (tmp_path / "partial").glob("*.part") if path.stat().st_size == 100_000]
    part.write_bytes(bytes(100_000))
    done = run(source)
    assert contents(done)["adapter_model.safetensors"] == WEIGHTS


def test_the_rest_of_something_else_is_not_taken(loopback: Loopback, run: Fetch) -> None:
    """A server that ignores If-Range and sends another file's rest."""
    old = b"PK\x05\x06" + WEIGHTS
    loopback.files = {"a.zip": old}
    loopback.cut["/files/a.zip"] = [100_000]
    answers = iter(["206"])

    def wrong(handler: object) -> None:
        if next(answers, ""):
            rest = bytes(1000)
            handler.plain(206, rest, Content_Range="bytes 100000-100999/101000", ETag='"else"')  # type: ignore[attr-defined]
        else:
            handler.send_file("/other", old)  # type: ignore[attr-defined]

    first = loopback.special

    def once(handler: object) -> None:
        first["/files/a.zip"] = wrong
        handler.send_file("/files/a.zip", old)  # type: ignore[attr-defined]

    loopback.special["/files/a.zip"] = once
    assert contents(run(f"{loopback.url}/files/a.zip")) == {"a.zip": old}


def test_busy_servers_are_asked_again(loopback: Loopback, run: Fetch) -> None:
    loopback.files = {"a.zip": b"PK\x05\x06"}
    answers = [503, 429, 500]

    def busy(handler: object) -> None:
        if answers:
            handler.plain(answers.pop(), b"")  # type: ignore[attr-defined]
        else:
            handler.send_file("/a", b"PK\x05\x06")  # type: ignore[attr-defined]

    loopback.special["/files/a.zip"] = busy
    assert contents(run(f"{loopback.url}/files/a.zip")) == {"a.zip": b"PK\x05\x06"}
