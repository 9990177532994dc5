"""The verdict on adapters in folders: what the command line says before anything is merged."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path

from inference_worker.adapter_format.layout import natural_order
from inference_worker.adapter_format.reader import AdapterReader
from inference_worker.composability.pairs import compare_adapters
from inference_worker.contracts.composability import (
    AdapterLine,
    FolderVerdict,
    MethodVerdict,
    PairMeasures,
    PairVerdict,
)
from inference_worker.contracts.interference import stored_predictors
from inference_worker.contracts.interference_range import PairPrediction
from inference_worker.contracts.merge_methods import METHODS, MergeMethodInfo
from inference_worker.errors import Refused
from inference_worker.merging.carried import carried_tensors
from inference_worker.merging.compatibility import Member, check_members, choose_members, member_facts

_CARD = "README.md"
#: Trainers save it beside the adapter.
_TOKENIZER = "tokenizer.json"
#: The front matter stands at the start of a card; of a long card no more is read.
_CARD_BYTES = 64 << 10


def judge_adapters(readers: Sequence[AdapterReader], signatures: Sequence[Sequence[float]] = ()) -> FolderVerdict:
    """Everything that headers, configs, cards and factors tell of two adapters or more.

    ``signatures`` are those of the inspection, where they were computed. Raises ``BadInput`` for values that are not
    finite.
    """
    predictors = stored_predictors()
    positions = list(combinations(range(len(readers)), 2))
    measured = compare_adapters(readers, positions)
    predicted = [
        _predict((readers[one], readers[two]), measures)
        for (one, two), measures in zip(positions, measured, strict=True)
    ]
    names = [set(reader.modules) for reader in readers]
    bases = {reader.config.base_model_name for reader in readers}
    return FolderVerdict(
        adapters=tuple(_line(reader) for reader in readers),
        same_base=len(bases) == 1 and None not in bases and "" not in bases,
        same_tokenizer=_same_tokenizer([reader.config_path.parent / _TOKENIZER for reader in readers]),
        clashing=_clashing(readers),
        shared_modules=len(set.intersection(*names)),
        all_modules=len(set.union(*names)),
        pairs=tuple(
            PairVerdict(
                first=readers[one].label,
                second=readers[two].label,
                measures=measures,
                signature=_cosine(signatures[one], signatures[two]) if signatures else None,
                kept=prediction.kept,
                not_predicted=prediction.not_predicted,
            )
            for (one, two), measures, prediction in zip(positions, measured, predicted, strict=True)
        ),
        methods=_methods(readers, predicted[0].kept if len(predicted) == 1 else {}),
        predictions=tuple(
            f"{METHODS[item.method].title}. {item.describe(predictors.measured_on)}" for item in predictors.predictors
        ),
    )


def _line(reader: AdapterReader) -> AdapterLine:
    return AdapterLine(
        name=reader.label,
        base=reader.config.base_model_name or "",
        ranks=tuple(sorted({info.rank for info in reader.modules.values()})),
        modules=len(reader.modules),
        task=reader.config.task_type or "",
        licence=_licence(reader.config_path.parent),
        features=reader.features,
    )


def _same_tokenizer(paths: Sequence[Path]) -> bool | None:
    if not all(path.is_file() for path in paths):
        return None
    digests = set()
    for path in paths:
        with path.open("rb") as file:
            digests.add(hashlib.file_digest(file, "sha256").digest())
    return len(digests) == 1


def _clashing(readers: Sequence[AdapterReader]) -> tuple[str, ...]:
    """Modules that any two adapters have with different shapes, in order."""
    shapes: dict[str, set[tuple[int, int]]] = {}
    for reader in readers:
        for name, info in reader.modules.items():
            shapes.setdefault(name, set()).add((info.d_out, info.d_in))
    return tuple(sorted((name for name, found in shapes.items() if len(found) > 1), key=natural_order))


def _licence(folder: Path) -> str:
    """The licence that the card's front matter names; empty without one."""
    path = folder / _CARD
    if not path.is_file():
        return ""
    with path.open(encoding="utf-8", errors="replace") as file:
        text = file.read(_CARD_BYTES)
    front = re.match(r"---\n(.*?)\n---", text, re.DOTALL)
    found = re.search(r"^license:[ \t]*([\w.+-]+)", front[1], re.MULTILINE) if front else None
    return found[1] if found else ""


def _cosine(one: Sequence[float], two: Sequence[float]) -> float:
    """Of two signatures, which are of unit length or zero."""
    return round(sum(a * b for a, b in zip(one, two, strict=True)), 4)


def _predict(pair: Sequence[AdapterReader], measures: PairMeasures) -> PairPrediction:
    """What a merge of just these two is predicted to keep, by the methods that take them."""
    predictors = stored_predictors()
    members = choose_members(pair, [1.0] * len(pair))
    refused = {item.method for item in predictors.predictors if _refusal(METHODS[item.method], members)}
    features = {feature for member in members for feature in member_facts(member).features}
    return predictors.judge(measures, features, refused)


def _methods(readers: Sequence[AdapterReader], kept: Mapping[str, tuple[float, float]]) -> tuple[MethodVerdict, ...]:
    members = choose_members(readers, [1.0] * len(readers))
    return tuple(_method(info, members, kept.get(info.name)) for info in METHODS.values())


def _refusal(info: MergeMethodInfo, members: Sequence[Member]) -> str:
    """Why the method does not take them; empty where it does."""
    try:
        check_members(members, info)
        carried_tensors(members)
    except Refused as refusal:
        return refusal.message
    return ""


def _method(info: MergeMethodInfo, members: Sequence[Member], kept: tuple[float, float] | None) -> MethodVerdict:
    if refusal := _refusal(info, members):
        return MethodVerdict(name=info.name, title=info.title, state="refused", reasons=(refusal,))
    reasons = tuple(info.caveats([member_facts(member) for member in members]))
    state = "caveat" if reasons else "legal"
    return MethodVerdict(name=info.name, title=info.title, state=state, reasons=reasons, kept=kept)
