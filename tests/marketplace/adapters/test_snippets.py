"""What the copied code loads the base by."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.conf import settings

from inference_worker.contracts.bases import SHIPPED_BASES
from marketplace.accounts.models import User
from marketplace.adapters.cards import CardFields, body_of
from marketplace.adapters.cards.loading import base_lines
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
    assert f'from_pretrained("{shown}")' in load
    assert "/srv" not in load
    assert str(settings.BASE_DIR) not in load


@pytest.mark.parametrize("name", SHIPPED_BASES)
def test_card_and_page_load_a_shipped_base_from_where_a_clone_has_it(name: str) -> None:
    """Whichever way it is named, and the folder is there."""
    folder = SHIPPED_BASES[name].relative_to(settings.BASE_DIR)
    assert (settings.BASE_DIR / folder / "config.json").is_file()
    lines = base_lines(name, "AutoModelForCausalLM")
    assert lines.startswith("# ")
    assert lines.endswith(f'\nbase = AutoModelForCausalLM.from_pretrained("{folder}")')
    assert base_lines(f"brickyard/{name}", "AutoModelForCausalLM") == lines
    assert base_lines(str(SHIPPED_BASES[name]), "AutoModelForCausalLM") == lines
    assert lines in body_of(CardFields(base_model=f"brickyard/{name}"), full_name="a/b")
    assert base_lines("me/model", "AutoModel") == 'base = AutoModel.from_pretrained("me/model")'


@pytest.mark.django_db
def test_a_classifier_is_loaded_as_one_and_not_asked_for_text(ada: User, make_adapter: Callable[..., Adapter]) -> None:
    adapter = make_adapter(ada, "plural")
    assert [snippet.title for snippet in snippets_for(adapter)][-1] == "Ask over REST"
    assert adapter.current is not None
    adapter.current.artifact.summary = {"task_type": "SEQ_CLS", "generates": False}
    snippets = snippets_for(adapter)
    assert [snippet.title for snippet in snippets] == ["Download", "Load with PEFT"]
    assert "AutoModelForSequenceClassification.from_pretrained" in snippets[1].code
