"""What a run says in words: verdicts with stable codes, each with the numbers that it rests on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from marketplace.evaluations.figures import gain, percent, points
from marketplace.evaluations.models import EvaluationRun, EvaluationSuite, Standing
from marketplace.evaluations.signs import LEVEL, sign_test

#: A difference whose interval lies within so much of zero is none.
EPSILON = 0.05
#: Of fewer examples nothing is said.
MIN_EXAMPLES = 8
#: To say of different answers that they come to the same takes more of them.
MIN_FOR_NONE = 16

FORGETS_TITLE = "Forgets the probes"
PROBES = "Probes ask what the bare base could do."

METRICS = {"exact_match": "Exact match", "token_f1": "Token F1"}

Named = tuple[EvaluationRun, str]
Severity = Literal["good", "info", "warning", "error"]
_Effect = Standing.Verdict
_Kind = EvaluationSuite.Kind


@dataclass(frozen=True)
class Verdict:
    """``code`` is stable, ``message`` is for people; ``run`` is what it rests on."""

    code: str
    severity: Severity
    title: str
    message: str
    run: EvaluationRun


def metric_of(run: EvaluationRun) -> str:
    """Exact match, unless nobody has one: then the answers are longer than that, and token F1 says more."""
    exact = _estimate(run, "exact_match")
    nobody = exact is not None and exact["value"] == 0.0 and run.difference.get("exact_match", {}).get("value") == 0.0
    return "token_f1" if nobody and "token_f1" in run.difference else "exact_match"


def _estimate(run: EvaluationRun, metric: str) -> dict[str, Any] | None:
    found: dict[str, Any] | None = run.estimates.get("overall", {}).get(metric)
    return found


def effect(difference: dict[str, Any] | None) -> str:
    """What a paired difference with its interval amounts to; empty where there is none."""
    if not difference:
        return ""
    count = difference["n"]
    if count < MIN_EXAMPLES:
        return _Effect.UNCLEAR
    if difference.get("same_answers") == count:
        return _Effect.NO_EFFECT
    if _as_good(difference):
        return _Effect.NO_EFFECT if count >= MIN_FOR_NONE else _Effect.UNCLEAR
    # The bootstrap's interval is too narrow for few examples, a score interval approximate; the sign test is exact.
    if _by_chance(difference) or difference["low"] <= 0.0 <= difference["high"]:
        return _Effect.UNCLEAR
    return _Effect.BETTER if difference["low"] > 0.0 else _Effect.WORSE


def _as_good(difference: dict[str, Any]) -> bool:
    """Whether no example scored otherwise, or the interval leaves no room for more than ``EPSILON``."""
    if difference.get("wins") == difference.get("losses") == 0:
        return True
    return bool(difference["low"] >= -EPSILON and difference["high"] <= EPSILON)


def _by_chance(difference: dict[str, Any]) -> bool:
    """Whether wins and losses are no more uneven than chance makes them. Rows from before they were counted have none:
    of exact match there are at least as many as the difference tells."""
    net = round(difference["value"] * difference["n"])
    wins, losses = difference.get("wins", max(net, 0)), difference.get("losses", max(-net, 0))
    return sign_test(wins, losses) >= LEVEL


def effect_of(run: EvaluationRun | None) -> str:
    """Of the run against its bare base, in the metric that says most."""
    return "" if run is None else effect(run.difference.get(metric_of(run)))


def verdicts_of(runs: Iterable[EvaluationRun], parents: Iterable[Named] = ()) -> list[Verdict]:
    """Of the measured runs of one adapter; ``parents`` are the runs of what it was merged from, each with the name that
    the reader may know it by."""
    found: list[Verdict] = []
    for run in runs:
        if run.state != EvaluationRun.State.MEASURED or not run.difference:
            continue
        if run.suite.probe:
            found += _of_probes(run)
        else:
            found.append(_of_examples(run))
        if run.suite.kind == _Kind.PARENTS:
            found += _against_parents(run, parents)
    return found


_TITLES: dict[str, tuple[Severity, str]] = {
    _Effect.BETTER: ("good", "Better than its base on {where}"),
    _Effect.NO_EFFECT: ("warning", "No effect on {where}"),
    _Effect.WORSE: ("error", "Worse than its base on {where}"),
    _Effect.UNCLEAR: ("info", "Unclear on {where}"),
}
_WHERE = {_Kind.EXAMPLES: "its own examples", _Kind.PARENTS: "its parents’ examples"}


def where(suite: EvaluationSuite) -> str:
    return _WHERE.get(EvaluationSuite.Kind(suite.kind), suite.name)


def _of_examples(run: EvaluationRun) -> Verdict:
    code = effect_of(run)
    severity, title = _TITLES[code]
    message = _sentence(run, run.difference, "its base")
    if code == _Effect.UNCLEAR:
        message += _why_unclear(run.difference[metric_of(run)])
    return Verdict(str(code), severity, title.format(where=where(run.suite)), message, run)


def _why_unclear(difference: dict[str, Any]) -> str:
    if difference["n"] < MIN_EXAMPLES:
        return f" At least {MIN_EXAMPLES} examples are needed."
    if difference["low"] <= 0.0 <= difference["high"]:
        none = f" To say that it has none takes {MIN_FOR_NONE} examples."
        return none if _as_good(difference) else " The interval leaves it open."
    return " Chance alone makes such wins and losses too often (sign test)."


def _of_probes(run: EvaluationRun) -> list[Verdict]:
    if effect_of(run) != _Effect.WORSE:
        return []
    message = f"{_sentence(run, run.difference, 'its base')} {PROBES}"
    return [Verdict("forgets", "warning", FORGETS_TITLE, message, run)]


def _against_parents(run: EvaluationRun, parents: Iterable[Named]) -> list[Verdict]:
    """Whether a merge is worth more than the best of what it was made from, on all their examples together."""
    metric = metric_of(run)
    beside = [
        named
        for named in parents
        if str(named[0].pk) in run.differences and _estimate(named[0], metric) and not named[0].is_ensemble
    ]
    if not beside:
        return []
    best, label = max(beside, key=lambda named: (_value(named[0], metric), str(named[0].pk)))
    difference = run.differences[str(best.pk)].get(metric)
    found = effect(difference)
    if found in (_Effect.BETTER, "") or difference["n"] < MIN_EXAMPLES:
        return []
    worse = found == _Effect.WORSE
    title = "Worse than its best parent" if worse else "No better than its best parent"
    message = _sentence(run, run.differences[str(best.pk)], label)
    return [Verdict("worse_than_parent" if worse else "no_better_than_parent", "warning", title, message, run)]


def _value(run: EvaluationRun, metric: str) -> float:
    return float((_estimate(run, metric) or {"value": 0.0})["value"])


def _sentence(run: EvaluationRun, differences: dict[str, Any], other: str) -> str:
    """“Exact match 85 %, its base 10 %: 75 points more (95 % interval 60 to 90, 20 examples).”"""
    metric = metric_of(run)
    difference, own = differences[metric], _value(run, metric)
    low, high = sorted((difference["low"], difference["high"]))
    more, less = difference["value"] > 0, difference["value"] < 0
    words = "points more" if more else "points less" if less else "points apart"
    if less:
        low, high = -high, -low
    base = own - difference["value"]
    between = f"{points(low, plus='')} to {points(high, plus='')}"
    return (
        f"{METRICS[metric]} {percent(own)}, {other} {percent(base)}: "
        f"{points(abs(gain(base, own)), plus='')} {words} (95 % interval {between}, {difference['n']} examples)."
    )
