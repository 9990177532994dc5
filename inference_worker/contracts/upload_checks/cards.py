"""Codes about cards, at the upload and while they are written. None of them keeps an adapter out."""

from __future__ import annotations

from inference_worker.contracts.upload_checks.registry import Check, Stage

CARDS = (
    Check(
        "card_too_large",
        "warning",
        Stage.CARD,
        "README.md is larger than a card may be and is left out.",
        "Shorten it and edit it in later.",
    ),
    Check(
        "card_front_matter",
        "warning",
        Stage.CARD,
        "The card's front matter cannot be read, so nothing is filled in from it; an edit is not taken over.",
        "Fill in the form, or correct the YAML between the --- lines.",
        also="error",
    ),
    Check(
        "card_metadata",
        "warning",
        Stage.CARD,
        "A key of the card's front matter (language, datasets, pipeline_tag, library_name, model-index, …) is not as "
        "the Hub has it; that key is left out.",
        "Correct the line in the card's front matter.",
    ),
    Check(
        "card_licence_unknown",
        "warning",
        Stage.CARD,
        "The card's licence is none that is known here, so it counts as unclear.",
        "Write an SPDX identifier such as apache-2.0, or license: other with license_name and license_link.",
    ),
    Check(
        "card_base_differs",
        "warning",
        Stage.CARD,
        "The card names another base_model than the config.",
        "The config counts. Correct the card, or upload the adapter with the right config.",
    ),
    Check(
        "secret_found",
        "warning",
        Stage.CARD,
        "A line of the card or the config looks like a key, token or password.",
        "Take it out, and revoke it where it was issued: what was public once counts as known.",
    ),
)
