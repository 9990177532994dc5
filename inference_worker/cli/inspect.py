"""``inspect DIR``: check an adapter's folder and show what it holds."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from inference_worker.adapter_format.inspect import inspect_adapter
from inference_worker.adapter_format.names import CONFIG_NAME, WEIGHTS_NAME
from inference_worker.adapter_format.reader import missing_files
from inference_worker.contracts.inspect import InspectResult


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser("inspect", help="check an adapter and show what it holds")
    parser.add_argument("directory", type=Path, metavar="DIR", help="folder with adapter_config.json and the weights")
    parser.add_argument("--json", action="store_true", help="print the whole result as JSON")


def run(args: argparse.Namespace) -> int:
    # Modules are small; threads that wait for one another cost more than they bring.
    torch.set_num_threads(1)
    missing = missing_files(args.directory)
    if missing:
        result = InspectResult(valid=False, problems=tuple(missing))
    else:
        result = inspect_adapter(args.directory / CONFIG_NAME, args.directory / WEIGHTS_NAME)
    print(result.model_dump_json(indent=2) if args.json else _as_text(args.directory, result))
    return 0 if result.valid else 3


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
