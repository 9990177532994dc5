"""``bench``: measure a part of the engine on this machine."""

from __future__ import annotations

import argparse
import importlib

#: Benchmark -> (module with ``add_arguments(parser)`` and ``run(args) -> int``, what it measures).
BENCHMARKS = {
    "serve": ("inference_worker.serving.benchmark", "decoding speed with one adapter per row against the bare base"),
}


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the command with one subcommand per benchmark."""
    parser = subparsers.add_parser("bench", help=__doc__, description=__doc__)
    benchmarks = parser.add_subparsers(dest="benchmark", required=True)
    for name, (module, summary) in BENCHMARKS.items():
        importlib.import_module(module).add_arguments(benchmarks.add_parser(name, help=summary, description=summary))


def run(args: argparse.Namespace) -> int:
    """Run the chosen benchmark."""
    module, _ = BENCHMARKS[args.benchmark]
    return int(importlib.import_module(module).run(args))
