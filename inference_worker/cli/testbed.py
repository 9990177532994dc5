"""``testbed build``: train the small base and its adapters. ``testbed measure``: evaluate what is built once more.
``testbed check``: compare a built testbed's digests."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch

from inference_worker.testbed.build import Plan, build_testbed, measure_again, with_seed
from inference_worker.testbed.manifest import SHIPPED, check_manifest


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser("testbed", help="build or check the small trained base and its adapters")
    actions = parser.add_subparsers(dest="action", required=True)
    build = actions.add_parser("build", help="train what is missing; finished parts are kept")
    build.add_argument(
        "--only", nargs="+", default=[], metavar="PART", help="base, adapters, brackets, or names of bases and adapters"
    )
    build.add_argument("--out", type=Path, default=Path("build/testbed"), metavar="DIR", help="default: %(default)s")
    build.add_argument("--seed", type=int, default=1, metavar="N", help="default: %(default)s, the shipped one")
    build.add_argument("--threads", type=int, default=1, metavar="N", help="torch threads, default: %(default)s")
    build.add_argument(
        "--device", default="cpu", metavar="D", help="where bases are trained, such as cuda; default: cpu"
    )
    build.add_argument("--force", action="store_true", help="rebuild the named parts although they are finished")
    measure = actions.add_parser("measure", help="evaluate built adapters once more, without training")
    measure.add_argument("--only", nargs="+", default=[], metavar="PART", help="adapters, brackets, or their names")
    measure.add_argument("--out", type=Path, default=Path("build/testbed"), metavar="DIR", help="default: %(default)s")
    measure.add_argument("--threads", type=int, default=1, metavar="N", help="torch threads, default: %(default)s")
    measure.add_argument(
        "--made-with-seed",
        type=int,
        metavar="N",
        help="note for adapters without a record that today's recipe made them from this seed",
    )
    check = actions.add_parser("check", help="compare every file with the manifest")
    check.add_argument("--out", type=Path, default=SHIPPED, metavar="DIR", help="default: the shipped testbed")
    for action in (build, measure, check):
        action.add_argument("--json", action="store_true", help="print the manifest as JSON")


def run(args: argparse.Namespace) -> int:
    if args.action == "check":
        manifest = check_manifest(args.out)
    elif args.action == "measure":
        torch.set_num_threads(args.threads)
        adopt = args.made_with_seed is not None
        plan = Plan(out=args.out, only=tuple(args.only))
        if adopt:
            plan = with_seed(plan, args.made_with_seed)
        manifest = measure_again(plan, _silent if args.json else _print_line, adopt)
    else:
        torch.set_num_threads(args.threads)
        plan = with_seed(Plan(out=args.out, only=tuple(args.only), force=args.force, device=args.device), args.seed)
        manifest = build_testbed(plan, log=_silent if args.json else _print_line)
    print(json.dumps(manifest, indent=2) if args.json else _as_text(args.out, manifest))
    return 0


def _print_line(line: str) -> None:
    print(line, flush=True)


def _silent(_: str) -> None:
    """With ``--json`` standard output holds the manifest alone."""


def _as_text(directory: Path, manifest: dict[str, Any]) -> str:
    lines = [f"{directory}: {len(manifest['files'])} files, {manifest['size'] / 1e6:.1f} MB"]
    figures = manifest["figures"]
    for name, base in figures.get("bases", {}).items():
        english = base["english_readable_unseen"]
        lines.append(f"  {name}: formal {base['formal']['mean']:.3f}, English on unseen wordings {english:.3f}")
    lines += [
        f"  {name:<20} base {entry['base_unseen']:.3f}  with adapter {entry['unseen']:.3f}"
        for group in ("adapters", "brackets")
        for name, entry in figures.get(group, {}).items()
    ]
    return "\n".join(lines)
