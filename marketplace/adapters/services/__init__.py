"""What may be done with uploads and adapters: every rule, one transaction each, with its audit entry."""

from marketplace.adapters.services.card_editing import edit_card
from marketplace.adapters.services.derived import create_adapter_from_files
from marketplace.adapters.services.editing import delete_adapter, edit_adapter, set_visibility
from marketplace.adapters.services.publishing import publish_upload
from marketplace.adapters.services.uploading import create_upload, discard_upload, recheck_upload
from marketplace.adapters.services.versions import create_version

__all__ = [
    "create_adapter_from_files",
    "create_upload",
    "create_version",
    "delete_adapter",
    "discard_upload",
    "edit_adapter",
    "edit_card",
    "publish_upload",
    "recheck_upload",
    "set_visibility",
]
