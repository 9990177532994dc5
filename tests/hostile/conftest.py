"""A user, and a blob store of the test's own."""

from __future__ import annotations

import pytest

from marketplace.accounts.models import User
from tests.marketplace.adapters.conftest import own_store

__all__ = ["own_store"]


@pytest.fixture
def ada(db: None) -> User:
    return User.objects.create_user("ada", "ada@example.org", "correct horse battery")
