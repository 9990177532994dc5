"""Cards as blobs: written, rewritten and read back."""

from __future__ import annotations

from inference_worker.contracts.common import PromptFormat
from marketplace.adapters import cards
from marketplace.adapters.cards import CardFields
from marketplace.adapters.models import Adapter, Blob, Upload, Version
from marketplace.adapters.services.artifacts import keep_blobs
from marketplace.adapters.services.stated import Fields, said_by_card, write_stated
from marketplace.adapters.uploads.selection import CARD, MAX_CARD
from marketplace.core.errors import Invalid
from marketplace.core.store import blob_store


def card_fields(
    adapter: Adapter,
    prompt_format: PromptFormat,
    *,
    base_name: str = "",
    task_type: str = "",
    said: Fields | None = None,
) -> CardFields:
    """What the adapter's columns say, or ``said`` in their place; ``base_name`` and ``task_type`` are a version's own
    where it is not the current one."""
    current = adapter.current.artifact.summary if adapter.current else {}
    return CardFields(
        title=said.title if said else adapter.title,
        description=said.description if said else adapter.description,
        license=said.license if said else adapter.license,
        tags=tuple(said.tags if said else adapter.tags),
        base_model=base_name or adapter.base_name or (adapter.base.name if adapter.base else ""),
        prompt_format=said.prompt_format if said else prompt_format,
        task_type=task_type or str(current.get("task_type", "")),
    )


def write_card(
    adapter: Adapter, fields: CardFields, *, uploaded: str | None = None, origin: cards.Origin | None = None
) -> Blob:
    """Store the adapter's card: the uploaded one with our front matter, or a generated one."""
    if uploaded is None:
        text = cards.write(fields, full_name=adapter.full_name, origin=origin)
    else:
        text = cards.rewrite(uploaded, fields, full_name=adapter.full_name)
    return store_card(text)


def follow_card(adapter: Adapter) -> None:
    """Set the columns, unsaved, to what the current version's card says in its front matter."""
    text = current_card(adapter)
    prompt_format = PromptFormat.model_validate(adapter.current.prompt_format if adapter.current else {})
    try:
        said = said_by_card(adapter, text, prompt_format)
    except Invalid:
        # It was checked when it was stored; a rule that came later takes nothing away.
        return
    if said is not None:
        write_stated(adapter, said)


def store_card(text: str) -> Blob:
    data = text.encode()
    if len(data) > 2 * MAX_CARD:
        raise Invalid(f"The card has {len(data):,} bytes; {2 * MAX_CARD:,} are allowed.")
    with blob_store().writer(len(data)) as writer:
        writer.write(data)
        info = writer.finish()
        row = keep_blobs([info])[info.sha256]
        writer.commit()
    return row


def uploaded_card(upload: Upload) -> str | None:
    digest = next((file["sha256"] for file in upload.files if file["path"] == CARD), None)
    if digest is None:
        return None
    with blob_store().open(digest) as file:
        return file.read(MAX_CARD).decode("utf-8", "replace")


def current_card(adapter: Adapter) -> str:
    """The text of the current version's card; empty when it has none."""
    return card_of(adapter.current) if adapter.current else ""


def card_of(version: Version) -> str:
    """The text of a version's card; empty when it has none."""
    file = version.files.filter(path=CARD).first()
    if file is None:
        return ""
    with blob_store().open(file.blob_id) as stream:
        return stream.read(2 * MAX_CARD).decode("utf-8", "replace")
