"""The block list: no way into the store takes these bytes, and what is stored of them goes."""

from __future__ import annotations

import hashlib
import os
import time
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client
from django.utils import timezone

from inference_worker.contracts.common import OutputFile
from marketplace.accounts.models import User
from marketplace.accounts.services import create_token
from marketplace.adapters import services
from marketplace.adapters.garbage import collect_garbage, register_keeper
from marketplace.adapters.models import Blob
from marketplace.adapters.services.card_files import store_card
from marketplace.core.errors import Conflict, Forbidden, Invalid, NotFound
from marketplace.core.store import blob_store
from marketplace.moderation import services as moderation
from marketplace.moderation.blocking import block_digest, unblock_digest
from marketplace.moderation.models import AuditEntry, Block
from tests.marketplace.adapters.conftest import (
    adapter_files,
    incoming,
    make_upload,  # noqa: F401
    own_store,  # noqa: F401
)
from tests.marketplace.adapters.life.conftest import Publish, publish  # noqa: F401

pytestmark = pytest.mark.django_db


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _weights(seed: int = 0) -> str:
    return _digest(adapter_files(seed=seed)["adapter_model.safetensors"])


def _upload_of(user: User, files: dict[str, bytes]) -> Any:
    return services.create_upload(user=user, files=incoming(files))


@pytest.mark.parametrize("path", ["adapter_config.json", "adapter_model.safetensors", "README.md"])
def test_uploads_with_blocked_bytes_are_refused(path: str, bob: User, moderator: User) -> None:
    files = {**adapter_files(), "README.md": b"# hello\n"}
    block_digest(moderator=moderator, sha256=_digest(files[path]), reason="Private data.")
    upload = _upload_of(bob, files)
    assert upload.state == "refused"
    [problem] = upload.problems
    assert problem["place"] == path
    assert "Private data." in problem["message"]
    assert not Blob.objects.exists()


def test_cards_and_results_with_blocked_bytes_are_refused(bob: User, moderator: User, publish: Publish) -> None:  # noqa: F811
    parent = publish(bob, "plural")
    block_digest(moderator=moderator, sha256=_digest(b"# secret\n"), reason="Private data.")
    with pytest.raises(Conflict, match="Private data") as caught:
        store_card("# secret\n")
    assert caught.value.code == "bytes_blocked"
    block_digest(moderator=moderator, sha256=_weights(9), reason="Stolen.")
    stored = {path: blob_store().put_bytes(data) for path, data in adapter_files(seed=9).items()}
    with pytest.raises(Conflict, match="Stolen"):
        services.create_adapter_from_files(
            owner=bob,
            name="merged",
            origin="merge",
            files=[
                OutputFile(path=path, sha256=info.sha256, git_sha1=info.git_sha1, size=info.size)
                for path, info in stored.items()
            ],
            recipe={"parents": []},
            lineage=[(parent.current, 1.0)],
            operation="cat",
        )
    # What the worker wrote already goes with the next collection, without grace.
    collect_garbage()
    assert not blob_store().has(_weights(9))


def test_what_holds_them_goes_offline_and_the_bytes_go(
    ada: User,
    bob: User,
    moderator: User,
    publish: Publish,  # noqa: F811
) -> None:
    mine, theirs, other = publish(ada, "mine"), publish(bob, "theirs"), publish(bob, "other", seed=1)
    block_digest(moderator=moderator, sha256=f"sha256:{_weights().upper()}", reason="Stolen.")
    for adapter in (mine, theirs):
        adapter.refresh_from_db()
        assert adapter.moderation == "quarantined"
        decision = adapter.decisions.get()
        assert "Stolen." in decision.reason
        assert decision.notified_at is None
    assert blob_store().has(_weights())
    found = collect_garbage()
    assert (found.blobs, blob_store().has(_weights())) == (1, False)
    assert collect_garbage().blobs == 0
    other.refresh_from_db()
    assert other.moderation == "visible"
    with pytest.raises(Conflict, match="bytes that are blocked"):
        moderation.decide(moderator=moderator, adapter=mine, action="restore", reason="Sorry.")
    unblock_digest(moderator=moderator, sha256=_weights(), reason="A mistake.")
    with pytest.raises(Conflict, match="are gone"):
        moderation.decide(moderator=moderator, adapter=mine, action="restore", reason="Sorry.")
    actions = list(AuditEntry.objects.filter(target=_weights()).order_by("pk").values_list("action", flat=True))
    assert actions == ["bytes.block", "bytes.unblock"]


def test_an_upload_that_came_in_between_is_caught_by_the_collection(
    ada: User,
    moderator: User,
    publish: Publish,  # noqa: F811
) -> None:
    adapter = publish(ada, "mine")
    Block.objects.create(sha256=_weights(), reason="Stolen.", blocked_by=moderator)
    collect_garbage()
    adapter.refresh_from_db()
    assert (adapter.moderation, blob_store().has(_weights())) == ("quarantined", False)


