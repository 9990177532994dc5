"""The Hub's keys of a card's front matter, read leniently: what is well-formed is used, the rest is a problem.

Keys and shapes: the Hugging Face Hub's model card specification (``model-index`` after paperswithcode/model-index).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from inference_worker.contracts.common import Problem
from marketplace.adapters import licences
from marketplace.adapters.cards.front_matter import CardFault, split
from marketplace.adapters.uploads.problems import warning

MAX_ITEMS = 100
MAX_RESULTS = 200
_LANGUAGE = re.compile(r"[a-z]{2,3}([-_][a-zA-Z0-9]{2,8})*|code|multilingual|other")
_NAME = re.compile(r"[\w][\w .+:/@-]{0,199}")
#: Task names of the Hub that an adapter of a language model may have.
PIPELINE_TAGS = frozenset(
    {
        *("text-generation", "text2text-generation", "text-classification", "token-classification", "conversational"),
        *("feature-extraction", "question-answering", "summarization", "translation", "fill-mask", "other"),
        *("sentence-similarity", "text-ranking", "zero-shot-classification", "table-question-answering"),
        "reinforcement-learning",
    }
)


@dataclass(frozen=True)
class EvaluationResult:
    """One metric that the card's author states; nobody here has measured it."""

    task: str
    dataset: str
    metric: str
    value: str
    source: str = ""


@dataclass(frozen=True)
class CardMetadata:
    """What the front matter says beyond ``CardFields``."""

    languages: tuple[str, ...] = ()
    datasets: tuple[str, ...] = ()
    pipeline_tag: str = ""
    library_name: str = ""
    base_models: tuple[str, ...] = ()
    license_name: str = ""
    license_link: str = ""
    results: tuple[EvaluationResult, ...] = ()


def read_metadata(front: Mapping[str, Any]) -> tuple[CardMetadata, list[Problem]]:
    """The Hub's keys of ``front`` and what is wrong with them; a fault of one key leaves the others alone."""
    problems: list[Problem] = []
    metadata = CardMetadata(
        languages=_names(front, "language", problems, pattern=_LANGUAGE, hint="ISO 639 codes such as en, de, zh"),
        datasets=_names(front, "datasets", problems, pattern=_NAME, hint="names such as squad or owner/name"),
        pipeline_tag=_pipeline_tag(front, problems),
        library_name=_text(front.get("library_name"), 60),
        base_models=_names(
            front, "base_model", problems, pattern=None, hint="a name such as mistralai/Mistral-7B-v0.1"
        ),
        license_name=_text(front.get("license_name"), 120),
        license_link=_link(front.get("license_link")),
        results=_results(front.get("model-index"), problems),
    )
    _check_license(front.get("license"), problems)
    _check_library(metadata, problems)
    return metadata, problems


def metadata_of(text: str) -> CardMetadata:
    """The metadata of a whole card; empty where its front matter cannot be read."""
    try:
        front, _ = split(text)
    except CardFault:
        return CardMetadata()
    return read_metadata(front)[0]


def _text(value: Any, limit: int = 200) -> str:
    return " ".join(value.split())[:limit] if isinstance(value, str) else ""


def _link(value: Any) -> str:
    text = _text(value, 500)
    return text if text.startswith(("https://", "http://")) else ""


def _names(
    front: Mapping[str, Any], key: str, problems: list[Problem], *, pattern: re.Pattern[str] | None, hint: str
) -> tuple[str, ...]:
    """One name or a list of them. YAML reads ``no``, the code of Norwegian, as false: it is meant as written."""
    value = front.get(key)
    if value is None or value == "":
        return ()
    values = value if isinstance(value, list) else [value]
    if key == "language":
        values = ["no" if item is False else item for item in values]
    good = [item for item in values if isinstance(item, str) and (pattern is None or pattern.fullmatch(item))]
    if len(good) < len(values) or len(good) > MAX_ITEMS:
        bad = next((item for item in values if item not in good), values[-1])
        problems.append(
            warning(
                "card_metadata",
                f"{key} in the card",
                f"“{str(bad)[:60]}” is left out; {key} is a list of at most {MAX_ITEMS} {hint}.",
                "Correct the line in the card's front matter.",
            )
        )
    return tuple(dict.fromkeys(item.strip()[:300] for item in good[:MAX_ITEMS]))


def _pipeline_tag(front: Mapping[str, Any], problems: list[Problem]) -> str:
    tag = _text(front.get("pipeline_tag"), 60)
    if tag and tag not in PIPELINE_TAGS:
        message = f"“{tag}” is no task that an adapter of a language model has."
        remedy = "Write text-generation, text-classification, … or leave pipeline_tag out."
        problems.append(warning("card_metadata", "pipeline_tag in the card", message, remedy))
    return tag


def _check_license(value: Any, problems: list[Problem]) -> None:
    if value is None or value == "":
        return
    known = isinstance(value, str) and licences.normalise(value) in dict(licences.choices())
    if not known:
        message = f"The licence “{str(value)[:60]}” is not one that Brickyard knows, so it counts as unclear."
        remedy = "Write an SPDX identifier such as apache-2.0, or license: other with license_name and license_link."
        problems.append(warning("card_licence_unknown", "license in the card", message, remedy))


def _check_library(metadata: CardMetadata, problems: list[Problem]) -> None:
    if metadata.library_name.lower() in ("", "peft", "transformers", "unsloth", "trl", "axolotl", "mlx", "adapters"):
        return
    message = f"The card says that the adapter is for {metadata.library_name}; adapters here are PEFT's."
    problems.append(warning("card_metadata", "library_name in the card", message, "Write library_name: peft."))


def _results(index: Any, problems: list[Problem]) -> tuple[EvaluationResult, ...]:
    """The metrics of ``model-index``, in order."""
    if index is None:
        return ()
    try:
        found = list(_metrics(index))
    except (TypeError, ValueError, KeyError, AttributeError):
        message = "model-index cannot be read, so no results are shown."
        remedy = "It is a list of models, each with results of task, dataset and metrics (type and value)."
        problems.append(warning("card_metadata", "model-index in the card", message, remedy))
        return ()
    return tuple(found[:MAX_RESULTS])


def _metrics(index: Any) -> Iterable[EvaluationResult]:
    """Raises whatever wrong types raise; the caller turns that into one problem."""
    if not isinstance(index, list):
        raise TypeError("model-index is a list")
    for model in index:
        for result in model.get("results") or []:
            task, dataset = result.get("task") or {}, result.get("dataset") or {}
            for metric in result.get("metrics") or []:
                yield EvaluationResult(
                    task=_text(task.get("name") or task.get("type"), 80),
                    dataset=_text(dataset.get("name") or dataset.get("type"), 120),
                    metric=_text(metric.get("name") or metric["type"], 80),
                    value=_value(metric["value"]),
                    source=_link((result.get("source") or {}).get("url")),
                )


def _value(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}" if math.isfinite(value) else "not a number"
    if isinstance(value, (int, str)):
        return str(value)[:60]
    raise TypeError("a metric's value is a number")
