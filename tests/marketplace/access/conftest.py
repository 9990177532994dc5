"""A gated adapter and people around it."""

from __future__ import annotations

from typing import Any

import pytest

from marketplace.accounts.models import User
from marketplace.adapters.models import Adapter


@pytest.fixture
def gated(make_adapter: Any, ada: User) -> Adapter:
    adapter: Adapter = make_adapter(ada, "poems", base="m1", visibility="gated", gate_terms="Only for *research*.")
    return adapter
