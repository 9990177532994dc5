"""Build the testbed: tokenizer, base, adapters, cards, manifest. Finished parts are kept on the next run."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save as tensors_to_bytes
from tokenizers import Tokenizer
from transformers import GenerationConfig, LlamaForCausalLM

from inference_worker.errors import BadInput
from inference_worker.testbed.adapters import AdapterRecipe, save_adapter, train_adapter
from inference_worker.testbed.cards import write_card
from inference_worker.testbed.corpus import tokenizer_texts
from inference_worker.testbed.evaluate import english_accuracy, exact_match, formal_accuracy, task_examples
from inference_worker.testbed.library import ADAPTERS, AdapterSpec
from inference_worker.testbed.manifest import write_manifest
from inference_worker.testbed.pretrain import Recipe, pretrain
from inference_worker.testbed.tasks import READABLE, TASKS
from inference_worker.testbed.tokenizer import END, save_tokenizer, train_tokenizer

FIGURES = "figures.json"


@dataclass(frozen=True)
class Plan:
    """What to build and how. ``only`` holds “base”, “adapters” or adapters' names; empty means everything."""

    out: Path
    recipe: Recipe = field(default_factory=Recipe)
    adapter_recipe: AdapterRecipe = field(default_factory=AdapterRecipe)
    adapters: tuple[AdapterSpec, ...] = ADAPTERS
    only: tuple[str, ...] = ()
    evaluated: int = 200
    force: bool = False

    @property
    def work(self) -> Path:
        """Where checkpoints and the full-precision tokenizer stand until the build is done."""
        return self.out.with_name(self.out.name + ".work")

    def chosen(self) -> list[AdapterSpec]:
        """The adapters to build. Raises BadInput for a name that nothing has."""
        known = {spec.name for spec in self.adapters}
        unknown = set(self.only) - known - {"base", "adapters"}
        if unknown:
            raise BadInput(
                f"Nothing in the testbed is called {', '.join(sorted(unknown))}. "
                f"Choose from base, adapters, {', '.join(sorted(known))}."
            )
        everything = not self.only or "adapters" in self.only
        return [spec for spec in self.adapters if everything or spec.name in self.only]


def build_testbed(plan: Plan, log: Callable[[str], None] = print) -> dict[str, Any]:
    """Build what ``plan`` names into ``plan.out`` and return the manifest.

    A base is trained only when its folder is not finished, an adapter likewise, unless ``plan.force``. Rebuilding the
    base removes its adapters, which fit no other weights.
    """
    chosen = plan.chosen()
    plan.out.mkdir(parents=True, exist_ok=True)
    base_wanted = not plan.only or "base" in plan.only
    if base_wanted and (plan.force or not (plan.out / "base" / FIGURES).exists()):
        build_base(plan, log)
    if chosen:
        _require_base(plan)
        build_adapters(plan, chosen, log)
    return finish(plan)


def _require_base(plan: Plan) -> None:
    if not (plan.out / "base" / FIGURES).exists():
        raise BadInput(f"{plan.out} holds no finished base: build it first with “--only base”.")


def build_base(plan: Plan, log: Callable[[str], None]) -> None:
    """Train the tokenizer and the base and write them as a directory that plain transformers loads."""
    plan.work.mkdir(parents=True, exist_ok=True)
    checkpoint = plan.work / "base.ckpt"
    if plan.force:
        checkpoint.unlink(missing_ok=True)
    tokenizer = train_tokenizer(tokenizer_texts(), plan.recipe.vocabulary)
    model, training = pretrain(tokenizer, plan.recipe, checkpoint, log)
    for stale in ("base", "adapters"):
        shutil.rmtree(plan.out / stale, ignore_errors=True)
    write_base(model, tokenizer, plan, training)


def write_base(model: LlamaForCausalLM, tokenizer: Tokenizer, plan: Plan, training: dict[str, Any]) -> None:
    """Write the base in bfloat16, the tied head once, with its tokenizer, and evaluate what was written."""
    directory = plan.out / "base"
    directory.mkdir(parents=True, exist_ok=True)
    save_tokenizer(tokenizer, directory)
    state = {k: v.bfloat16().contiguous() for k, v in model.state_dict().items() if k != "lm_head.weight"}
    (directory / "model.safetensors").write_bytes(tensors_to_bytes(state, metadata={"format": "pt"}))
    model.config.dtype = torch.bfloat16
    model.config.architectures = ["LlamaForCausalLM"]
    model.config.save_pretrained(directory)
    end = tokenizer.token_to_id(END)
    GenerationConfig(eos_token_id=end, pad_token_id=model.config.pad_token_id).save_pretrained(directory)
    figures = {**training, **base_figures(load_base(plan), tokenizer, plan)}
    recipe = json.loads(json.dumps(asdict(plan.recipe)))
    (directory / FIGURES).write_text(json.dumps({"recipe": recipe, "figures": figures}, indent=2) + "\n", "utf-8")


