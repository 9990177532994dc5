"""Cards as blobs: written, rewritten and read back."""

from __future__ import annotations

from inference_worker.contracts.common import PromptFormat
from marketplace.adapters import cards
from marketplace.adapters.cards import CardFields
from marketplace.adapters.models import Adapter, Blob, Upload, Version
from marketplace.adapters.services.artifacts import keep_blobs
from marketplace.adapters.uploads.selection import CARD, MAX_CARD
from marketplace.core.errors import Invalid
from marketplace.core.store import blob_store


def card_fields(adapter: Adapter, prompt_format: PromptFormat, *, base_name: str = "") -> CardFields:
    """What the adapter's columns say; ``base_name`` is a version's own where it is not the current one."""
    return CardFields(
        title=adapter.title,
        description=adapter.description,
        license=adapter.license,
        tags=tuple(adapter.tags),
        base_model=base_name or adapter.base_name or (adapter.base.name if adapter.base else ""),
        prompt_format=prompt_format,
    )


def write_card(
    adapter: Adapter,
    prompt_format: PromptFormat,
    *,
    uploaded: str | None = None,
    origin: cards.Origin | None = None,
    base_name: str = "",
) -> Blob:
    """Store the adapter's card: the uploaded one with our front matter, or a generated one."""
    fields = card_fields(adapter, prompt_format, base_name=base_name)
    if uploaded is None:
        text = cards.write(fields, full_name=adapter.full_name, origin=origin)
    else:
        text = cards.rewrite(uploaded, fields, full_name=adapter.full_name)
    return store_card(text)


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
