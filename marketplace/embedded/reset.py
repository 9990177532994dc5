"""``make reset``: delete the demo's data, after asking."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from marketplace.embedded.data_folder import DataFolder
from marketplace.embedded.faults import Fault
from marketplace.embedded.plan import origin_of
from marketplace.embedded.postgres import EmbeddedPostgres


def reset(folder: DataFolder, assume_yes: bool) -> int:
    """Delete the data folder and, where root's database lies elsewhere, that too.

    Raises:
        Fault: a demo runs on the folder, or nobody is there to answer the question.
    """
    if not folder.path.exists():
        print(f"There is no data in {folder.path}.")
        return 0
    if not folder.is_ours():
        raise Fault(f"{folder.path} is not a data folder of Brickyard: nothing was deleted.")
    folder.lock()
    homes = [folder.path]
    if (folder.path / "instance").exists():
        postgres = EmbeddedPostgres(folder.path, key=folder.remembered("instance", 8))
        if origin_of(postgres) in (None, folder.path):
            homes.append(postgres.home)
    homes = [home for home in dict.fromkeys(homes) if home.exists()]
    if not assume_yes and not _confirmed(homes):
        print("Nothing was deleted.")
        return 1
    for home in reversed(homes):
        shutil.rmtree(home)
    print(f"Deleted {' and '.join(str(home) for home in homes)}.")
    return 0


def _confirmed(homes: list[Path]) -> bool:
    print("This deletes every adapter, account and job of the demo:")
    for home in homes:
        print(f"  {home}")
    print("Delete? [y/N] ", end="", flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")
