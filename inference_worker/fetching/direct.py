"""An https address: a zip, or a weights file with its config beside it."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote

from inference_worker.contracts.conversion import conversion_remedy
from inference_worker.contracts.file_names import CONFIG_NAME, WEIGHTS_NAME
from inference_worker.fetching.addresses import Address, joined
from inference_worker.fetching.client import Client
from inference_worker.fetching.faults import FetchFailed
from inference_worker.fetching.hub import CARD_NAME, MAX_SMALL
from inference_worker.fetching.transfer import Wanted

_PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt")
_ZIP = (b"PK\x03\x04", b"PK\x05\x06")


def plan_address(client: Client, address: Address, limit: int) -> tuple[list[Wanted], list[Wanted]]:
    """What must be fetched, and what may be missing."""
    name = unquote(address.target.partition("?")[0].rpartition("/")[2])
    lowered = name.lower()
    if lowered.endswith(_PICKLES):
        raise FetchFailed(
            f"{name[:100]} is a Python pickle by its name; pickles can run code when they are loaded and are never "
            f"fetched. {conversion_remedy(name[:100])}",
            code="pickle_refused",
        )
    if name == CONFIG_NAME:
        weights = Wanted(_beside(client, address, WEIGHTS_NAME), WEIGHTS_NAME, limit)
        config = Wanted(address, CONFIG_NAME, min(MAX_SMALL, limit))
    elif lowered.endswith(".safetensors"):
        weights = Wanted(address, _plain(name), limit)
        config = Wanted(_beside(client, address, CONFIG_NAME), CONFIG_NAME, min(MAX_SMALL, limit))
    else:
        return [Wanted(address, _plain(name) if lowered.endswith(".zip") else "adapter.zip", limit)], []
    card = Wanted(_beside(client, address, CARD_NAME), CARD_NAME, min(MAX_SMALL, limit))
    # The config first: where it is missing, nobody waits for gigabytes before they are told.
    return [config, weights], [card]


def check_zip(path: Path, wanted: Wanted) -> None:
    """Raise ``FetchFailed`` when what came under no telling name is no zip."""
    with path.open("rb") as file:
        head = file.read(4)
    if wanted.path.lower().endswith(".zip") and head not in _ZIP:
        raise FetchFailed(
            f"What {wanted.address.host} sends is no zip. Give the address of a zip, of a file {WEIGHTS_NAME} with "
            f"{CONFIG_NAME} beside it, or of a repository on a model hub."
        )


def _beside(client: Client, address: Address, name: str) -> Address:
    """A file in the same folder; what follows the question mark belongs to the first file alone."""
    path = address.target.partition("?")[0]
    return joined(replace(address, target=path), name, client.settings)


def _plain(name: str) -> str:
    """A file's name as the selection among uploaded files takes it."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", name)[-120:].lstrip(".") or "adapter.zip"
