"""``merge_report.json``: what happened in every module, and LoRA-LEGO's clusters over all of them."""

from __future__ import annotations

import json
from collections.abc import Sequence

from inference_worker.contracts.clusters import summarise_clusters
from inference_worker.contracts.merge import MergedModule
from inference_worker.errors import BadInput

REPORT_NAME = "merge_report.json"


def report_json(method: str, adapters: Sequence[str], modules: Sequence[MergedModule]) -> bytes:
    """One line per module, so that a report of hundreds of modules stays readable and small. ``adapters`` are labels.

    ``clusters`` is there where the method clusters units: ``contracts.clusters.summarise_clusters`` of all modules.
    Raises ``BadInput`` naming the module of which a figure is NaN or infinite: JSON has no such numbers.
    """
    head: dict[str, object] = {"format": 1, "method": method, "adapters": list(adapters)}
    clustered = [module.detail for module in modules if "cluster" in module.detail]
    if clustered:
        head["clusters"] = summarise_clusters(clustered, len(adapters))
    lines = ",\n".join(_line(module) for module in modules)
    return (json.dumps(head, allow_nan=False)[:-1] + ', "modules": [\n' + lines + "\n]}\n").encode()


def _line(module: MergedModule) -> str:
    try:
        return json.dumps(module.model_dump(), separators=(",", ":"), allow_nan=False)
    except ValueError as fault:
        message = f"{module.name}: what was lost cannot be measured, the numbers are too large; use smaller weights"
        raise BadInput(message, code="dtype_overflow", extra={"module": module.name}) from fault
