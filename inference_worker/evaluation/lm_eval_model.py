"""The engine as a model of EleutherAI's lm-evaluation-harness (the optional extra ``lm-eval``).

Every task of that harness then runs on any composition, many requests in one batch.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from lm_eval import simple_evaluate, utils
from lm_eval.api.instance import Instance
from lm_eval.api.model import TemplateLM
from lm_eval.tasks import TaskManager

from inference_worker.contracts.common import BaseFiles
from inference_worker.contracts.generate import GenerateEvent, GenerateRequest, Sampling, WeightedAdapter
from inference_worker.errors import BadInput
from inference_worker.evaluation.harness import DEADLINE, Member
from inference_worker.serving.engine import Resolve
from inference_worker.serving.pool import EnginePool
from inference_worker.serving.sequence import GenerationHandle

#: Tokens of an answer where a task names no limit.
MAX_TOKENS = 256


class EngineLM(TemplateLM):
    """A base with weighted adapters. Decoding is greedy unless a task asks for sampling by name."""

    def __init__(self, pool: EnginePool, resolve: Resolve, base: BaseFiles, members: Sequence[Member] = ()) -> None:
        super().__init__()
        self._pool, self._resolve, self._base_files = pool, resolve, base
        self._members = tuple(WeightedAdapter(adapter=member.files, weight=member.weight) for member in members)
        loaded = pool.preload(base, pinned=True)
        self.tokenizer, self._context = loaded.tokenizer, loaded.context
        self._requests = 0

    @property
    def eot_token_id(self) -> int:
        return int(self.tokenizer.eos_token_id)

    @property
    def prefix_token_id(self) -> int:
        """What stands before a text without context."""
        begin = self.tokenizer.bos_token_id
        return int(begin) if begin is not None else self.eot_token_id

    @property
    def tokenizer_name(self) -> str:
        return self._base_files.name.replace("/", "__")

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **_: Any) -> list[int]:
        begins = self.tokenizer.bos_token is not None and string.startswith(str(self.tokenizer.bos_token))
        special = not begins if add_special_tokens is None else add_special_tokens
        return list(self.tokenizer(string, add_special_tokens=special)["input_ids"])

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        rendered = self.tokenizer.apply_chat_template(
            chat_history,
            tokenize=False,
            add_generation_prompt=add_generation_prompt,
            continue_final_message=not add_generation_prompt,
        )
        return str(rendered)

    def _loglikelihood_tokens(
        self, requests: list[tuple[tuple[str, str], list[int], list[int]]], **_: Any
    ) -> list[tuple[float, bool]]:
        """What does not fit loses the beginning of its context, as in the harness's own models."""
        sent = []
        for _texts, context, continuation in requests:
            kept = (context + continuation)[-(self._context + 1) :]
            tail = min(len(continuation), len(kept) - 1)
            sent.append({"prompt_tokens": tuple(kept[:-tail]), "continuation_tokens": tuple(kept[-tail:])})
        return [(sum(last.logprobs), last.greedy) for _, last in self._answers(sent)]

    def loglikelihood_rolling(self, requests: list[Instance], disable_tqdm: bool = False) -> list[float]:
        """Log-likelihood of whole texts, in windows of the base's context that overlap by one token."""
        windows, owners = [], []
        for number, request in enumerate(requests):
            (text,) = request.args
            rolling = utils.get_rolling_token_windows(
                token_list=self.tok_encode(text, add_special_tokens=False),
                prefix_token=self.prefix_token_id,
                max_seq_len=self._context,
                context_len=1,
            )
            for context, continuation in map(utils.make_disjoint_window, rolling):
                windows.append((("", ""), list(context), list(continuation)))
                owners.append(number)
        totals = [0.0] * len(requests)
        for number, (logprob, _greedy) in zip(owners, self._loglikelihood_tokens(windows), strict=True):
            totals[number] += logprob
        return totals

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        sent = []
        for request in requests:
            context, options = request.args
            stops = options.get("until") or []
            stops = [stops] if isinstance(stops, str) else list(stops)
            limit = min(int(options.get("max_gen_toks", MAX_TOKENS)), self._context // 2)
            warm = float(options.get("temperature", 0.0)) if options.get("do_sample") else 0.0
            tokens = self.tok_encode(context)[-(self._context - limit) :] or [self.prefix_token_id]
            sampling = Sampling(max_tokens=limit, temperature=warm, stop=tuple(stop for stop in stops if stop)[:16])
            sent.append({"prompt_tokens": tuple(tokens), "sampling": sampling})
        return [text for text, _ in self._answers(sent)]

    def _answers(self, sent: Iterable[dict[str, Any]]) -> list[tuple[str, GenerateEvent]]:
        """Text and last event of each request, in order; a few more are under way than the engine has rows."""
        found: list[tuple[str, GenerateEvent]] = []
        waiting: deque[GenerationHandle] = deque()
        for fields in sent:
            self._requests += 1
            request = GenerateRequest(
                request=f"lm-eval-{self._requests}",
                base=self._base_files,
                adapters=self._members,
                prompt="",
                deadline=time.time() + DEADLINE,
                **fields,
            )
            waiting.append(self._pool.submit(request, self._resolve))
            if len(waiting) > self._pool.settings.max_rows + 8:
                found.append(_answer(waiting.popleft()))
        found += [_answer(handle) for handle in waiting]
        return found


def _answer(handle: GenerationHandle) -> tuple[str, GenerateEvent]:
    events = list(handle)
    last = events[-1]
    if last.kind == "error":
        raise BadInput(f"A request of the task cannot be answered: {last.error}", code=last.error_code)
    return "".join(event.text for event in events), last


def run_tasks(
    model: EngineLM, tasks: Sequence[str], *, include: Path | None = None, limit: int | None = None, shots: int = 0
) -> dict[str, dict[str, Any]]:
    """Results of the harness's tasks by name; ``include`` is a folder with tasks of one's own (YAML).

    Raises ``BadInput`` for a task that neither the harness nor the folder has.
    """
    manager = TaskManager(include_path=str(include) if include else None)
    unknown = [task for task in tasks if task not in manager.all_tasks]
    if unknown:
        raise BadInput(f"There is no task {', '.join(unknown)} in lm-eval or the given folder.", code="suite_unknown")
    results = simple_evaluate(model=model, tasks=list(tasks), task_manager=manager, limit=limit, num_fewshot=shots)
    table: dict[str, dict[str, Any]] = results["results"]
    return table
