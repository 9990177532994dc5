"""The command line: ``python -m inference_worker COMMAND … [--json]``.

Exit status 0 done, 2 bad arguments, 3 bad input with the problems listed.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys

from inference_worker.errors import BadInput, EngineError

#: As a shell reports a command that the closing of its pipe ended.
PIPE_CLOSED = 141

#: Command -> module with ``add_parser`` and ``run``. Only the named command's module is imported, so that reading an
#: adapter does not wait for transformers.
COMMANDS = {
    "inspect": "inference_worker.cli.inspect",
    "merge": "inference_worker.cli.merge",
    "recipe": "inference_worker.cli.recipe",
    "export": "inference_worker.cli.export",
    "generate": "inference_worker.cli.generate",
    "evaluate": "inference_worker.cli.evaluate",
    "testbed": "inference_worker.cli.testbed",
    "bench": "inference_worker.cli.bench",
}


def build_parser(command: str | None) -> argparse.ArgumentParser:
    """A parser with the named command's options, or with only the list of commands."""
    parser = argparse.ArgumentParser(prog="python -m inference_worker", description=__doc__)
    if command in COMMANDS:
        subparsers = parser.add_subparsers(dest="command", required=True)
        importlib.import_module(COMMANDS[command]).add_parser(subparsers)
    else:
        parser.add_argument("command", choices=sorted(COMMANDS))
    return parser


def main(argv: list[str] | None = None) -> int:
    arguments = sys.argv[1:] if argv is None else argv
    command = arguments[0] if arguments else None
    args = build_parser(command).parse_args(arguments)
    try:
        status = int(importlib.import_module(COMMANDS[args.command]).run(args))
        # Here and not at exit, where nobody could catch what fails.
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        # The reader has gone (“… | head”). What is still to be written would fail once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED
    except EngineError as error:
        if getattr(args, "json", False):
            print(json.dumps({"code": error.code, "message": error.message, "extra": error.extra}))
        else:
            print(f"{args.command}: {error.message}", file=sys.stderr)
        return 3 if isinstance(error, BadInput) else 1


if __name__ == "__main__":
    sys.exit(main())
