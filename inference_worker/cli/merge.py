"""``merge --method M … --out DIR ADAPTER…``: merge adapter folders, also as a recipe or a mergekit file says."""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from inference_worker.adapter_format.reader import open_directory
from inference_worker.cli.merge_arguments import (
    add_output_arguments,
    add_weight_arguments,
    layer_weights_of,
    option,
    output_of,
    positive,
)
from inference_worker.cli.methods_text import methods_table
from inference_worker.contracts.merge_methods import METHODS
from inference_worker.contracts.merge_recipe import parse_recipe
from inference_worker.contracts.mergekit import adapters_of, read_mergekit, translate
from inference_worker.errors import BadInput
from inference_worker.merging.pipeline import MergeReport, Progress, merge_adapters
from inference_worker.merging.replay import find_folders, replay_recipe

#: Arguments about how to merge and about what comes out.
_HOW = ("weights", "layer_weights", "option", "base", "examples")
_OUTPUT = ("rank", "ranks", "dtype", "rotate", "modules", "exclude")


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "merge",
        help="merge adapters into a new one",
        epilog=methods_table(METHODS.values()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("adapters", nargs="*", type=Path, metavar="ADAPTER", help="folder of a PEFT LoRA adapter")
    how = parser.add_mutually_exclusive_group(required=True)
    how.add_argument("--method", choices=sorted(METHODS), help="how to merge, see below")
    how.add_argument(
        "--recipe",
        type=Path,
        metavar="FILE",
        help="make the merge of this recipe.json again, from the same adapters, to the same bytes",
    )
    how.add_argument(
        "--mergekit",
        type=Path,
        metavar="FILE",
        help="the merge of a mergekit file whose models are base+adapter; adapters are folders as named in it, or "
        "those given, in its order",
    )
    add_weight_arguments(parser)
    finding = ", ".join(name for name, info in METHODS.items() if info.examples)
    parser.add_argument("--base", metavar="DIR", help=f"directory or hub id of the base, for {finding}")
    parser.add_argument(
        "--examples",
        action="append",
        default=[],
        metavar="SUITE",
        help=f"examples for {finding} to find the weights from: a file of JSON lines with prompt and expected, or "
        "testbed:NAME; may be repeated",
    )
    parser.add_argument(
        "--template", default="{prompt}", help="text around the prompts of a file, such as '{prompt}\\nOutput:'"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of whatever is random (default 0)")
    parser.add_argument(
        "--option", action="append", default=[], metavar="KEY=VALUE", help="an option of the method, see below"
    )
    add_output_arguments(parser)
    parser.add_argument("--threads", type=positive, help="cores to use (default: all, at most 8)")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="folder to write the result to")
    parser.add_argument("--json", action="store_true", help="print what was done as JSON")
    parser.set_defaults(parser=parser)


def run(args: argparse.Namespace) -> int:
    progress = _show if sys.stderr.isatty() else _quiet
    warnings: Sequence[str] = ()
    if args.recipe is not None:
        report, warnings = _replay(args, progress)
    elif args.mergekit is not None:
        report, warnings = _merge_like_mergekit(args, progress)
    else:
        report = _merge(args, progress)
    for warning in warnings:
        print(f"merge: {warning}", file=sys.stderr)
    table = _as_table(args.out, report) | {"warnings": list(warnings)}
    print(json.dumps(table, indent=2) if args.json else _as_text(args.out, report))
    return 0


def _merge(args: argparse.Namespace, progress: Progress) -> MergeReport:
    if not args.adapters:
        args.parser.error("name at least one adapter")
    with ExitStack() as stack:
        readers = [stack.enter_context(open_directory(path)) for path in args.adapters]
        options = dict(option(text) for text in args.option)
        weights: Sequence[float] = args.weights or [1.0] * len(readers)
        layer_weights = layer_weights_of(args, len(readers))
        if METHODS[args.method].examples:
            # Loading what a base needs takes longer than most merges, so only these methods do it.
            fitting = importlib.import_module("inference_worker.cli.merge_fit")
            weights, layer_weights = fitting.found_weights(args, readers, weights, options, progress)
        elif args.examples or args.base:
            raise BadInput(f"{args.method} takes its weights as given: leave --base and --examples out.")
        return merge_adapters(
            readers,
            weights,
            args.method,
            args.out,
            output=output_of(args),
            layer_weights=layer_weights,
            seed=args.seed,
            options=options,
            threads=args.threads,
            progress=progress,
        )


def _replay(args: argparse.Namespace, progress: Progress) -> tuple[MergeReport, Sequence[str]]:
    """A recipe answers everything but where the parents lie; without them, folders of their names are looked for
    here, beside the recipe and one folder up."""
    _leave_out(args, "a recipe settles everything", *_HOW, "seed", *_OUTPUT)
    recipe = parse_recipe(_read(args.recipe))
    beside = args.recipe.resolve().parent
    folders = args.adapters or find_folders(recipe, [Path.cwd(), beside, beside.parent])
    replay = replay_recipe(recipe, folders, args.out, threads=args.threads, progress=progress)
    return replay.report, replay.warnings


def _merge_like_mergekit(args: argparse.Namespace, progress: Progress) -> tuple[MergeReport, Sequence[str]]:
    """The file says how; rank and modules are as the arguments say, for mergekit has no such thing."""
    _leave_out(args, "the file says how to merge", *_HOW)
    config = read_mergekit(_read(args.mergekit))
    folders = args.adapters or [_folder(entry.model.adapter, args.mergekit) for entry in adapters_of(config)]
    with ExitStack() as stack:
        readers = [stack.enter_context(open_directory(path)) for path in folders]
        merge = translate(config, [list(reader.modules) for reader in readers])
        output = output_of(args)
        report = merge_adapters(
            readers,
            merge.weights,
            merge.method,
            args.out,
            output=output if output.dtype != "same" else output.model_copy(update={"dtype": merge.output.dtype}),
            layer_weights=merge.layer_weights,
            seed=args.seed,
            options=merge.options,
            threads=args.threads,
            progress=progress,
        )
    return report, [f"{note[0].upper()}{note[1:]}." for note in merge.notes]


def _folder(name: str, config: Path) -> Path:
    """A folder named in a file: from here, or from where the file is."""
    beside = config.parent / name
    return beside if not Path(name).exists() and beside.exists() else Path(name)


def _leave_out(args: argparse.Namespace, reason: str, *names: str) -> None:
    """End with status 2 if any of these arguments is given."""
    for name in names:
        if getattr(args, name) != args.parser.get_default(name):
            args.parser.error(f"{reason}: leave --{name.replace('_', '-')} out")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as fault:
        raise BadInput(f"{path} cannot be read: {fault.strerror}", code="bad_file") from fault


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
        "largest_cut": max((module.cut for module in report.modules), default=0.0),
        "seconds": round(report.seconds, 3),
        "recipe": report.recipe,
    }


def _as_text(out: Path, report: MergeReport) -> str:
    table = _as_table(out, report)
    error, cut = table["largest_error"], table["largest_cut"]
    accuracy = "" if error is None else f", largest relative error of a module {error:.3g}"
    if cut > 0.0:
        accuracy += f", at most {cut:.3g} of a module cut off"
    return f"{out}: {table['modules']} modules, rank {table['rank']}{accuracy}, {table['seconds']} s"
