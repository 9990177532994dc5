"""A repository on a model hub: which of its files make the adapter, and where they lie.

The listing is asked for one revision and answers with its commit; the files are fetched from that commit, so that they
belong together whatever is pushed meanwhile.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from inference_worker.contracts.conversion import conversion_remedy
from inference_worker.contracts.fetch import HubSource
from inference_worker.contracts.file_names import CONFIG_NAME, WEIGHTS_NAME
from inference_worker.fetching.addresses import parse_address
from inference_worker.fetching.client import Answer, Client
from inference_worker.fetching.faults import FetchFailed
from inference_worker.fetching.transfer import Wanted

CARD_NAME = "README.md"
#: The most that a listing, a config or a card may have.
MAX_LISTING = 8_000_000
MAX_SMALL = 1_000_000
_CHECKPOINT = re.compile(r"(?:.*/)?checkpoint-(\d{1,12})\Z")
_PICKLES = (".bin", ".pt", ".pth", ".pkl", ".ckpt")
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class Listed:
    """One file of the listing; ``sha256`` is empty for files that git keeps itself."""

    path: str
    size: int | None
    sha256: str

    @property
    def folder(self) -> str:
        return self.path.rpartition("/")[0]

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]


def plan_repository(client: Client, source: HubSource, limit: int) -> tuple[str, list[Wanted]]:
    """The commit, and what is to be fetched of it. Raises ``FetchFailed`` in words for whoever typed the id."""
    commit, listed = _listing(client, source)
    chosen = choose(listed, source.folder, source.repository)
    wanted = []
    for file in chosen:
        address = f"{source.endpoint}/{source.repository}/resolve/{commit}/{quote(file.path)}"
        most = limit if file.name.endswith(".safetensors") else min(MAX_SMALL, limit)
        wanted.append(
            Wanted(parse_address(address, client.settings), file.name, most, size=file.size, sha256=file.sha256)
        )
    return commit, wanted


def _listing(client: Client, source: HubSource) -> tuple[str, list[Listed]]:
    revision = quote(source.revision, safe="")
    url = f"{source.endpoint}/api/models/{source.repository}/revision/{revision}?blobs=true"
    answer, body = client.read(parse_address(url, client.settings), MAX_LISTING, {"Accept": "application/json"})
    _refuse(answer, source)
    try:
        table = json.loads(body)
        commit = str(table["sha"])
        files = [listed for entry in table["siblings"] if (listed := _listed(entry)) is not None]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise FetchFailed(f"{answer.address.host} does not answer as a model hub does.") from error
    if not _COMMIT.fullmatch(commit):
        raise FetchFailed(f"{answer.address.host} names no commit for {source.repository}.")
    return commit, files


def _refuse(answer: Answer, source: HubSource) -> None:
    if answer.status == 200:
        return
    host, what = answer.address.host, source.repository
    code = answer.headers.get("x-error-code", "")
    if code == "RevisionNotFound":
        raise FetchFailed(f"{what} has no revision “{source.revision}” on {host}.")
    if answer.status == 403 or code == "GatedRepo":
        raise FetchFailed(f"{what} is gated on {host}: its files are given only to those who have asked for access.")
    if answer.status in (401, 404):
        raise FetchFailed(f"There is no model {what} on {host}, or it is private.")
    raise FetchFailed(f"{host} answers with status {answer.status} when asked for {what}.")


def _listed(entry: Mapping[str, Any]) -> Listed | None:
    """An entry of ``siblings``; None for names that no repository should have."""
    path = entry["rfilename"]
    if not isinstance(path, str) or len(path) > 500 or path.startswith("/") or "\\" in path:
        return None
    if any(part in ("", ".", "..") for part in path.split("/")) or not path.isprintable():
        return None
    lfs = entry.get("lfs") or {}
    digest = str(lfs.get("sha256") or lfs.get("oid") or "").removeprefix("sha256:")
    size = lfs.get("size", entry.get("size"))
    return Listed(
        path, size if isinstance(size, int) else None, digest if re.fullmatch(r"[0-9a-f]{64}", digest) else ""
    )


def choose(files: list[Listed], folder: str, what: str) -> list[Listed]:
    """Config, weights and card of the adapter in ``folder``, or of the only (or newest) one there is."""
    folder = folder.strip("/")
    inside = [file for file in files if not folder or file.folder == folder or file.path.startswith(f"{folder}/")]
    configs = [file for file in inside if file.name == CONFIG_NAME]
    if not configs:
        raise FetchFailed(_no_config(inside, folder, what))
    place = _folder([file.folder for file in configs], what)
    beside = [file for file in inside if file.folder == place]
    chosen = [file for file in beside if file.name == CONFIG_NAME]
    chosen.append(_weights(beside, place, what))
    cards = [file for file in beside if file.name.lower() == CARD_NAME.lower() and (file.size or 0) <= MAX_SMALL]
    return chosen + cards[:1]


def _folder(folders: list[str], what: str) -> str:
    depth = min(_depth(folder) for folder in folders)
    shallow = sorted(folder for folder in folders if _depth(folder) == depth)
    steps = {folder: match for folder in shallow if (match := _CHECKPOINT.match(folder))}
    if len(shallow) > 1 and len(steps) == len(shallow):
        return max(shallow, key=lambda folder: int(steps[folder][1]))
    if len(shallow) > 1:
        found = ", ".join(shallow[:8])
        raise FetchFailed(
            f"{what} holds several adapters: {found}. Give the address of one folder, such as …/tree/main/{shallow[0]}."
        )
    return shallow[0]


def _depth(folder: str) -> int:
    return folder.count("/") + 1 if folder else 0


def _weights(beside: list[Listed], folder: str, what: str) -> Listed:
    tensors = [file for file in beside if file.name.lower().endswith(".safetensors")]
    named = [file for file in tensors if file.name == WEIGHTS_NAME] or (tensors if len(tensors) == 1 else [])
    if named:
        return named[0]
    pickles = [file.name for file in beside if file.name.startswith("adapter_model") and file.name.endswith(_PICKLES)]
    if pickles:
        raise FetchFailed(
            f"{what} has its weights as a Python pickle only ({pickles[0]}), which can run code when it is loaded and "
            f"is never fetched. {conversion_remedy(pickles[0])}",
            code="pickle_refused",
        )
    raise FetchFailed(
        f"{what} has an {CONFIG_NAME} but no {WEIGHTS_NAME} beside it{f' in {folder}' if folder else ''}."
    )


def _no_config(files: list[Listed], folder: str, what: str) -> str:
    names = {file.name for file in files}
    where = f"{what} has no adapter in {folder}" if folder else f"{what} is no PEFT adapter"
    if "config.json" in names:
        return f"{where}: it holds a whole model (config.json) and no {CONFIG_NAME}. Adapters alone are kept here."
    if any(name.endswith(".gguf") for name in names):
        return f"{where}: it holds GGUF files. Fetch the repository that they were converted from."
    return f"{where}: it holds no {CONFIG_NAME}."
