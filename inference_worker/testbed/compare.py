"""``python -m inference_worker.testbed.compare``: PEFT's logits of a merged adapter against those of its parents.

The reference is the definition of a weighted merge, computed without any merging code: every parent is loaded by PEFT,
its Δ = B·A·scaling is read from PEFT's own layers, and the weighted sum is added to the base's weights. All of it is
computed in double precision: what differs then is the merge, not the order of additions.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import torch
from peft import PeftModel
from peft.tuners.lora import Linear
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel


def _load(base: Path) -> PreTrainedModel:
    return AutoModelForCausalLM.from_pretrained(base, dtype=torch.float64).eval()


def _with_adapter(base: Path, folder: Path) -> PeftModel:
    return PeftModel.from_pretrained(_load(base), folder).double()


def logits_of(model: torch.nn.Module, batches: list[Tensor]) -> list[Tensor]:
    """Logits (tokens, vocabulary) of each prompt; ``batches`` are token ids (1, tokens)."""
    with torch.inference_mode():
        return [model(input_ids=ids).logits[0] for ids in batches]


def add_parents(base: Path, parents: list[tuple[Path, float]]) -> PreTrainedModel:
    """The base with the weighted sum of the parents' Δ added to its weights."""
    target = _load(base)
    for folder, weight in parents:
        wrapped = _with_adapter(base, folder)
        with torch.no_grad():
            for name, layer in wrapped.get_base_model().named_modules():
                if isinstance(layer, Linear):
                    delta = layer.get_delta_weight("default")  # (d_out, d_in)
                    parameter = target.get_submodule(name).get_parameter("weight")
                    parameter.add_(weight * delta)
    return target


def compare(base: Path, merged: Path, parents: list[tuple[Path, float]], prompts: list[str]) -> dict[str, float]:
    """Largest absolute differences of logits: to the parents' weighted sum, and to the base alone."""
    tokenizer = AutoTokenizer.from_pretrained(base)
    batches = [tokenizer(prompt, return_tensors="pt").input_ids for prompt in prompts]
    found = logits_of(_with_adapter(base, merged), batches)
    expected = logits_of(add_parents(base, parents), batches)
    alone = logits_of(_load(base), batches)
    return {
        "max_difference": max(float((a - b).abs().max()) for a, b in zip(found, expected, strict=True)),
        "max_difference_to_base": max(float((a - b).abs().max()) for a, b in zip(found, alone, strict=True)),
    }


def _parent(text: str) -> tuple[Path, float]:
    folder, _, weight = text.rpartition(":")
    return Path(folder), float(weight)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m inference_worker.testbed.compare", description=__doc__)
    parser.add_argument("--base", type=Path, required=True, metavar="DIR")
    parser.add_argument("--merged", type=Path, required=True, metavar="DIR")
    parser.add_argument("--prompt", action="append", required=True, dest="prompts", metavar="TEXT")
    parser.add_argument("parents", type=_parent, nargs="+", metavar="DIR:WEIGHT")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    print(json.dumps(compare(options.base, options.merged, options.parents, options.prompts)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
