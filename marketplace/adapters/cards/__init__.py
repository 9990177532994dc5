"""Cards: README.md with YAML front matter and Markdown, as the Hugging Face Hub has them."""

from marketplace.adapters.cards.card import (
    CardFields,
    Origin,
    body_of,
    lead_of,
    rewrite,
    suggested,
    write,
)
from marketplace.adapters.cards.front_matter import CardFault, split
from marketplace.adapters.cards.metadata import CardMetadata, EvaluationResult, metadata_of
from marketplace.adapters.cards.review import Review, review
from marketplace.adapters.cards.secret_scan import find_secrets, secret_problems

__all__ = [
    "CardFault",
    "CardFields",
    "CardMetadata",
    "EvaluationResult",
    "Origin",
    "Review",
    "body_of",
    "find_secrets",
    "lead_of",
    "metadata_of",
    "review",
    "rewrite",
    "secret_problems",
    "split",
    "suggested",
    "write",
]
