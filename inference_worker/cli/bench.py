"""``bench NAME …``: run one of the checkout's benchmarks (``benchmarks/NAME.py``) with the options that follow."""

from __future__ import annotations

import argparse
import runpy
import sys
from pathlib import Path

from inference_worker.errors import BadInput

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


def names() -> list[str]:
    """The benchmarks at hand."""
    return sorted(path.stem for path in BENCHMARKS.glob("*.py") if not path.stem.startswith("_"))


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the command; a benchmark's own options are its own business."""
    parser = subparsers.add_parser("bench", help=__doc__, description=__doc__)
    parser.add_argument("benchmark", metavar="NAME", help=f"one of {', '.join(names())}" if names() else None)
    parser.add_argument("options", nargs=argparse.REMAINDER, help="options of the benchmark; try --help")


def run(args: argparse.Namespace) -> int:
    """Run the benchmark as if it had been called by its path; raises ``BadInput`` for an unknown name."""
    if args.benchmark not in names():
        listed = ", ".join(names()) or "none: benchmarks come with a checkout of the repository"
        raise BadInput(f"There is no benchmark {args.benchmark!r}; there are {listed}.", code="unknown_benchmark")
    path = BENCHMARKS / f"{args.benchmark}.py"
    before = sys.argv
    sys.argv = [str(path), *args.options]
    try:
        runpy.run_path(str(path), run_name="__main__")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    finally:
        sys.argv = before
    return 0
