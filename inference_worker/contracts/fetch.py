"""Fetch: bring an adapter's files from a model hub or an address (kind ``fetch``).

The marketplace reads what a person typed into one of two closed sources; the worker asks the outside world. What may be
reached at all (``IMPORT_ALLOWED_HOSTS`` and kin) is the worker's own configuration and never part of a plan.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from inference_worker.contracts.common import Contract, OutputFile


class HubSource(Contract):
    """A repository on a model hub. ``folder`` is where the adapter lies in it; empty: found by itself."""

    kind: Literal["hub"] = "hub"
    endpoint: str = Field(max_length=300)
    repository: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=200)
    revision: str = Field(default="main", max_length=200)
    folder: str = Field(default="", max_length=300)


class AddressSource(Contract):
    """A zip, or a safetensors file that has ``adapter_config.json`` beside it."""

    kind: Literal["address"] = "address"
    url: str = Field(max_length=2000)


Source = Annotated[HubSource | AddressSource, Field(discriminator="kind")]


class FetchRequest(Contract):
    """``max_bytes`` bounds all files together, ``max_seconds`` everything from the first look-up on."""

    source: Source
    max_bytes: int = Field(gt=0)
    max_seconds: int = Field(default=3600, gt=0)


class FetchResult(Contract):
    """``files`` lie in the blob store under the names that the sender used. ``origin`` names the source for people,
    ``revision`` the hub's commit where there is one; ``resumed`` counts transfers that went on where they had broken
    off."""

    files: tuple[OutputFile, ...]
    origin: str
    revision: str = ""
    resumed: int = 0
    seconds: float = 0.0
