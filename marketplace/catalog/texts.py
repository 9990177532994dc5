"""What is embedded of an adapter, and whether a vector still belongs to it."""

from __future__ import annotations

import hashlib
import json

from marketplace.adapters.models import Adapter, Embedding

#: Encoders read about 256 word pieces; more only costs time.
MAX_CHARACTERS = 4000
MAX_EXAMPLES = 20


def texts_of(adapter: Adapter) -> dict[str, tuple[str, ...]]:
    """Texts by kind of embedding. A kind without texts is left out.

    ``description``: one text of title, description and tags, as a reader sees them. ``examples``: what the adapter is
    asked, as the mean of its prompts (LoraRetriever, section 3.1).
    """
    words = adapter.title or adapter.name.replace("-", " ").replace("_", " ")
    parts = [part.strip().rstrip(".") for part in (words, adapter.description, ", ".join(adapter.tags))]
    texts: dict[str, tuple[str, ...]] = {
        Embedding.Kind.DESCRIPTION: (". ".join(part for part in parts if part)[:MAX_CHARACTERS],)
    }
    prompts = adapter.examples.order_by("position", "pk").values_list("prompt", flat=True)[:MAX_EXAMPLES]
    examples = tuple(prompt.strip()[:MAX_CHARACTERS] for prompt in prompts if prompt.strip())
    if examples:
        texts[Embedding.Kind.EXAMPLES] = examples
    return texts


def digest_of(texts: tuple[str, ...]) -> str:
    """The sha256 by which a vector is recognised as one of exactly these texts."""
    return hashlib.sha256(json.dumps(texts, ensure_ascii=False).encode()).hexdigest()
