"""``evaluate``: a base, adapters and mixes of them on a suite of examples, with 95 % intervals."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from inference_worker.cli.generate import adapter_paths, file_sha256, parse_adapter
from inference_worker.contracts.common import AdapterFiles, BaseFiles, PromptFormat
from inference_worker.contracts.evaluate import METRICS, EvaluationSettings
from inference_worker.errors import BadInput
from inference_worker.evaluation.builtin import PREFIX, builtin_suite
from inference_worker.evaluation.harness import Member, evaluate
from inference_worker.evaluation.report import as_text
from inference_worker.evaluation.suite import Suite, read_suite
from inference_worker.serving.pool import EnginePool
from inference_worker.serving.settings import EngineSettings


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the command."""
    parser = subparsers.add_parser("evaluate", help=__doc__, description=__doc__)
    parser.add_argument("--base", required=True, help="directory or hub id of the base model")
    parser.add_argument("--revision", help="revision of a hub id")
    parser.add_argument(
        "--adapter", action="append", default=[], metavar="DIR[:WEIGHT]", help="a member of the mix; may be repeated"
    )
    parser.add_argument(
        "--suite", required=True, help="a file of JSON lines, or testbed:NAME (see docs/evaluation.md)", metavar="SUITE"
    )
    parser.add_argument("--each", action="store_true", help="evaluate every adapter by itself instead of their mix")
    parser.add_argument("--ensemble", action="store_true", help="let the adapters vote on every token")
    parser.add_argument("--against-base", action="store_true", help="evaluate the bare base too")
    parser.add_argument("--metric", action="append", choices=METRICS, help="default: exact_match and token_f1")
    parser.add_argument("--limit", type=_positive, help="at most so many examples, spread over the tasks")
    parser.add_argument("--count", type=_positive, default=64, help="examples per task of a built-in suite (64)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--max-tokens", type=_positive, help="default: enough for the longest expected answer")
    parser.add_argument("--chat", action="store_true", help="put prompts of a file into the base's chat template")
    parser.add_argument("--template", default="{prompt}", help="text around the prompts of a file")
    parser.add_argument("--stop", action="append", default=[], help="end answers before this text; \\n is a line break")
    parser.add_argument("--cache", type=Path, metavar="DIR", help="keep outcomes here, and go on from what is there")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write everything, example by example, as JSON")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def run(args: argparse.Namespace) -> int:
    suite = _suite(args)
    settings = EvaluationSettings(
        metrics=tuple(args.metric or ("exact_match", "token_f1")),
        limit=args.limit,
        seed=args.seed,
        max_tokens=args.max_tokens,
    )
    folders: dict[str, Path] = {}
    members = [_member(given, folders) for given in args.adapter]
    compositions: list[list[Member]] = [[member] for member in members] if args.each else [members]
    if args.against_base and members:
        compositions.insert(0, [])
    base = BaseFiles(name=args.base, source=args.base, revision=args.revision)
    evaluations = []
    with EnginePool(EngineSettings.from_environment(os.environ)) as pool:
        for composition in compositions:
            evaluations.append(
                evaluate(
                    pool=pool,
                    resolve=lambda files: adapter_paths(folders[files.label]),
                    base=base,
                    members=composition,
                    suite=suite,
                    settings=settings,
                    cache=args.cache,
                    strategy="ensemble" if args.ensemble else "mix",
                    progress=_show if sys.stderr.isatty() else _quiet,
                )
            )
    tables = [evaluation.model_dump(mode="json") for evaluation in evaluations]
    if args.out:
        args.out.write_text(json.dumps(tables, indent=1, ensure_ascii=False) + "\n")
    if args.json:
        short = [{key: value for key, value in table.items() if key != "outcomes"} for table in tables]
        print(json.dumps(short, ensure_ascii=False))
    else:
        print(as_text(evaluations))
    return 0


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return value


def _suite(args: argparse.Namespace) -> Suite:
    if args.suite.startswith(PREFIX):
        return builtin_suite(args.suite, count=args.count, seed=args.seed)
    if "{prompt}" not in args.template:
        raise BadInput("--template: write {prompt} where the prompt belongs.", code="bad_option")
    stops = tuple(stop.replace("\\n", "\n") for stop in args.stop)
    prompt_format = PromptFormat(
        kind="chat" if args.chat else "plain", template=args.template.replace("\\n", "\n"), stop=stops
    )
    return read_suite(Path(args.suite), prompt_format=prompt_format)


def _member(given: str, folders: dict[str, Path]) -> Member:
    folder, weight = parse_adapter(given)
    config, weights = adapter_paths(folder)
    folders[str(folder)] = folder
    files = AdapterFiles(label=str(folder), config=file_sha256(config), weights=file_sha256(weights))
    return Member(files, weight)


def _quiet(done: int, total: int) -> None:
    """No progress where nobody watches."""


def _show(done: int, total: int) -> None:
    print(f"\r{done} of {total}", end="\n" if done == total else "", file=sys.stderr, flush=True)
