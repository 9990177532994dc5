"""What two adapters have in common, measured from their factors alone (kind ``compose_check``)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from inference_worker.contracts.common import AdapterFiles, Contract, Problem

#: Raised when a measure changes its meaning: what was stored under another number is measured again.
MEASURES_VERSION = 1
#: Most adapters whose pairs one job measures.
MAX_COMPARED = 65


class LayerPair(Contract):
    """One layer of both adapters. Measures are None where no module of the layer is changed by both."""

    layer: str
    #: Frobenius norm of each adapter's Δ in this layer.
    norms: tuple[float, float]
    cosine: float | None = None
    sign_agreement: float | None = None
    row_overlap: float | None = None
    column_overlap: float | None = None
    unit_overlap: float | None = None


class PairMeasures(Contract):
    """Two adapters, Δ₁ and Δ₂, module by module; symmetric but for the order of pairs of numbers.

    Means over modules are weighted by ‖Δ₁‖·‖Δ₂‖ of the module, and None where no module is changed by both. With
    Δ = U·diag(σ)·Vᵀ, the singular units (u, v) are the same for every way to write the factors.
    """

    version: int = MEASURES_VERSION
    shared: int
    only: tuple[int, int]
    #: Modules of both with different shapes; they are not measured.
    clashing: int = 0
    norms: tuple[float, float]
    #: ⟨Δ₁, Δ₂⟩ / (‖Δ₁‖·‖Δ₂‖) over all modules.
    cosine: float
    #: Share of sampled positions at which Δ₁ and Δ₂ have one sign; 0.5 is chance.
    sign_agreement: float | None = None
    #: Mean squared cosine of the principal angles between what both read (V) and write (U), and what chance gives.
    row_overlap: float | None = None
    row_chance: float | None = None
    column_overlap: float | None = None
    column_chance: float | None = None
    #: The smallest principal angle in degrees.
    row_angle: float | None = None
    column_angle: float | None = None
    #: How much one adapter answers to the inputs that the other reads: ‖Δ₂V₁‖/‖Δ₁‖ and ‖Δ₁V₂‖/‖Δ₂‖.
    leak: tuple[float, float] = (0.0, 0.0)
    #: Best match of each unit among the other's, weighted by σ²: |u·u′ + v·v′|/2, as LoRA-LEGO sees units.
    unit_overlap: float | None = None
    layers: tuple[LayerPair, ...] = ()

    def turned(self) -> PairMeasures:
        """The same with first and second exchanged."""
        layers = tuple(layer.model_copy(update={"norms": layer.norms[::-1]}) for layer in self.layers)
        swapped = {"only": self.only[::-1], "norms": self.norms[::-1], "leak": self.leak[::-1], "layers": layers}
        return self.model_copy(update=swapped)


class ComposeCheckRequest(Contract):
    """``pairs`` are positions in ``adapters``, smaller one first."""

    adapters: tuple[AdapterFiles, ...] = Field(min_length=2, max_length=MAX_COMPARED)
    pairs: tuple[tuple[int, int], ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _pairs_exist(self) -> ComposeCheckRequest:
        if any(not 0 <= first < second < len(self.adapters) for first, second in self.pairs):
            raise ValueError("a pair names adapters that are not there, or not the smaller position first")
        return self


class ComposeCheckResult(Contract):
    """``pairs`` in the request's order."""

    pairs: tuple[PairMeasures, ...]
    seconds: float


class MethodVerdict(Contract):
    """Whether a method takes the adapters: ``legal``, with a ``caveat``, or ``refused``, and why."""

    name: str
    title: str
    state: Literal["legal", "caveat", "refused"]
    reasons: tuple[str, ...] = ()
    #: Predicted share of its gain that each of two adapters keeps at weight 1.
    kept: tuple[float, float] | None = None


class PairVerdict(Contract):
    """Two adapters by name. ``signature`` is the cosine of their signatures, ``kept`` maps methods to predictions,
    ``not_predicted`` to why there is none."""

    first: str
    second: str
    measures: PairMeasures
    signature: float | None = None
    kept: dict[str, tuple[float, float]] = {}
    not_predicted: dict[str, Problem] = {}


class AdapterLine(Contract):
    """What one adapter brings."""

    name: str
    base: str
    ranks: tuple[int, ...]
    modules: int
    task: str
    licence: str
    features: tuple[str, ...]


class FolderVerdict(Contract):
    """What is known of adapters in folders before they are merged."""

    adapters: tuple[AdapterLine, ...]
    same_base: bool
    #: Whether their tokenizer files are the same; None unless all bring one.
    same_tokenizer: bool | None
    #: Modules that two adapters have with different shapes.
    clashing: tuple[str, ...]
    shared_modules: int
    all_modules: int
    pairs: tuple[PairVerdict, ...]
    methods: tuple[MethodVerdict, ...]
    #: How good the predictions are, in sentences.
    predictions: tuple[str, ...] = ()
