"""Evaluate: a composition of a base and weighted adapters on a suite of examples."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from inference_worker.contracts.common import BaseFiles, Contract, OutputFile, PromptFormat, Sha256
from inference_worker.contracts.generate import Strategy, WeightedAdapter

Metric = Literal["exact_match", "token_f1", "perplexity"]
METRICS: tuple[Metric, ...] = ("exact_match", "token_f1", "perplexity")
#: Counts up when one and the same request would have other outcomes: other decoding, prompts, scoring or built-in
#: suites. Whoever keeps outcomes keeps this with them.
ENGINE_VERSION = 1


class EvaluationSettings(Contract):
    """How a suite is run. Decoding is greedy, so a result is one number and not a draw."""

    metrics: tuple[Metric, ...] = Field(default=("exact_match", "token_f1"), min_length=1)
    #: At most so many examples, the same ones for every composition; None for all.
    limit: int | None = Field(default=None, ge=1)
    #: Chooses the examples under ``limit`` and the resamples of the bootstrap.
    seed: int = 0
    #: Where an answer is cut off; None for what the suite's longest expected answer takes.
    max_tokens: int | None = Field(default=None, ge=1, le=4096)
    resamples: int = Field(default=2000, ge=100, le=100_000)


class Estimate(Contract):
    """A mean over ``n`` examples with its 95 % interval (``evaluation.statistics``); for perplexity, of the whole."""

    value: float
    low: float
    high: float
    n: int


class Difference(Estimate):
    """A mean of paired differences, with the examples that one of the two scored higher on, and those that both gave
    the very same answer to."""

    wins: int = Field(ge=0)
    losses: int = Field(ge=0)
    same_answers: int = Field(ge=0)


class Outcome(Contract):
    """One example: what was written, and how it scored. ``logprob`` is the expected answer's, over ``tokens`` of it."""

    index: int
    task: str
    prompt: str
    expected: tuple[str, ...]
    answer: str
    exact_match: float | None = None
    token_f1: float | None = None
    logprob: float | None = None
    answer_tokens: int = 0


class Evaluation(Contract):
    """``overall``, ``tasks`` and ``clusters`` map metrics to estimates; ``cached`` outcomes were not computed again."""

    suite: str
    suite_digest: str
    base: str
    composition: tuple[tuple[str, float], ...]
    strategy: Strategy = "mix"
    settings: EvaluationSettings
    overall: dict[str, Estimate]
    tasks: dict[str, dict[str, Estimate]]
    clusters: dict[str, dict[str, Estimate]]
    outcomes: tuple[Outcome, ...]
    #: Tokens that were read and written for the outcomes that are not cached, and the seconds that it took.
    prompt_tokens: int
    completion_tokens: int
    seconds: float
    cached: int


class SuiteFiles(Contract):
    """A suite of a plan: JSON lines in the blob store, or one of the testbed's by name (``testbed:named:unseen``)."""

    name: str
    examples: Sha256 | None = None
    builtin: str = ""
    #: Examples per task of a built-in suite.
    count: int = Field(default=16, ge=1, le=1000)
    #: How prompts are put; None for as they are, and for the way that a built-in suite is asked on its own.
    prompt_format: PromptFormat | None = None
    lead: str = " "

    @model_validator(mode="after")
    def _one_source(self) -> SuiteFiles:
        if (self.examples is None) == (not self.builtin):
            raise ValueError("a suite is a file of examples or a built-in one, and not both")
        return self


class KnownEvaluation(Contract):
    """One that was made before, of a request's suite and composition (by their places): it stands at ``position`` in
    the blob ``outcomes``, and is not made again unless the suite's examples have changed."""

    suite: int = Field(ge=0)
    composition: int = Field(ge=0)
    outcomes: Sha256
    position: int = Field(ge=0)


class Comparison(Contract):
    """Mean of ``after`` minus ``before`` over a suite's examples, by metric, paired by example; compositions and suite
    by their places in the request."""

    suite: int
    before: int
    after: int
    differences: dict[str, Difference]


class EvaluateRequest(Contract):
    """Job ``evaluate``: each of ``compositions`` (an empty one is the bare base) on each of ``suites``.

    ``compare`` names pairs of compositions, (before, after), to be compared example by example on every suite.
    ``ensembles`` names those whose members vote on every token instead of being added up. ``anew`` takes nothing that
    other jobs have found.
    """

    base: BaseFiles
    compositions: tuple[tuple[WeightedAdapter, ...], ...] = Field(min_length=1, max_length=16)
    suites: tuple[SuiteFiles, ...] = Field(min_length=1, max_length=16)
    settings: EvaluationSettings = EvaluationSettings()
    known: tuple[KnownEvaluation, ...] = ()
    compare: tuple[tuple[int, int], ...] = Field(default=(), max_length=64)
    ensembles: tuple[int, ...] = Field(default=(), max_length=16)
    anew: bool = False

    @model_validator(mode="after")
    def _places_exist(self) -> EvaluateRequest:
        places = [place for pair in self.compare for place in pair] + [known.composition for known in self.known]
        places += self.ensembles
        if any(not 0 <= place < len(self.compositions) for place in places):
            raise ValueError("a composition is named that is not in the request")
        if any(known.suite >= len(self.suites) for known in self.known):
            raise ValueError("a suite is named that is not in the request")
        return self


class EvaluateResult(Contract):
    """Every evaluation without its outcomes, compositions within suites, in the order of the request.

    ``outcomes`` is the blob with all of them: a JSON list of ``Evaluation``s, for comparisons example by example.
    """

    evaluations: tuple[Evaluation, ...]
    outcomes: OutputFile
    seconds: float
    comparisons: tuple[Comparison, ...] = ()
