"""What may be done with uploads and adapters: every rule, one transaction each, with its audit entry."""

from marketplace.adapters.services.access import answer_request, request_access, withdraw_request
from marketplace.adapters.services.card_editing import edit_card
from marketplace.adapters.services.collaborators import add_collaborator, change_collaborator, remove_collaborator
from marketplace.adapters.services.deleting import delete_adapter, purge_adapter, restore_adapter
from marketplace.adapters.services.derived import create_adapter_from_files
from marketplace.adapters.services.editing import edit_adapter
from marketplace.adapters.services.partial_uploads import (
    begin_partial_upload,
    create_upload_from_parts,
    discard_partial_uploads,
    receive_piece,
)
from marketplace.adapters.services.publishing import publish_upload
from marketplace.adapters.services.renaming import rename_adapter
from marketplace.adapters.services.retiring import (
    deprecate_version,
    undeprecate_version,
    unyank_version,
    yank_version,
)
from marketplace.adapters.services.transfers import (
    accept_transfer,
    decline_transfer,
    offer_transfer,
    withdraw_transfer,
)
from marketplace.adapters.services.uploading import create_upload, discard_upload, recheck_upload
from marketplace.adapters.services.versions import create_version
from marketplace.adapters.services.visibility import set_visibility

__all__ = [
    "accept_transfer",
    "add_collaborator",
    "answer_request",
    "begin_partial_upload",
    "change_collaborator",
    "create_adapter_from_files",
    "create_upload",
    "create_upload_from_parts",
    "create_version",
    "decline_transfer",
    "delete_adapter",
    "deprecate_version",
    "discard_partial_uploads",
    "discard_upload",
    "edit_adapter",
    "edit_card",
    "offer_transfer",
    "publish_upload",
    "purge_adapter",
    "receive_piece",
    "recheck_upload",
    "remove_collaborator",
    "rename_adapter",
    "request_access",
    "restore_adapter",
    "set_visibility",
    "undeprecate_version",
    "unyank_version",
    "withdraw_request",
    "withdraw_transfer",
    "yank_version",
]
