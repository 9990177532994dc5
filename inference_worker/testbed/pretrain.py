"""Train the base: Muon on matrices, AdamW on embeddings and norms, in stages, resumable and deterministic."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from inference_worker.testbed.corpus import FINAL_WEIGHTS, IGNORED, LATE_WEIGHTS, Mixture, documents, make_batches
from inference_worker.testbed.evaluate import answer_logits, english_accuracy, formal_accuracy
from inference_worker.testbed.muon import Muon
from inference_worker.testbed.tasks import READABLE
from inference_worker.testbed.tokenizer import END, PAD, VOCABULARY

#: Every list has four words: with other lengths beside them the skills that count places take many times as long
#: (from loss .28 to .39 within 1,300 steps, where lists of four alone go on falling).
TABLES = Mixture()
CHOICES = Mixture(weights=LATE_WEIGHTS)
ALL = Mixture(weights=FINAL_WEIGHTS)


@dataclass(frozen=True)
class Stage:
    """``steps`` steps over ``mixture``; learning rates go linearly from their first to their last value."""

    steps: int
    mixture: Mixture
    muon: tuple[float, float]
    adam: tuple[float, float]


#: A base that is trained from nothing: tables and places, then choosing and counting, then everything while rates fall.
COURSE = (
    Stage(900, TABLES, (0.02, 0.02), (3e-3, 3e-3)),
    Stage(600, CHOICES, (0.02, 0.015), (3e-3, 2e-3)),
    Stage(1100, ALL, (0.015, 0.0), (2e-3, 0.0)),
)


@dataclass(frozen=True)
class Recipe:
    """Shape of the base and course of its training."""

    hidden: int = 256
    layers: int = 5
    feed_forward: int = 704
    heads: int = 4
    vocabulary: int = VOCABULARY
    documents_per_step: int = 256
    chunks: int = 5
    seed: int = 1
    stages: tuple[Stage, ...] = COURSE

    @property
    def steps(self) -> int:
        return sum(stage.steps for stage in self.stages)

    def at(self, step: int) -> tuple[Mixture, float, float]:
        """Mixture, Muon's rate and AdamW's rate of a step. The first 40 steps warm up."""
        warm = min(1.0, (step + 1) / 40)
        for stage in self.stages:
            if step < stage.steps:
                done = step / stage.steps
                muon, adam = (low + (high - low) * done for low, high in (stage.muon, stage.adam))
                return stage.mixture, muon * warm, adam * warm
            step -= stage.steps
        raise ValueError(f"step {step} lies beyond the last stage")


def build_model(recipe: Recipe, tokenizer: Tokenizer) -> LlamaForCausalLM:
    """A fresh Llama of the recipe's shape, from the recipe's seed."""
    torch.manual_seed(recipe.seed)
    end = tokenizer.token_to_id(END)
    config = LlamaConfig(
        vocab_size=recipe.vocabulary,
        hidden_size=recipe.hidden,
        intermediate_size=recipe.feed_forward,
        num_hidden_layers=recipe.layers,
        num_attention_heads=recipe.heads,
        num_key_value_heads=recipe.heads,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=end,
        pad_token_id=tokenizer.token_to_id(PAD),
    )
    model = LlamaForCausalLM(config)
    # On lists this short, attention written out is many times faster than torch's fused kernel on a CPU.
    model.set_attn_implementation("eager")
    return model


def build_optimizers(model: LlamaForCausalLM) -> tuple[Muon, torch.optim.AdamW]:
    matrices = [p for name, p in model.named_parameters() if p.ndim == 2 and ".layers." in name]
    others = [p for name, p in model.named_parameters() if not (p.ndim == 2 and ".layers." in name)]
    return Muon(matrices), torch.optim.AdamW(others, betas=(0.9, 0.95), weight_decay=0.0)


def train_step(model: LlamaForCausalLM, tokenizer: Tokenizer, recipe: Recipe, step: int) -> tuple[float, int]:
    """Accumulate the gradients of one step; the loss and the number of tokens read."""
    mixture, _, _ = recipe.at(step)
    pairs = documents(Random(f"{recipe.seed}:{step}"), recipe.documents_per_step, mixture)
    # Chunks of like length waste little padding; the gradient is that of one batch.
    batches = make_batches(tokenizer, pairs, recipe.chunks)
    total = sum(int((batch.labels != IGNORED).sum()) for batch in batches)
    loss_sum = 0.0
    for batch in batches:
        with torch.autocast(model.device.type, torch.bfloat16):
            logits, labels = answer_logits(model, batch.to(model.device))
        loss = torch.nn.functional.cross_entropy(logits.float(), labels, reduction="sum") / total
        loss.backward()
        loss_sum += loss.item()
    return loss_sum, sum(batch.ids.numel() for batch in batches)


def pretrain(
    tokenizer: Tokenizer,
    recipe: Recipe,
    checkpoint: Path,
    log: Callable[[str], None] = print,
    save_every: int = 100,
    report_every: int = 300,
    start: Mapping[str, Tensor] | None = None,
    device: str = "cpu",
    made: Mapping[str, Any] | None = None,
) -> tuple[LlamaForCausalLM, dict[str, Any]]:
    """Train the base, or go on from ``checkpoint`` where one stands. Returns it with loss, tokens and seconds.

    ``start`` holds weights to begin with instead of random ones. ``made`` is the record that checkpoints keep
    (``read_record`` gives it back). ``device`` is where it computes; on another one than
    the CPU it comes back in main memory. A resumed run sees the same batches as an unbroken
    one: each step's documents come from (seed, step) alone.
    """
    model = build_model(recipe, tokenizer)
    if start is not None:
        model.load_state_dict(start)
    model.to(torch.device(device))  # type: ignore[arg-type]  # The stub of transformers binds self twice.
    optimizers = build_optimizers(model)
    figures: dict[str, Any] = {"step": 0, "tokens": 0, "seconds": 0.0, "loss": []}
    if checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=True, map_location=device)
        model.load_state_dict(saved["model"])
        for optimizer, state in zip(optimizers, saved["optimizers"], strict=True):
            optimizer.load_state_dict(state)
        figures = saved["figures"]
        log(f"resumed at step {figures['step']}")
    model.train()
    started, recent = time.monotonic(), 0.0
    for step in range(figures["step"], recipe.steps):
        for optimizer, rate in zip(optimizers, recipe.at(step)[1:], strict=True):
            for group in optimizer.param_groups:
                group["lr"] = rate
        loss, tokens = train_step(model, tokenizer, recipe, step)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
        model.zero_grad(set_to_none=True)
        recent = loss if recent == 0.0 else 0.95 * recent + 0.05 * loss
        now = time.monotonic()
        figures["step"], figures["tokens"] = step + 1, figures["tokens"] + tokens
        figures["seconds"], started = figures["seconds"] + now - started, now
        if (step + 1) % 20 == 0:
            done = f"step {step + 1}/{recipe.steps} loss {recent:.3f}"
            log(f"{done} tokens {figures['tokens']:,} seconds {figures['seconds']:.0f}")
        if (step + 1) % save_every == 0 or step + 1 == recipe.steps:
            figures["loss"].append(round(recent, 4))
            _save(checkpoint, model, optimizers, figures, made)
            if (step + 1) % report_every == 0:
                log(progress_line(model, tokenizer))
            started = time.monotonic()
    model.to(torch.device("cpu")).eval()  # type: ignore[arg-type]
    return model, figures


def read_record(checkpoint: Path) -> dict[str, Any]:
    """What a checkpoint says about its making; nothing where there is none, or an old one."""
    if not checkpoint.exists():
        return {}
    saved: dict[str, Any] = torch.load(checkpoint, weights_only=True, map_location="cpu", mmap=True)
    return dict(saved.get("made") or {})


def _save(
    checkpoint: Path,
    model: LlamaForCausalLM,
    optimizers: tuple[Any, ...],
    figures: dict[str, Any],
    made: Mapping[str, Any] | None,
) -> None:
    state = {
        "model": model.state_dict(),
        "optimizers": [o.state_dict() for o in optimizers],
        "figures": figures,
        "made": dict(made or {}),
    }
    partial = checkpoint.with_suffix(".partial")
    torch.save(state, partial)
    partial.replace(checkpoint)


def progress_line(model: LlamaForCausalLM, tokenizer: Tokenizer) -> str:
    """Exact match by family, for the log."""
    formal = formal_accuracy(model, tokenizer, count=24)
    english = english_accuracy(model, tokenizer, count=24)
    read = [english[name] for name in formal if name in READABLE]
    others = [english[name] for name in formal if name not in READABLE]
    detail = " ".join(f"{name} {value:.2f}" for name, value in formal.items())
    return (
        f"formal {sum(formal.values()) / len(formal):.3f}, English: readable {sum(read) / len(read):.3f}, "
        f"others {sum(others) / len(others):.3f} | {detail}"
    )
