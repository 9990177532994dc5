"""``inspect DIR``: check an adapter's folder and show what it holds; with ``--against``, how it goes with others."""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from pathlib import Path

import torch

from inference_worker.adapter_format.inspect import inspect_adapter
from inference_worker.adapter_format.names import CONFIG_NAME, WEIGHTS_NAME
from inference_worker.adapter_format.reader import missing_files, open_directory
from inference_worker.cli.verdict_text import verdict_text
from inference_worker.composability.verdict import judge_adapters
from inference_worker.contracts.inspect import InspectResult


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser("inspect", help="check an adapter and show what it holds")
    parser.add_argument("directory", type=Path, metavar="DIR", help="folder with adapter_config.json and the weights")
    parser.add_argument(
        "--against", type=Path, nargs="+", metavar="DIR", help="judge how it would merge with these adapters"
    )
    parser.add_argument("--json", action="store_true", help="print the whole result as JSON")


def run(args: argparse.Namespace) -> int:
    # Modules are small; threads that wait for one another cost more than they bring.
    torch.set_num_threads(1)
    if args.against:
        return _judge([args.directory, *args.against], as_json=args.json)
    result = _inspect(args.directory)
    print(result.model_dump_json(indent=2) if args.json else _as_text(args.directory, result))
    return 0 if result.valid else 3


def _inspect(directory: Path) -> InspectResult:
    missing = missing_files(directory)
    if missing:
        return InspectResult(valid=False, problems=tuple(missing))
    return inspect_adapter(directory / CONFIG_NAME, directory / WEIGHTS_NAME)


def _judge(directories: list[Path], *, as_json: bool) -> int:
    """Check every adapter first: of a faulty one nothing else is worth saying."""
    results = [_inspect(directory) for directory in directories]
    faulty = [(path, result) for path, result in zip(directories, results, strict=True) if not result.valid]
    for directory, result in faulty:
        print(result.model_dump_json(indent=2) if as_json else _as_text(directory, result))
    if faulty:
        return 3
    with ExitStack() as stack:
        readers = [stack.enter_context(open_directory(directory)) for directory in directories]
        verdict = judge_adapters(readers, [result.signature for result in results])
    print(verdict.model_dump_json(indent=2) if as_json else verdict_text(verdict))
    return 0


def _as_text(directory: Path, result: InspectResult) -> str:
    summary = result.summary
    lines = [f"{directory}: {'valid' if result.valid else 'not valid'}"]
    if summary.parameters:
        ranks = ", ".join(map(str, summary.ranks))
        lines += [
            f"  base      {summary.base_model_name or 'not named'}",
            f"  task      {summary.task_type or 'not named'}{'' if summary.generates else ', no text to be generated'}",
            f"  rank      {ranks or summary.rank} (alpha {summary.alpha:g})",
            f"  size      {summary.parameters:,} parameters, {summary.size:,} bytes, {summary.dtype}",
            f"  targets   {', '.join(summary.target_modules[:8]) or 'not named'}",
            f"  features  {', '.join(summary.features) or 'plain LoRA'}",
        ]
    for problem in result.problems:
        lines.append(f"  {problem.severity}: {problem.code}{f' at {problem.place}' if problem.place else ''}")
        lines.append(f"      {problem.message} {problem.remedy}".rstrip())
    if result.modules:
        lines.append(f"  {'module':<50} {'rank':>5} {'norm':>10} {'eff. rank':>10}")
        lines += [
            f"  {module.name:<50} {module.rank:>5} {module.norm:>10.4g} {module.effective_rank:>10.2f}"
            for module in result.modules
        ]
    return "\n".join(lines)
