"""What the copied code loads the base by."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.conf import settings

from marketplace.accounts.models import User
from marketplace.adapters.models import Adapter
from marketplace.adapters.snippets import snippets_for
from marketplace.bases.models import Base


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("HuggingFaceTB/SmolLM2-135M-Instruct", "HuggingFaceTB/SmolLM2-135M-Instruct"),
        (str(settings.BASE_DIR / "inference_worker/testbed/shipped/base"), "inference_worker/testbed/shipped/base"),
        ("/srv/secret/models/llama", "me/llama"),
    ],
)
def test_base_is_a_repository_or_ships_with_brickyard(
    source: str, shown: str, ada: User, make_adapter: Callable[..., Adapter]
) -> None:
    base = Base.objects.create(name="b", source=source, state=Base.State.READY)
    adapter = make_adapter(ada, "plural", base="b", base_name="me/llama")
    assert adapter.base == base
    load = snippets_for(adapter)[1].code
    assert f'{shown}")' in load
    assert "/srv" not in load
    assert str(settings.BASE_DIR) not in load


@pytest.mark.django_db
def test_a_classifier_is_loaded_as_one_and_not_asked_for_text(ada: User, make_adapter: Callable[..., Adapter]) -> None:
    adapter = make_adapter(ada, "plural")
    assert [snippet.title for snippet in snippets_for(adapter)][-1] == "Ask over REST"
    assert adapter.current is not None
    adapter.current.artifact.summary = {"task_type": "SEQ_CLS", "generates": False}
    snippets = snippets_for(adapter)
    assert [snippet.title for snippet in snippets] == ["Download", "Load with PEFT"]
    assert "AutoModelForSequenceClassification.from_pretrained" in snippets[1].code
