"""The prediction of interference: what it learns, what it must not know, and when it says nothing."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations

import numpy as np
import pytest
from scipy.stats import spearmanr

from inference_worker.composability.fitting import Observation, fit_predictor, held_out_predictions, spearman
from inference_worker.contracts.composability import MEASURES_VERSION, PairMeasures
from inference_worker.contracts.interference import features_of, stored_predictors

Kept = Callable[[float, np.random.Generator], float]


def measures(cosine: float = 0.0, leak: tuple[float, float] = (0.5, 0.25), **changes: object) -> PairMeasures:
    found = {"shared": 4, "only": (0, 2), "norms": (2.0, 1.0), "cosine": cosine, "leak": leak, **changes}
    return PairMeasures.model_validate(found)


def world(kept: Kept, adapters: int = 16) -> list[Observation]:
    """Pairs whose leak is drawn and decides what is kept; the cosine is noise."""
    rng = np.random.default_rng(3)
    found = []
    for first, second in combinations(range(adapters), 2):
        leak = tuple(float(value) for value in np.exp(rng.uniform(-3, 1, 2)))
        item = measures(cosine=float(rng.normal(0, 0.1)), leak=(leak[0], leak[1]))
        found.append(Observation(first, second, item, (kept(leak[0], rng), kept(leak[1], rng))))
    return found


def test_a_relation_that_is_there_is_found() -> None:
    predictor = fit_predictor("cat", world(lambda leak, rng: 0.5 - 0.15 * np.log(leak) + rng.normal(0, 0.05)))
    assert predictor.source == "model"
    assert predictor.model.value > 0.9
    assert predictor.model.low > 0.8
    assert abs(predictor.cosine.value) < 0.3
    assert (predictor.pairs, predictor.adapters) == (120, 16)
    quiet, loud = measures(leak=(0.05, 0.05)), measures(leak=(2.0, 2.0))
    assert predictor.interference(quiet) < predictor.interference(loud)  # type: ignore[operator]


def test_where_there_is_no_relation_nothing_is_predicted() -> None:
    predictor = fit_predictor("cat", world(lambda leak, rng: rng.uniform()))
    assert predictor.source == "none"
    assert predictor.kept(measures()) is None
    assert predictor.interference(measures()) is None


def test_the_trivial_baseline_is_shipped_where_it_is_better() -> None:
    found = world(lambda leak, rng: 0.0)
    known = [Observation(item.first, item.second, item.measures, (0.5 - item.measures.cosine,) * 2) for item in found]
    predictor = fit_predictor("lego", known)
    assert predictor.cosine.value > 0.99
    assert predictor.source in ("cosine", "model")
    assert predictor.correlation.value >= predictor.cosine.value - 1e-9


def test_a_prediction_knows_neither_adapter() -> None:
    """What a held-out pair kept must not reach its own prediction, nor what its adapters kept elsewhere."""
    before = world(lambda leak, rng: 0.5 - 0.1 * np.log(leak))
    columns = list(features_of(before[0].measures))
    first, second = before[0].first, before[0].second
    touched = [
        Observation(item.first, item.second, item.measures, (-50.0, 90.0))
        if {item.first, item.second} & {first, second}
        else item
        for item in before
    ]
    predictions = held_out_predictions(before, columns), held_out_predictions(touched, columns)
    assert np.isfinite(predictions[0][0])
    assert predictions[0][0] == predictions[1][0]
    assert not np.allclose(predictions[0], predictions[1], equal_nan=True)


def test_rank_correlation_with_ties() -> None:
    rng = np.random.default_rng(0)
    one, two = rng.integers(0, 5, 60).astype(float), rng.integers(0, 5, 60).astype(float)
    assert spearman(one, two) == pytest.approx(float(spearmanr(one, two).statistic))
    assert spearman(one, np.ones(60)) == 0.0


def test_features_turn_with_the_pair() -> None:
    pair = measures(row_overlap=0.4, row_chance=0.1)
    first, second = features_of(pair), features_of(pair.turned())
    assert first["relative_size"] == -second["relative_size"]
    assert (first["disturbed"], first["disturbs"]) == (second["disturbs"], second["disturbed"])
    assert (first["shared_modules"], second["shared_modules"]) == (1.0, pytest.approx(4 / 6))
    assert first["row_overlap"] == pytest.approx(0.3)


def test_an_adapter_without_effect_has_no_prediction() -> None:
    predictor = fit_predictor("cat", world(lambda leak, rng: 0.5 - 0.15 * np.log(leak)))
    assert predictor.kept(measures(norms=(1.0, 0.0))) is None


def test_ranges_are_those_of_the_fit() -> None:
    found = world(lambda leak, rng: 0.5 - 0.15 * np.log(leak))
    predictor = fit_predictor("cat", found)
    sides = [features_of(side) for item in found for side in (item.measures, item.measures.turned())]
    for feature in predictor.features:
        values = [side[feature.name] for side in sides]
        assert (feature.low, feature.high) == pytest.approx((min(values), max(values)), rel=1e-4, abs=1e-9)


@pytest.mark.parametrize(
    ("changes", "place", "words"),
    [
        ({"norms": (22.0, 2.0)}, "relative_size", "sizes differ 11-fold, outside what was fitted (at most "),
        ({"norms": (1e-6, 2.0)}, "relative_size", "sizes differ more than 55-fold"),
        ({"cosine": 0.9}, "cosine", "the cosine is 0.90, outside what was fitted (-0.03 to 0.25)"),
        ({"sign_agreement": 0.8}, "sign_agreement", "signs agree at 80 %, outside what was fitted (49 % to 58 %)"),
    ],
)
def test_outside_of_what_was_fitted_nothing_is_predicted(changes: dict[str, object], place: str, words: str) -> None:
    plain = {"row_overlap": 0.4, "column_overlap": 0.1, "unit_overlap": 0.2, "sign_agreement": 0.5}
    (predictor,) = (item for item in (stored_predictors().of("cat"),) if item is not None)
    inside, pair = measures(**plain), measures(**{**plain, **changes})
    assert (predictor.outside(inside), predictor.kept(inside) is None) == (None, False)
    for side in (pair, pair.turned()):
        assert predictor.kept(side) is None
        reason = stored_predictors().judge(side).not_predicted["cat"]
        assert (reason.code, reason.place) == ("outside_fit", place)
        assert words in reason.message


def test_a_sum_that_is_no_share_is_not_brought_back() -> None:
    predictor = fit_predictor("cat", world(lambda leak, rng: 0.5 - 0.15 * np.log(leak)))
    high = predictor.model_copy(update={"intercept": predictor.intercept + 1.0})
    assert predictor.kept(measures(leak=(1.0, 1.0))) is not None
    assert high.kept(measures(leak=(1.0, 1.0))) is None
    reason = high.outside(measures(leak=(1.0, 1.0)))
    assert reason is not None
    assert "which is no share" in reason.message


def test_refused_and_unlike_pairs_are_not_predicted() -> None:
    pair = measures(row_overlap=0.4, column_overlap=0.1, unit_overlap=0.2, sign_agreement=0.5)
    judge = stored_predictors().judge
    assert set(judge(pair).kept) == {"cat", "lego"}
    found = judge(pair, refused=["lego"])
    assert (set(found.kept), found.not_predicted["lego"].code) == ({"cat"}, "method_refused")
    for feature in ("dora", "modules_to_save"):
        found = judge(pair, features=["rslora", feature])
        assert (found.kept, {item.code for item in found.not_predicted.values()}) == ({}, {"not_fitted"})
    still, clashing = pair.model_copy(update={"norms": (0.0, 1.0)}), pair.model_copy(update={"clashing": 1})
    assert judge(still).not_predicted["cat"].code == "no_effect"
    assert judge(clashing).not_predicted["cat"].code == "other_shapes"


def test_what_is_shipped_can_be_used() -> None:
    """Every shipped prediction was fitted on the measures of this version, and gives shares."""
    stored = stored_predictors()
    assert stored.measures == MEASURES_VERSION
    for predictor in stored.predictors:
        assert {feature.name for feature in predictor.features} <= set(features_of(measures()))
        assert (predictor.source == "none") == (predictor.correlation.low <= 0.0)
        value = predictor.kept(measures(row_overlap=0.4, column_overlap=0.1, unit_overlap=0.2, sign_agreement=0.5))
        assert (value is None) == (predictor.source == "none")
        assert value is None or 0.0 <= value <= 1.0
    assert stored.of("no-such-method") is None
