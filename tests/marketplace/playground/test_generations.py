"""Starting a generation: who may, with what, and what the plan says. Live workers have their own tests."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser

from inference_worker.contracts.common import PromptFormat
from marketplace.accounts.models import User
from marketplace.adapters.models import Adapter
from marketplace.bases.models import Base
from marketplace.core.errors import Forbidden, Invalid, NotFound
from marketplace.core.redis import redis_client
from marketplace.playground.services import start_generation

MakeAdapter = Callable[..., Adapter]
pytestmark = pytest.mark.django_db


@pytest.fixture
def adapter(make_adapter: MakeAdapter, ada: User) -> Adapter:
    made = make_adapter(ada, "plural", base="tiny")
    made.current.prompt_format = {"kind": "plain", "template": "{prompt}\nOutput:", "system": "", "stop": ["\n"]}
    made.current.save()
    return made


@pytest.fixture(autouse=True)
def _empty_queue() -> None:
    redis_client().delete("generate")


def queued() -> dict[str, Any]:
    """The one request waiting in the shared queue."""
    import base64

    (message,) = redis_client().lrange("generate", 0, -1)
    _, kwargs, _ = json.loads(base64.b64decode(json.loads(message)["body"]))
    return kwargs["request"]


def test_plan_is_sent_to_the_live_queue(adapter: Adapter, ada: User) -> None:
    generation = start_generation(user=ada, members=[(adapter, 0.5)], prompt="cat", sampling={"max_tokens": 5})
    request = queued()
    assert request == json.loads(generation.request.model_dump_json())
    assert request["base"]["name"] == "tiny"
    assert request["adapters"][0]["weight"] == 0.5
    assert request["adapters"][0]["adapter"]["weights"] == adapter.current.artifact.weights_blob_id
    assert request["prompt_format"]["template"] == "{prompt}\nOutput:"
    assert request["sampling"]["max_tokens"] == 5


def test_members_with_other_prompt_formats_are_said(adapter: Adapter, ada: User, make_adapter: MakeAdapter) -> None:
    other = make_adapter(ada, "past", base="tiny")
    other.current.prompt_format = PromptFormat(template="Q: {prompt}\nA:").model_dump(mode="json")
    other.current.save()
    generation = start_generation(user=ada, members=[(adapter, 0.5), (other, -2.0)], prompt="cat")
    assert generation.request.prompt_format.template == "Q: {prompt}\nA:"
    assert "different prompt formats" in generation.warnings[0]


def test_base_alone_uses_its_chat_template_when_it_has_one(ada: User, settings: Any) -> None:
    base = Base.objects.create(name="chatty", source="x", state=Base.State.READY, chat_template="{{ messages }}")
    assert start_generation(user=ada, base=base, prompt="cat").request.prompt_format.kind == "chat"
    redis_client().delete("generate")
    plain = Base.objects.create(name="plain", source="x", state=Base.State.READY)
    assert start_generation(user=ada, base=plain, prompt="cat").request.prompt_format == PromptFormat()


def test_faults_are_named(adapter: Adapter, ada: User, bob: User, make_adapter: MakeAdapter, settings: Any) -> None:
    with pytest.raises(Invalid, match="Write a prompt"):
        start_generation(user=ada, members=[(adapter, 1.0)], prompt="  ")
    with pytest.raises(Invalid, match="max_tokens"):
        start_generation(user=ada, members=[(adapter, 1.0)], prompt="cat", sampling={"max_tokens": 0})
    with pytest.raises(Invalid, match="Adapters in one composition need one base"):
        start_generation(user=ada, members=[(adapter, 1.0), (make_adapter(ada, "b", base="other"), 1.0)], prompt="cat")
    with pytest.raises(Invalid, match="not registered here"):
        start_generation(user=ada, members=[(make_adapter(ada, "c"), 1.0)], prompt="cat")
    private = make_adapter(bob, "secret", base="tiny", visibility="private")
    with pytest.raises(NotFound, match="no longer yours to use, or is gone") as refused:
        start_generation(user=ada, members=[(private, 1.0)], prompt="cat")
    assert "secret" not in str(refused.value)
    settings.PLAYGROUND_ANONYMOUS = False
    with pytest.raises(Forbidden, match="Sign in"):
        start_generation(user=AnonymousUser(), members=[(adapter, 1.0)], prompt="cat")  # type: ignore[arg-type]


def test_base_that_is_not_served_is_said(adapter: Adapter, ada: User) -> None:
    Base.objects.filter(name="tiny").update(served=False)
    adapter = Adapter.objects.select_related("base", "owner", "current__artifact").get(pk=adapter.pk)
    with pytest.raises(Invalid, match="tiny is not served"):
        start_generation(user=ada, members=[(adapter, 1.0)], prompt="cat")


def test_rest_refuses_in_the_envelope(adapter: Adapter, client: Any) -> None:
    unknown = client.post("/api/v1/generations/", {"prompt": "cat", "base": "nobody"}, content_type="application/json")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "not_found")
    missing = client.post("/api/v1/generations/", {}, content_type="application/json")
    assert (missing.status_code, missing.json()["extra"]["fields"]["prompt"]) == (400, ["This field is required."])
    accepts_only_events = client.post(
        "/api/v1/generations/",
        {"prompt": "cat", "members": [{"adapter": "nobody/x"}]},
        content_type="application/json",
        headers={"accept": "text/event-stream"},
    )
    assert accepts_only_events.status_code == 404


def test_prompt_format_of_the_request_follows_the_same_rules(adapter: Adapter, client: Any) -> None:
    body = {"prompt": "cat", "members": [{"adapter": "ada/plural"}], "prompt_format": {"template": "no place"}}
    answer = client.post("/api/v1/generations/", body, content_type="application/json")
    assert answer.status_code == 400
    assert "write {prompt}" in answer.json()["extra"]["fields"]["prompt_format"][0]
    many = client.post(
        "/api/v1/generations/",
        {"prompt": "cat", "members": [{"adapter": "ada/plural"}] * 9},
        content_type="application/json",
    )
    assert (many.status_code, list(many.json()["extra"]["fields"])) == (400, ["members"])


def test_short_template_cannot_multiply_a_long_prompt() -> None:
    template = PromptFormat(template="{prompt}" * 500)
    assert len(template.render("x" * 1000)) < 10_000


def test_pages_and_rest_share_one_rate(adapter: Adapter, client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from marketplace.accounts.throttling import GenerateThrottle

    monkeypatch.setattr(GenerateThrottle, "get_rate", lambda self: "1/min")
    page = client.post("/playground/", {"with": "ada/plural", "prompt": ""})
    assert page.status_code == 422
    answer = client.post("/api/v1/generations/", {"prompt": "cat"}, content_type="application/json")
    assert (answer.status_code, answer.json()["code"]) == (429, "too_many_requests")
