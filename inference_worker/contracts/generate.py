"""Ephemeral requests to a live worker: query embeddings and generations. They have a deadline and no job row."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from inference_worker.contracts.common import AdapterFiles, BaseFiles, Contract, PromptFormat


class EmbedQuery(Contract):
    """Reply: JSON ``{"vector": [...], "encoder": "..."}`` pushed onto the Redis list ``reply:{request}``."""

    request: str
    text: str = Field(max_length=4000)
    deadline: float  # Unix time, seconds


Strategy = Literal["mix", "ensemble"]


class WeightedAdapter(Contract):
    adapter: AdapterFiles
    weight: float = 1.0


class Sampling(Contract):
    """``temperature`` 0 is greedy. ``top_k`` 0 and ``top_p`` 1 switch those filters off."""

    max_tokens: int = Field(default=64, ge=1, le=4096)
    temperature: float = Field(default=0.0, ge=0.0, le=5.0)
    top_p: float = Field(default=1.0, gt=0.0, le=1.0)
    top_k: int = Field(default=0, ge=0)
    repetition_penalty: float = Field(default=1.0, gt=0.0, le=5.0)
    seed: int | None = None
    stop: tuple[str, ...] = Field(default=(), max_length=16)


class GenerateRequest(Contract):
    """One prompt to one composition of a base and any number of weighted adapters.

    Tokens go to the Redis stream ``gen:{request}`` as JSON ``GenerateEvent``s; setting ``gen:{request}:cancel``
    stops it within a step.
    """

    request: str
    base: BaseFiles
    adapters: tuple[WeightedAdapter, ...] = ()
    #: ``mix`` adds the adapters' weighted updates up; ``ensemble`` runs the base with each by itself and writes by the
    #: weighted mean of their log-probabilities, the weights being shares of the vote.
    strategy: Strategy = "mix"
    prompt: str = Field(max_length=200_000)
    prompt_format: PromptFormat = PromptFormat()
    sampling: Sampling = Sampling()
    #: Score this text behind the prompt instead of writing one: the ``done`` event then has its ``logprobs``.
    continuation: str | None = Field(default=None, min_length=1, max_length=200_000)
    #: Token ids in place of the prompt (with its format) and of the continuation, for callers that tokenise themselves.
    prompt_tokens: tuple[int, ...] | None = Field(default=None, min_length=1, max_length=200_000)
    continuation_tokens: tuple[int, ...] | None = Field(default=None, min_length=1, max_length=200_000)
    deadline: float  # Unix time, seconds


class GenerateEvent(Contract):
    """``text`` is the increment. The last event has a ``finish_reason`` and the counts; a fault has ``error``."""

    kind: Literal["started", "token", "done", "error"]
    text: str = ""
    finish_reason: Literal["", "stop", "length", "scored", "cancelled", "deadline"] = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    #: Natural logarithms of the probabilities of the continuation's tokens, each given everything before it.
    logprobs: tuple[float, ...] = ()
    #: Whether greedy decoding would have written exactly the continuation's tokens.
    greedy: bool = False
    error_code: str = ""
    error: str = ""
