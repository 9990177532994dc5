"""``python -m marketplace.embedded demo | reset``: what the Makefile calls."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from marketplace.embedded.address import read_address
from marketplace.embedded.data_folder import DataFolder
from marketplace.embedded.demo import Demo
from marketplace.embedded.faults import Fault, explain_disk
from marketplace.embedded.guard import run_guarded
from marketplace.embedded.reset import reset


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m marketplace.embedded", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    demo = commands.add_parser("demo", help="start everything and watch it")
    demo.add_argument("--die-with-parent", action="store_true", help="stop when the process that started this ends")
    empty = commands.add_parser("reset", help="delete the data")
    empty.add_argument("--yes", action="store_true", help="do not ask")
    for each in (demo, empty):
        each.add_argument("--data", type=Path, default=Path(os.environ.get("DATA") or ".brickyard"), help="data folder")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit status; faults are one line on the error output and status 1."""
    options = _parse(arguments)
    folder = DataFolder(options.data)
    try:
        if options.command == "reset":
            return reset(folder, options.yes)
        address = read_address()
        folder.prepare()
        return run_guarded(lambda: Demo(folder, address).run(), options.die_with_parent)
    except Fault as fault:
        print(fault, file=sys.stderr)
        return 1
    except OSError as error:
        print(explain_disk(error, folder.path), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
