"""``merge --method M … --out DIR ADAPTER…``: merge adapter folders into a new one."""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from inference_worker.adapter_format.reader import open_directory
from inference_worker.contracts.merge_methods import METHODS
from inference_worker.merging.pipeline import MergeReport, merge_adapters


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    methods = "; ".join(f"{info.name}: {info.explanation}" for info in METHODS.values())
    parser = subparsers.add_parser("merge", help="merge adapters into a new one", epilog=methods)
    parser.add_argument("adapters", nargs="+", type=Path, metavar="ADAPTER", help="folder of a PEFT LoRA adapter")
    parser.add_argument("--method", required=True, choices=sorted(METHODS), help="how to merge, see below")
    parser.add_argument("--rank", type=_positive, help="rank of the result (lego, svd; default: the largest)")
    parser.add_argument("--weights", type=_weights, help="one number per adapter, such as 0.5,-0.3 (default: all 1)")
    parser.add_argument("--seed", type=int, default=0, help="seed of whatever is random (default 0)")
    parser.add_argument("--option", action="append", default=[], metavar="KEY=VALUE", help="an option of the method")
    parser.add_argument("--dtype", choices=("same", "bfloat16", "float16", "float32"), default="same")
    parser.add_argument("--threads", type=_positive, help="cores to use (default: all, at most 8)")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="folder to write the result to")
    parser.add_argument("--json", action="store_true", help="print what was done as JSON")


def run(args: argparse.Namespace) -> int:
    weights = args.weights or [1.0] * len(args.adapters)
    options = dict(_option(text) for text in args.option)
    with ExitStack() as stack:
        readers = [stack.enter_context(open_directory(path)) for path in args.adapters]
        report = merge_adapters(
            readers,
            weights,
            args.method,
            args.out,
            rank=args.rank,
            dtype=args.dtype,
            seed=args.seed,
            options=options,
            threads=args.threads,
            progress=_show if sys.stderr.isatty() else _quiet,
        )
    print(json.dumps(_as_table(args.out, report), indent=2) if args.json else _as_text(args.out, report))
    return 0


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return value


def _weights(text: str) -> list[float]:
    return [float(part) for part in text.split(",")]


def _option(text: str) -> tuple[str, Any]:
    """``key=value`` with the value read as JSON where it is JSON, else as text."""
    key, _, value = text.partition("=")
    try:
        return key, json.loads(value)
    except ValueError:
        return key, value


def _quiet(fraction: float, message: str) -> None:
    """No progress where nobody watches."""


def _show(fraction: float, message: str) -> None:
    end = "\n" if fraction >= 1.0 else ""
    print(f"\r{fraction:4.0%} {message:<60}", end=end, file=sys.stderr, flush=True)


def _as_table(out: Path, report: MergeReport) -> dict[str, Any]:
    errors = [module.error for module in report.modules if module.error is not None]
    return {
        "out": str(out),
        "files": sorted(report.files),
        "modules": len(report.modules),
        "rank": report.rank,
        "largest_error": max(errors, default=None),
        "seconds": round(report.seconds, 3),
        "recipe": report.recipe,
    }


def _as_text(out: Path, report: MergeReport) -> str:
    table = _as_table(out, report)
    error = table["largest_error"]
    accuracy = "" if error is None else f", largest relative error of a module {error:.3g}"
    return f"{out}: {table['modules']} modules, rank {table['rank']}{accuracy}, {table['seconds']} s"
