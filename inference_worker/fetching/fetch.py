"""The whole of one fetch: plan, transfers, progress."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from inference_worker.contracts.fetch import AddressSource, FetchRequest, HubSource
from inference_worker.fetching.addresses import parse_address
from inference_worker.fetching.client import Client
from inference_worker.fetching.direct import check_zip, plan_address
from inference_worker.fetching.faults import FetchFailed
from inference_worker.fetching.hub import plan_repository
from inference_worker.fetching.settings import FetchSettings
from inference_worker.fetching.transfer import Transfer, Wanted, too_much

Progress = Callable[[float, str], None]
Log = Callable[[str], None]


@dataclass(frozen=True)
class Fetched:
    """``files`` are (name, path on this disk)."""

    files: tuple[tuple[str, Path], ...]
    origin: str
    revision: str
    resumed: int


def fetch(request: FetchRequest, settings: FetchSettings, folder: Path, progress: Progress, log: Log) -> Fetched:
    """Fetch what ``request`` names into ``folder``; what is there of an earlier attempt is gone on from.

    Raises ``AddressRefused``, ``FetchFailed``, ``TooMuch`` and ``StorageFull``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with Client(settings, request.max_seconds) as client:
        source = request.source
        if isinstance(source, HubSource):
            progress(0.01, f"Asking {source.endpoint.partition('://')[2]} for {source.repository}")
            revision, needed = plan_repository(client, source, request.max_bytes)
            optional: list[Wanted] = []
            log(f"{source.repository} at {revision[:8]}: {', '.join(wanted.path for wanted in needed)}")
        else:
            revision = ""
            needed, optional = plan_address(client, parse_address(source.url, settings), request.max_bytes)
        run = _Run(client, request.max_bytes, folder, progress, log)
        known = [wanted.size for wanted in needed]
        if None not in known and sum(size or 0 for size in known) > request.max_bytes:
            raise too_much("The adapter", sum(size or 0 for size in known), request.max_bytes)
        files = [run.take(wanted) for wanted in needed]
        files += [taken for wanted in optional if (taken := run.take_if_there(wanted)) is not None]
    return Fetched(tuple(files), origin_of(source, revision), revision, run.resumed)


def origin_of(source: HubSource | AddressSource, revision: str) -> str:
    """Where an adapter came from, as an address without whatever secret its query may hold."""
    if isinstance(source, HubSource):
        folder = f"/{source.folder}" if source.folder else ""
        return f"{source.endpoint}/{source.repository}/tree/{revision}{folder}"
    return source.url.partition("?")[0].partition("#")[0]


class _Run:
    """The files of one fetch, one after the other, within one allowance of bytes."""

    def __init__(self, client: Client, allowance: int, folder: Path, progress: Progress, log: Log) -> None:
        self._client, self._left, self._folder = client, allowance, folder
        self._progress, self._log = progress, log
        self._allowance = allowance
        self.resumed = 0

    def take(self, wanted: Wanted) -> tuple[str, Path]:
        limited = Wanted(wanted.address, wanted.path, min(wanted.limit, self._left), wanted.size, wanted.sha256)
        if wanted.size is not None and wanted.size > limited.limit:
            raise too_much(wanted.path, wanted.size, limited.limit)
        started = time.monotonic()

        def received(count: int) -> None:
            whole = wanted.size or limited.limit
            rate = (count / max(time.monotonic() - started, 1e-3)) / 1e6
            of = f" of {wanted.size / 1e6:,.1f}" if wanted.size else ""
            self._progress(
                min(0.02 + 0.95 * count / whole, 0.97), f"{wanted.path}: {count / 1e6:,.1f}{of} MB, {rate:,.1f} MB/s"
            )

        transfer = Transfer(self._client, limited, self._folder, received)
        if transfer.have:
            self._log(f"{wanted.path}: {transfer.have:,} bytes are here from before.")
        path = transfer.run()
        check_zip(path, limited)
        self._left -= path.stat().st_size
        self.resumed += transfer.resumed
        self._log(f"{wanted.path}: {path.stat().st_size:,} bytes.")
        return wanted.path, path

    def take_if_there(self, wanted: Wanted) -> tuple[str, Path] | None:
        try:
            return self.take(wanted)
        except FetchFailed:
            self._log(f"There is no {wanted.path} beside it.")
            return None