def load_base(plan: Plan) -> LlamaForCausalLM:
    """The written base in float32, on which adapters are trained and everything is evaluated."""
    model = LlamaForCausalLM.from_pretrained(plan.out / "base", dtype=torch.float32)
    return model.eval()


def base_figures(model: LlamaForCausalLM, tokenizer: Tokenizer, plan: Plan) -> dict[str, Any]:
    """Exact match of the base: formal per family, and in English on the families that it reads."""
    lengths = plan.adapter_recipe.lengths
    count = max(1, plan.evaluated // 2)
    formal = formal_accuracy(model, tokenizer, count, lengths=lengths)
    seen = english_accuracy(model, tokenizer, count, lengths=lengths)
    unseen = english_accuracy(model, tokenizer, count, unseen=True, lengths=lengths)
    taught = {TASKS[spec.task].family for spec in plan.adapters}
    return {
        "formal": {"mean": _mean(formal.values()), "families": _rounded(formal)},
        "english_readable_seen": _mean(v for k, v in seen.items() if k in READABLE),
        "english_readable_unseen": _mean(v for k, v in unseen.items() if k in READABLE),
        "english_of_adapter_families": _mean(v for k, v in seen.items() if k in taught),
        "english_readable_families": _rounded({k: v for k, v in unseen.items() if k in READABLE}),
    }


def build_adapters(plan: Plan, chosen: Sequence[AdapterSpec], log: Callable[[str], None]) -> None:
    """Train, evaluate and write the chosen adapters that are not finished yet."""
    tokenizer = Tokenizer.from_file(str(plan.out / "base" / "tokenizer.json"))
    for spec in chosen:
        directory = plan.out / "adapters" / spec.name
        # meta.json is written last, so that its presence means a finished adapter.
        if (directory / "meta.json").exists() and not plan.force:
            log(f"{spec.name}: already built")
            continue
        base = load_base(plan)
        figures = _accuracies(base, tokenizer, spec, plan, "base_")
        model, training = train_adapter(base, tokenizer, spec, plan.adapter_recipe)
        save_adapter(model, directory)
        figures |= _accuracies(model.get_base_model(), tokenizer, spec, plan, "") | training
        write_card(spec, directory, figures, plan.adapter_recipe.lengths)
        log(f"{spec.name}: unseen {figures['unseen']:.3f} (base {figures['base_unseen']:.3f}), {figures['seconds']} s")


def _accuracies(model: Any, tokenizer: Tokenizer, spec: AdapterSpec, plan: Plan, prefix: str) -> dict[str, float]:
    task, lengths = TASKS[spec.task], plan.adapter_recipe.lengths
    return {
        prefix + name: exact_match(model, tokenizer, task_examples(task, plan.evaluated, 0, unseen, lengths))
        for name, unseen in (("seen", False), ("unseen", True))
    }


def finish(plan: Plan) -> dict[str, Any]:
    """Write the manifest over everything built so far."""
    figures: dict[str, Any] = {"adapters": {}}
    if (plan.out / "base" / FIGURES).exists():
        figures["base"] = json.loads((plan.out / "base" / FIGURES).read_text(encoding="utf-8"))["figures"]
    for path in sorted((plan.out / "adapters").glob("*/meta.json")):
        figures["adapters"][path.parent.name] = json.loads(path.read_text(encoding="utf-8"))["figures"]
    return write_manifest(plan.out, figures)


def with_seed(plan: Plan, seed: int) -> Plan:
    """The same plan from another seed."""
    return replace(plan, recipe=replace(plan.recipe, seed=seed), adapter_recipe=replace(plan.adapter_recipe, seed=seed))


def _mean(values: Any) -> float:
    numbers = list(values)
    return round(sum(numbers) / len(numbers), 4) if numbers else 0.0


def _rounded(values: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 4) for name, value in values.items()}
