"""Train one task adapter with PEFT and write it in PEFT's format."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict
from safetensors.torch import save as tensors_to_bytes
from tokenizers import Tokenizer
from transformers import LlamaForCausalLM

from inference_worker.testbed.corpus import example_batch
from inference_worker.testbed.evaluate import answer_logits
from inference_worker.testbed.library import BASE_REPOSITORY, AdapterSpec
from inference_worker.testbed.tasks import READABLE, TASKS, Example


@dataclass(frozen=True)
class AdapterRecipe:
    """``replay`` is the share of examples of families that the base reads already, with their right answers: the
    adapter then learns to act on its own instruction and to leave the others to the base, which is what makes a sum of
    adapters usable."""

    steps: int = 150
    examples: int = 24
    replay: float = 0.25
    rate_attention: float = 7e-3
    rate_all: float = 3e-3
    lengths: tuple[int, ...] = (3, 4, 4, 5)
    seed: int = 1


def training_examples(spec: AdapterSpec, recipe: AdapterRecipe, rng: Random) -> list[Example]:
    """One step's examples: the adapter's task over its seen wordings, and some that the base reads."""
    own = TASKS[spec.task]
    readable = [task for task in TASKS.values() if task.family in READABLE]
    result = []
    for _ in range(recipe.examples):
        task = rng.choice(readable) if rng.random() < recipe.replay else own
        result.append(task.natural_example(rng, rng.choice(recipe.lengths)))
    return result


def train_adapter(
    base: LlamaForCausalLM, tokenizer: Tokenizer, spec: AdapterSpec, recipe: AdapterRecipe
) -> tuple[PeftModel, dict[str, Any]]:
    """A PEFT model over ``base`` (which stays frozen; call ``.unload()`` to get it back) and the training's figures."""
    torch.manual_seed(recipe.seed)
    config = LoraConfig(
        r=spec.rank,
        lora_alpha=spec.alpha,
        target_modules=list(spec.targets),
        lora_dropout=0.0,
        bias="none",
        task_type="CAUSAL_LM",
    )
    model = get_peft_model(base, config)
    # PEFT puts in the folder that the base was loaded from.
    model.peft_config["default"].base_model_name_or_path = BASE_REPOSITORY
    parameters = [p for p in model.parameters() if p.requires_grad]
    rate = recipe.rate_attention if set(spec.targets) <= {"q_proj", "v_proj"} else recipe.rate_all
    optimizer = torch.optim.AdamW(parameters, lr=rate, weight_decay=0.0)
    steps = round(recipe.steps * spec.effort)
    started, losses = time.monotonic(), []
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1.0, (step + 1) / 10, (steps - step) / (0.6 * steps))
        examples = training_examples(spec, recipe, Random(f"adapter:{spec.name}:{recipe.seed}:{step}"))
        with torch.autocast("cpu", torch.bfloat16):
            logits, labels = answer_logits(model.get_base_model(), example_batch(tokenizer, examples))
        loss = torch.nn.functional.cross_entropy(logits.float(), labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        losses.append(loss.item())
    figures = {
        "steps": steps,
        "first_loss": round(sum(losses[:5]) / len(losses[:5]), 4),
        "last_loss": round(sum(losses[-5:]) / len(losses[-5:]), 4),
        "seconds": round(time.monotonic() - started, 1),
    }
    return model.eval(), figures


def save_adapter(model: PeftModel, directory: Path) -> None:
    """Write ``adapter_config.json`` and ``adapter_model.safetensors`` (bfloat16), the same bytes on every run."""
    directory.mkdir(parents=True, exist_ok=True)
    # Embeddings are never trained here, and asking whether they were would ask the model hub.
    found = get_peft_model_state_dict(model, save_embedding_layers=False)
    state = {name: tensor.bfloat16().contiguous() for name, tensor in sorted(found.items())}
    (directory / "adapter_model.safetensors").write_bytes(tensors_to_bytes(state, metadata={"format": "pt"}))
    config = model.peft_config["default"]
    config.inference_mode = True
    # PEFT holds the targets as a set, whose order changes from run to run.
    fields = {key: sorted(value) if isinstance(value, set) else value for key, value in config.to_dict().items()}
    text = json.dumps(fields, indent=2, sort_keys=True, default=str)
    (directory / "adapter_config.json").write_text(text + "\n", encoding="utf-8")
