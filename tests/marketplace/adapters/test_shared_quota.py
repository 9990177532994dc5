"""What a collaborator publishes counts towards the adapter's owner."""

from __future__ import annotations

import pytest

from marketplace.accounts.models import User
from marketplace.adapters import services
from marketplace.adapters.uploads.quota import stored_bytes
from marketplace.core.errors import QuotaExceeded
from tests.marketplace.adapters.conftest import MakeUpload

pytestmark = pytest.mark.django_db


def test_a_writers_version_counts_towards_the_owner(ada: User, bob: User, make_upload: MakeUpload) -> None:
    adapter = services.publish_upload(user=ada, upload=make_upload(ada, seed=1), name="shared")
    services.add_collaborator(user=ada, adapter=adapter, username="bob", role="write")
    before, upload = stored_bytes(ada), make_upload(bob, seed=2)
    ada.quota_bytes = before + 100
    ada.save()
    with pytest.raises(QuotaExceeded):
        services.publish_upload(user=bob, upload=upload, adapter=adapter)
    ada.quota_bytes = before * 3
    ada.save()
    services.publish_upload(user=bob, upload=upload, adapter=adapter)
    assert stored_bytes(ada) > before
    assert stored_bytes(bob) == 0
