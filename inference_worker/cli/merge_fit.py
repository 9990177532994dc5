"""Weights from examples on the command line. Apart from the rest, because it loads what a base needs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from inference_worker.adapter_format.reader import AdapterReader
from inference_worker.cli.merge_arguments import output_of
from inference_worker.contracts.common import BaseFiles, PromptFormat
from inference_worker.contracts.merge_fit import FitExample, FitGroup, MergeFit
from inference_worker.contracts.merge_output import MemberWeights
from inference_worker.errors import BadInput
from inference_worker.evaluation.builtin import PREFIX, builtin_suite
from inference_worker.evaluation.suite import read_suite
from inference_worker.fitting.merge_weights import find_weights
from inference_worker.merging.pipeline import Progress


def found_weights(
    args: argparse.Namespace,
    readers: Sequence[AdapterReader],
    weights: Sequence[float],
    options: dict[str, Any],
    progress: Progress,
) -> tuple[tuple[float, ...], tuple[MemberWeights, ...]]:
    """The weights that the examples lead to, beginning with ``weights``. Raises ``BadInput`` without examples."""
    if args.layer_weights:
        raise BadInput(f"{args.method} finds the weights from examples: leave --layer-weights out.", code="bad_weights")
    fit = _examples_of(args)
    found = find_weights(
        fit, readers, weights, args.method, options, output=output_of(args), seed=args.seed, progress=progress
    )
    print(f"merge: {found.found.words()}", file=sys.stderr)
    return found.weights, found.layers


def _examples_of(args: argparse.Namespace) -> MergeFit:
    if not args.examples or not args.base:
        raise BadInput(f"{args.method} finds the weights from examples: give --base and --examples.")
    prompt_format = PromptFormat(template=args.template.replace("\\n", "\n"))
    groups = []
    for name in args.examples:
        builtin = name.startswith(PREFIX)
        suite = builtin_suite(name, count=16) if builtin else read_suite(Path(name), prompt_format=prompt_format)
        examples = [FitExample(prompt=one.prompt, expected=one.expected[0]) for one in suite.examples]
        groups.append(FitGroup(name=suite.name, prompt_format=suite.prompt_format, examples=tuple(examples)))
    return MergeFit(base=BaseFiles(name=args.base, source=args.base), groups=tuple(groups))
