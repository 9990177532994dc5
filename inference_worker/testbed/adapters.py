"""Train adapters with PEFT: each learns its task and learns to leave everybody else's tasks alone."""

from __future__ import annotations

import time
from dataclasses import dataclass
from random import Random
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from tokenizers import Tokenizer
from torch import Tensor
from transformers import LlamaForCausalLM

from inference_worker.testbed.corpus import Batch, example_batch
from inference_worker.testbed.evaluate import answer_logits
from inference_worker.testbed.library import ATTENTION, AdapterSpec
from inference_worker.testbed.tasks import READABLE, TASKS, Example


@dataclass(frozen=True)
class AdapterRecipe:
    """Each step learns ``examples`` of the adapter's own task, and on ``others`` examples of other tasks it is held to
    the base's answers by the KL divergence, weighted by ``restraint``. An adapter so learns to act on its own
    instruction only, which is what makes a sum of adapters usable."""

    steps: int = 150
    examples: int = 24
    others: int = 12
    restraint: float = 0.5
    #: Share of the others that belong to families that the base reads; the rest are other adapters' tasks.
    readable: float = 0.5
    rate_attention: float = 7e-3
    rate_all: float = 3e-3
    lengths: tuple[int, ...] = (4,)
    seed: int = 1


def own_examples(spec: AdapterSpec, recipe: AdapterRecipe, rng: Random) -> list[Example]:
    """One step's examples of what the adapter teaches, over seen wordings and known words."""
    count = round(recipe.examples * spec.breadth)
    return [TASKS[rng.choice(spec.tasks)].natural_example(rng, rng.choice(recipe.lengths)) for _ in range(count)]


def other_examples(spec: AdapterSpec, recipe: AdapterRecipe, rng: Random) -> list[Example]:
    """One step's examples of other families. A family is either the adapter's own or held against it, never both: with
    other parameters of its own family it may do as it likes."""
    own = {TASKS[name].family for name in spec.tasks}
    others = [task for task in TASKS.values() if task.family not in own and not task.held_out]
    readable = [task for task in others if task.family in READABLE]
    taught = [task for task in others if task.family not in READABLE] or readable
    result = []
    for _ in range(recipe.others):
        group = readable if rng.random() < recipe.readable else taught
        # First the family, then the task: or else the families with many parameters would crowd out the rest.
        family = rng.choice(sorted({task.family for task in group}))
        task = rng.choice([task for task in group if task.family == family])
        result.append(task.natural_example(rng, rng.choice(recipe.lengths)))
    return result


def lora_config(spec: AdapterSpec) -> LoraConfig:
    """PEFT's configuration of an adapter, before training."""
    return LoraConfig(
        r=spec.rank,
        lora_alpha=spec.alpha,
        target_modules=list(spec.targets),
        lora_dropout=0.0,
        bias="none",
        task_type="CAUSAL_LM",
        use_rslora=spec.rslora,
        use_dora=spec.dora,
        rank_pattern=dict(spec.rank_pattern),
        # The scale alpha / rank is the same in every module.
        alpha_pattern={name: 2 * rank for name, rank in spec.rank_pattern.items()},
        modules_to_save=list(spec.modules_to_save) or None,
    )


def train_adapter(
    base: LlamaForCausalLM, tokenizer: Tokenizer, spec: AdapterSpec, recipe: AdapterRecipe
) -> tuple[PeftModel, dict[str, Any]]:
    """A PEFT model over ``base`` (which stays frozen; call ``.unload()`` to get it back) and the training's figures."""
    torch.manual_seed(recipe.seed)
    model = get_peft_model(base, lora_config(spec))
    # PEFT puts in the folder that the base was loaded from.
    model.peft_config["default"].base_model_name_or_path = spec.repository
    parameters = [p for p in model.parameters() if p.requires_grad]
    rate = _rate(spec, recipe)
    optimizer = torch.optim.AdamW(parameters, lr=rate, weight_decay=0.0)
    steps = round(recipe.steps * spec.effort)
    started, losses = time.monotonic(), []
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1.0, (step + 1) / 10, (steps - step) / (0.6 * steps))
        rng = Random(f"adapter:{spec.name}:{recipe.seed}:{step}")
        with torch.autocast("cpu", torch.bfloat16):
            loss = _own_loss(model, example_batch(tokenizer, own_examples(spec, recipe, rng)))
            if recipe.others:
                others = example_batch(tokenizer, other_examples(spec, recipe, rng))
                restraint = recipe.restraint * _divergence(model, others)
        losses.append(loss.item())
        optimizer.zero_grad(set_to_none=True)
        (loss + restraint if recipe.others else loss).backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
    figures = {
        "steps": steps,
        "first_loss": round(sum(losses[:5]) / len(losses[:5]), 4),
        "last_loss": round(sum(losses[-5:]) / len(losses[-5:]), 4),
        "seconds": round(time.monotonic() - started, 1),
    }
    return model.eval(), figures


def _rate(spec: AdapterSpec, recipe: AdapterRecipe) -> float:
    if spec.rate:
        return spec.rate
    return recipe.rate_attention if set(spec.targets) <= set(ATTENTION) else recipe.rate_all


def _own_loss(model: PeftModel, batch: Batch) -> Tensor:
    logits, labels = answer_logits(model.get_base_model(), batch)
    return torch.nn.functional.cross_entropy(logits.float(), labels)


def _divergence(model: PeftModel, batch: Batch) -> Tensor:
    """Mean KL(base ‖ adapter) over the answers' positions."""
    with torch.no_grad(), model.disable_adapter():
        wanted, _ = answer_logits(model.get_base_model(), batch)
    found, _ = answer_logits(model.get_base_model(), batch)
    return torch.nn.functional.kl_div(
        found.float().log_softmax(-1), wanted.float().log_softmax(-1), reduction="batchmean", log_target=True
    )
