"""What somebody may want to do with an adapter."""

from __future__ import annotations

from enum import StrEnum


class Action(StrEnum):
    """The questions that the rules answer."""

    #: Find it in the catalogue, in search, counts and recommendations.
    LIST = "list"
    #: Open its page: card, names of files, statistics, lineage. Whoever sees it may report it.
    VIEW = "view"
    #: Read the bytes of its files, and its public examples.
    DOWNLOAD = "download"
    #: Merge it, generate with it, export it.
    USE = "use"
    #: Ask its owner for access.
    ASK = "ask"
    #: Versions that were not accepted, and private examples.
    SEE_DRAFTS = "see_drafts"
    #: Card, examples, new versions, yanking.
    EDIT = "edit"
    #: Visibility, collaborators, requests for access, name, owner, deletion.
    ADMINISTER = "administer"
    #: Bring it back after its deletion.
    RESTORE = "restore"
    #: Learn that it was here and was deleted: whoever could see it before.
    SEE_TOMBSTONE = "see_tombstone"
