"""Which of the adapters' examples a method may find its weights from, and which are kept to judge the merge by."""

from __future__ import annotations

import hashlib

from inference_worker.contracts.merge_methods import METHODS
from marketplace.adapters.models import Version

#: Examples by which a merge can be judged at all.
FEW = 4


def is_for_fitting(prompt: str) -> bool:
    """True for half of all prompts, by their digest: for the same ones wherever and whenever they stand. So neither a
    copy at another adapter nor a later change of the other examples brings one over to the other half."""
    return hashlib.sha256(prompt.strip().encode()).digest()[0] % 2 == 0


def was_fitted(version: Version | None) -> bool:
    """Whether its weights were found from its parents' examples."""
    info = METHODS.get(str((version.recipe or {}).get("method", ""))) if version is not None else None
    return info is not None and info.examples


def caution_of(version: Version | None) -> str:
    """What to know of results on the parents' examples, where it may have learned from those very ones: it was made
    before one half was kept to judge by, or by a recipe whose weights were found who knows where."""
    if version is None or version.fitted_on_half or not was_fitted(version):
        return ""
    title = METHODS[str((version.recipe or {})["method"])].title
    return (
        f"Its weights were found by {title} from examples that may have been these very ones, so its results on its "
        "parents’ examples may flatter it. Make the merge anew, or run it on another suite."
    )


def fitted_on_half(method: str) -> str:
    """How the results of such a merge on its parents' examples are to be read."""
    return (
        f"{METHODS[method].title} finds its weights on one half of the adapters' own examples; it is measured on the "
        "other half."
    )
