"""Measured results in templates."""

from __future__ import annotations

from typing import Any

from django import template

from marketplace.adapters.history import VersionDiff
from marketplace.adapters.models import Adapter
from marketplace.evaluations import figures
from marketplace.evaluations.examples import versions_beside
from marketplace.evaluations.models import EvaluationSuite
from marketplace.evaluations.verdicts import where
from marketplace.evaluations.views import measured

register = template.Library()
register.filter("suite_where", where)


@register.inclusion_tag("evaluations/section.html", takes_context=True)
def measured_section(context: dict[str, Any], adapter: Adapter) -> dict[str, Any]:
    """The section of an adapter's page: bars, verdicts, what waits."""
    request = context["request"]
    return {**measured(request, adapter), "request": request, "csrf_token": context.get("csrf_token")}


@register.inclusion_tag("evaluations/versions.html", takes_context=True)
def answers_of_versions(context: dict[str, Any], adapter: Adapter, diff: VersionDiff) -> dict[str, Any]:
    """What two versions answered, example by example."""
    user = context["request"].user
    found = versions_beside(user=user, adapter=adapter, before=diff.before, after=diff.after)
    return {"adapter": adapter, "found": found, "same_weights": diff.before.artifact_id == diff.after.artifact_id}


def _number(value: float | dict[str, Any] | None) -> float | None:
    return float(value["value"]) if isinstance(value, dict) else value


@register.filter
def share(value: float | dict[str, Any] | None) -> str:
    """A share of 1, or an estimate of one, as ``85 %`` that no line ends inside of."""
    number = _number(value)
    return "unknown" if number is None else tight(figures.percent(number))


@register.filter
def amid(title: str) -> str:
    """A title inside of a sentence: “token F1” keeps its capital."""
    return title[:1].lower() + title[1:]


@register.filter
def tight(text: str) -> str:
    """No line ends between a number and its per cent sign."""
    return text.replace(" %", "\N{NO-BREAK SPACE}%")


@register.filter
def suite_title(suite: EvaluationSuite) -> str:
    """The suite's name, or what it is of the adapter that the page speaks of."""
    title = where(suite)
    return title[:1].upper() + title[1:]


@register.filter
def interval(estimate: dict[str, Any] | None) -> str:
    """``60 to 95 %``."""
    return tight(figures.percents(estimate["low"], estimate["high"])) if estimate else ""


@register.filter
def points(value: float | dict[str, Any] | None) -> str:
    """A difference of shares in points, with its sign: ``+75``, ``−3.1``, ``0``."""
    number = _number(value)
    return "" if number is None else figures.points(number)


@register.filter
def points_interval(estimate: dict[str, Any] | None) -> str:
    """``+60 to +90``."""
    return f"{points(estimate['low'])} to {points(estimate['high'])}" if estimate else ""


@register.filter
def chance(value: float) -> str:
    """A probability in words that fit a sentence."""
    return "less than 0.001" if value < 0.001 else f"{value:.3f}" if value < 0.1 else f"{value:.2f}"
