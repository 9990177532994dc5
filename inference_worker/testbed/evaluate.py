"""Exact match of a model on examples."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from inference_worker.testbed.corpus import IGNORED, Batch, example_batch
from inference_worker.testbed.tasks import FAMILIES, Example, Task
from inference_worker.testbed.tasks.words import Words


def answer_logits(model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
    """Logits (n, vocabulary) and labels (n,) at the positions that are learnt.

    The head is the dearest layer of so small a model, so it runs only where a label stands. Rows are padded on the
    right, where causal attention never looks, so no mask is needed.
    """
    decoder, head = model.get_submodule("model"), model.get_submodule("lm_head")
    hidden = decoder(input_ids=batch.ids, use_cache=False).last_hidden_state
    wanted = batch.labels != IGNORED
    return head(hidden[wanted]), batch.labels[wanted]


@torch.no_grad()
def right_answers(model: nn.Module, tokenizer: Tokenizer, examples: Sequence[Example], rows: int = 256) -> list[bool]:
    """Whether greedy decoding would give exactly the answer, example by example.

    One forward pass suffices: greedy decoding gives the answer if and only if, with the answer's own tokens as input,
    each next token (the end token included) has the highest logit.
    """
    right: list[bool] = []
    for start in range(0, len(examples), rows):
        batch = example_batch(tokenizer, examples[start : start + rows]).to(next(model.parameters()).device)
        logits, labels = answer_logits(model, batch)
        wrong = torch.zeros(batch.ids.shape[0], dtype=torch.long, device=labels.device)
        row_of = torch.nonzero(batch.labels != IGNORED)[:, 0]
        wrong.index_add_(0, row_of, (logits.argmax(-1) != labels).long())
        right += (wrong == 0).tolist()
    return right


def exact_match(model: nn.Module, tokenizer: Tokenizer, examples: Sequence[Example]) -> float:
    answers = right_answers(model, tokenizer, examples)
    return sum(answers) / len(answers)


def task_examples(
    task: Task, count: int, seed: int, unseen: bool, lengths: Sequence[int] = (4,), words: Words = "known"
) -> list[Example]:
    """``count`` examples in English, over seen or unseen wordings. The seed is apart from every training seed."""
    rng = Random(f"evaluate:{task.name}:{seed}:{unseen}:{words if isinstance(words, str) else 'clean'}")
    return [task.natural_example(rng, rng.choice(lengths), unseen, words) for _ in range(count)]


def formal_accuracy(
    model: nn.Module, tokenizer: Tokenizer, count: int = 64, seed: int = 0, lengths: Sequence[int] = (4,)
) -> dict[str, float]:
    """Exact match per family in the formal syntax, over ``count`` examples each."""
    result = {}
    for family, tasks in FAMILIES.items():
        rng = Random(f"formal:{family}:{seed}")
        examples = [rng.choice(tasks).formal_example(rng, rng.choice(lengths)) for _ in range(count)]
        result[family] = exact_match(model, tokenizer, examples)
    return result


def english_accuracy(
    model: nn.Module,
    tokenizer: Tokenizer,
    count: int = 64,
    seed: int = 0,
    unseen: bool = False,
    lengths: Sequence[int] = (4,),
) -> dict[str, float]:
    """Exact match per family in English, over ``count`` examples each of the parameters that are not held out."""
    result = {}
    for family, tasks in FAMILIES.items():
        rng, trained = Random(f"english:{family}:{seed}:{unseen}"), [task for task in tasks if not task.held_out]
        examples = [rng.choice(trained).natural_example(rng, rng.choice(lengths), unseen) for _ in range(count)]
        result[family] = exact_match(model, tokenizer, examples)
    return result
