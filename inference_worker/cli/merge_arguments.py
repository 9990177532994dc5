"""How the output, weights and options of a merge are written on the command line."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from typing import Any, TypeVar

from pydantic import ValidationError

from inference_worker.contracts.faults import fault_words
from inference_worker.contracts.merge_output import (
    MemberWeights,
    MergeOutput,
    OutputDtype,
    member_weights_from_text,
    rank_from_text,
    ranks_from_text,
)
from inference_worker.errors import BadInput

Value = TypeVar("Value")

_DTYPES: tuple[OutputDtype, ...] = ("same", "bfloat16", "float16", "float32")


def add_output_arguments(parser: argparse.ArgumentParser) -> None:
    """What a merge puts out."""
    group = parser.add_argument_group(
        "output",
        "A group of modules is written as layers (0-15), part of a name (q_proj, self_attn, mlp.*), or both "
        "(0-15/q_proj).",
    )
    group.add_argument(
        "--rank",
        type=_checked(rank_from_text),
        metavar="RANK",
        help="a number, same (the largest of the parents, per module), energy:0.95 (the smallest that keeps this share "
        "of the squared singular values), or for lego inertia:0.9 (default: the method's own)",
    )
    group.add_argument(
        "--ranks",
        type=_checked(ranks_from_text),
        default=(),
        metavar="GROUP:RANK,…",
        help="other ranks for groups of modules; the first that fits counts, such as q_proj:8,mlp:energy:0.9",
    )
    group.add_argument("--dtype", choices=_DTYPES, default="same")
    group.add_argument(
        "--rotate",
        action="store_true",
        help="turn the rank space at random, so that the factors tell nothing but the update itself",
    )
    group.add_argument("--modules", type=_list, default=(), metavar="GROUP,…", help="only these modules")
    group.add_argument("--exclude", type=_list, default=(), metavar="GROUP,…", help="not these modules")


def add_weight_arguments(parser: argparse.ArgumentParser) -> None:
    """How much of every adapter goes in."""
    parser.add_argument("--weights", type=_weights, help="one number per adapter, such as 0.5,-0.3 (default: all 1)")
    parser.add_argument(
        "--layer-weights",
        action="append",
        type=_layer_weights,
        default=[],
        metavar="[N=]GROUP:FACTOR,…",
        help="factors on the weight of adapter N (from 1; of all without N=) by group of modules, the first that fits "
        "counts: 2=0-15:1.0,16-31:0.5; may be given several times",
    )


def output_of(args: argparse.Namespace) -> MergeOutput:
    """The output that the arguments describe. Raises ``BadInput`` for groups that are none."""
    try:
        return MergeOutput(
            rank=args.rank,
            ranks=args.ranks,
            dtype=args.dtype,
            rotate=args.rotate,
            include=args.modules,
            exclude=args.exclude,
        )
    except ValidationError as fault:
        raise BadInput("; ".join(map(fault_words, fault.errors())), code="bad_modules") from fault


def layer_weights_of(args: argparse.Namespace, adapters: int) -> tuple[MemberWeights, ...]:
    """The factors of every adapter. Raises ``BadInput`` for an adapter that is not there."""
    factors: list[MemberWeights] = [()] * adapters
    for number, groups in args.layer_weights:
        if number is not None and not 1 <= number <= adapters:
            raise BadInput(f"There is no adapter {number} for --layer-weights", code="bad_weights")
        for index in range(adapters) if number is None else [number - 1]:
            factors[index] = (*factors[index], *groups)
    return tuple(factors) if args.layer_weights else ()


def positive(text: str) -> int:
    """A whole number from 1 on."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return value


def option(text: str) -> tuple[str, Any]:
    """``key=value`` with the value read as JSON where it is JSON, else as text."""
    key, _, value = text.partition("=")
    try:
        return key, json.loads(value)
    except ValueError:
        return key, value


def _checked(parse: Callable[[str], Value]) -> Callable[[str], Value]:
    """``parse`` with its own words for what is wrong, which argparse would swallow."""

    def convert(text: str) -> Value:
        try:
            return parse(text)
        except ValidationError as fault:
            raise argparse.ArgumentTypeError("; ".join(map(fault_words, fault.errors()))) from fault
        except ValueError as fault:
            raise argparse.ArgumentTypeError(str(fault)) from fault

    return convert


def _weights(text: str) -> list[float]:
    """Numbers between commas, told apart from what is none."""
    weights = []
    for part in text.split(","):
        try:
            weights.append(float(part))
        except ValueError as fault:
            words = f"{part.strip()!r} is no number; write one per adapter between commas, such as 0.5,-0.3"
            raise argparse.ArgumentTypeError(words) from fault
    return weights


def _list(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _layer_weights(text: str) -> tuple[int | None, MemberWeights]:
    number, separator, groups = text.rpartition("=")
    parse = _checked(member_weights_from_text)
    return (int(number) if separator else None), parse(groups)