def test_a_removal_blocks_and_keeps_for_an_appeal(
    ada: User,
    bob: User,
    moderator: User,
    publish: Publish,  # noqa: F811
) -> None:
    adapter, copy = publish(ada, "mine"), publish(bob, "copy")
    moderation.decide(moderator=moderator, adapter=adapter, action="remove", reason="Stolen.")
    block = Block.objects.get()
    assert (block.sha256, block.decision.adapter) == (_weights(), adapter)  # type: ignore[union-attr]
    copy.refresh_from_db()
    assert copy.moderation == "quarantined"
    assert _upload_of(bob, adapter_files()).state == "refused"
    collect_garbage()
    assert blob_store().has(_weights())
    moderation.decide(moderator=moderator, adapter=adapter, action="restore", reason="The appeal is right.")
    assert not Block.objects.exists()
    moderation.decide(moderator=moderator, adapter=copy, action="restore", reason="The appeal is right.")
    moderation.decide(moderator=moderator, adapter=adapter, action="remove", reason="Stolen after all.")
    Block.objects.update(delete_after=timezone.now() - timedelta(seconds=1))
    collect_garbage()
    assert not blob_store().has(_weights())


def test_who_may_and_with_what(ada: User, moderator: User) -> None:
    for act in (
        lambda: block_digest(moderator=ada, sha256="0" * 64, reason="x"),
        lambda: unblock_digest(moderator=ada, sha256="0" * 64),
    ):
        with pytest.raises(Forbidden):
            act()
    with pytest.raises(Invalid) as caught:
        block_digest(moderator=moderator, sha256="xyz", reason=" ")
    assert set(caught.value.extra["fields"]) == {"sha256", "reason"}
    with pytest.raises(NotFound):
        unblock_digest(moderator=moderator, sha256="0" * 64)


def _bearer(user: User) -> dict[str, str]:
    return {"Authorization": f"Bearer {create_token(user=user, name='x', scope='write')[1]}"}


def test_rest(client: Client, ada: User, moderator: User) -> None:
    mo, address = _bearer(moderator), "/api/v1/moderation/blocks/"
    for who in (None, _bearer(ada)):
        assert client.get(address, headers=who).status_code in (401, 403)
        assert client.post(address, {}, "application/json", headers=who).status_code in (401, 403)
    body = {"sha256": "a" * 64, "reason": "Stolen."}
    answer = client.post(address, body, "application/json", headers=mo)
    assert (answer.status_code, answer.json()["blocked_by"]) == (201, "mo")
    assert [row["sha256"] for row in client.get(address, headers=mo).json()["results"]] == ["a" * 64]
    assert client.delete(f"{address}{'a' * 64}/", headers=mo).status_code == 204
    assert client.delete(f"{address}{'a' * 64}/", headers=mo).status_code == 404


def test_admin(client: Client, ada: User, moderator: User) -> None:
    client.force_login(moderator)
    add, changelist = "/admin/moderation/block/add/", "/admin/moderation/block/"
    assert "has 64 digits" in client.post(add, {"sha256": "nonsense", "reason": "x"}).content.decode()
    assert client.post(add, {"sha256": f" SHA256:{'B' * 64}", "reason": "Stolen."}).status_code in (200, 302)
    answer = client.post(add, {"sha256": "b" * 64, "reason": "Stolen."})
    assert Block.objects.get().reason == "Stolen."
    assert "b" * 64 in client.get(changelist).content.decode()
    assert client.get(f"{changelist}{'b' * 64}/change/").status_code == 200
    answer = client.post(changelist, {"action": "unblock", "_selected_action": ["b" * 64]})
    assert answer.status_code == 302
    assert not Block.objects.exists()
    assert set(AuditEntry.objects.values_list("action", flat=True)) >= {"bytes.block", "bytes.unblock"}
    ada.is_staff = True
    ada.save()
    client.force_login(ada)
    assert client.get(add).status_code == 403


def test_keepers_hold_bytes_that_no_version_points_to(ada: User) -> None:
    kept, lost = (blob_store().put_bytes(data).sha256 for data in (b"a live export", b"an old one"))
    at = time.time() - 48 * 3600
    for sha256 in (kept, lost):
        os.utime(blob_store().path(sha256), (at, at))
    held = [kept]
    register_keeper(lambda: held)
    call_command("collect_garbage", verbosity=0)
    assert (blob_store().has(kept), blob_store().has(lost)) == (True, False)
    held.clear()
    collect_garbage()
    assert not blob_store().has(kept)
