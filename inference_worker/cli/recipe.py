"""``recipe show FILE`` and ``recipe to-mergekit FILE --base B``: what a merge's recipe says."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from inference_worker.contracts.merge_methods import METHODS
from inference_worker.contracts.merge_output import rank_to_text
from inference_worker.contracts.merge_recipe import MergeRecipe, parse_recipe
from inference_worker.contracts.mergekit import to_mergekit
from inference_worker.errors import BadInput


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser("recipe", help="read the recipe of a merge; merge --recipe makes it again")
    actions = parser.add_subparsers(dest="action", required=True)
    show = actions.add_parser("show", help="say in words how a merge was made")
    export = actions.add_parser("to-mergekit", help="print the mergekit file of the same merge")
    export.add_argument("--base", required=True, help="the adapters' base model, as mergekit finds it")
    export.add_argument(
        "--adapter",
        action="append",
        default=[],
        metavar="PLACE",
        help="where mergekit finds an adapter, once for each parent in the recipe's order (default: their names)",
    )
    for action in (show, export):
        action.add_argument("recipe", type=Path, metavar="FILE", help="a recipe.json")
        action.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    try:
        recipe = parse_recipe(args.recipe.read_bytes())
    except OSError as fault:
        raise BadInput(f"{args.recipe} cannot be read: {fault.strerror}", code="bad_file") from fault
    if args.action == "to-mergekit":
        text = to_mergekit(recipe, args.base, args.adapter)
        print(json.dumps({"mergekit": text}) if args.json else text, end="\n" if args.json else "")
    else:
        print(json.dumps(recipe.model_dump(mode="json"), indent=2) if args.json else _words(recipe))
    return 0


def _words(recipe: MergeRecipe) -> str:
    title = METHODS[recipe.method].title if recipe.method in METHODS else "unknown here"
    lines = [f"{recipe.method} ({title}) of {len(recipe.parents)} adapters, seed {recipe.seed}"]
    for parent in recipe.parents:
        groups = ", ".join(f"{group.modules} × {group.factor:g}" for group in parent.layer_weights)
        lines.append(f"  {parent.weight:g} × {parent.label or '(no name)'}{f' ({groups})' if groups else ''}")
        lines.append(f"      weights {parent.weights}")
    output = recipe.output
    rank = rank_to_text(output.rank) or "the method's own"
    lines.append(f"  rank {rank}, type {output.dtype}{', rotated' if output.rotate else ''}")
    lines += [f"  rank {rank_to_text(item.rank)} in {item.modules}" for item in output.ranks]
    lines += [f"  only {', '.join(output.include)}"] if output.include else []
    lines += [f"  without {', '.join(output.exclude)}"] if output.exclude else []
    lines += [f"  {name} = {json.dumps(value)}" for name, value in recipe.options.items()]
    lines.append("  made with " + ", ".join(f"{name} {version}" for name, version in recipe.versions.items()))
    return "\n".join(lines)
