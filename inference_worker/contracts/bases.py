"""Base shapes: read a base's config on the meta device, without weights (kind ``base_shapes``)."""

from __future__ import annotations

from typing import Any

from inference_worker.contracts.common import BaseFiles, Contract


class BaseShapesRequest(Contract):
    base: BaseFiles


class BaseShapesResult(Contract):
    """``shapes`` maps every linear-like module's dotted name to (d_out, d_in); ``fingerprint`` is the sha256 of the
    sorted shapes, ``tokenizer_hash`` of the tokenizer's canonical JSON."""

    config: dict[str, Any]
    shapes: dict[str, tuple[int, int]]
    fingerprint: str
    tokenizer_hash: str = ""
    chat_template: str = ""
    parameters: int = 0
