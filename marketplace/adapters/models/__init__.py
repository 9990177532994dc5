"""Blobs, artefacts, versions, adapters: see "Data" in the architecture.

An **artefact** is weights + config and carries what was measured; a **version** is a commit of a tree of files and
points at an artefact; an **adapter** is the name people know. A change of the card alone makes a new version on the
same artefact, so nothing is checked twice.
"""

from marketplace.adapters.models.access import AccessRequest, Collaborator, FormerName, Transfer
from marketplace.adapters.models.adapter import ADAPTER_NAME, Adapter, Embedding, ExamplePrompt
from marketplace.adapters.models.files import Artifact, Blob
from marketplace.adapters.models.uploads import PartialUpload, Upload
from marketplace.adapters.models.versions import Lineage, Version, VersionFile

__all__ = [
    "ADAPTER_NAME",
    "AccessRequest",
    "Adapter",
    "Artifact",
    "Blob",
    "Collaborator",
    "Embedding",
    "ExamplePrompt",
    "FormerName",
    "Lineage",
    "PartialUpload",
    "Transfer",
    "Upload",
    "Version",
    "VersionFile",
]
