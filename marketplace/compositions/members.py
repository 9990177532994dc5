"""Which adapters somebody may put together, and what speaks against it.

Everything is settled here before a plan is written: workers look nothing up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from inference_worker.contracts.adapter_uses import why_not_generated
from inference_worker.contracts.common import AdapterFiles
from marketplace import policy
from marketplace.adapters import selectors
from marketplace.adapters.models import Adapter, Artifact, Version
from marketplace.core.errors import Invalid
from marketplace.core.plain_text import storable

#: Most adapters in one composition.
MAX_MEMBERS = 32
#: Weights, and factors on them, lie between minus this and this, on pages and through REST alike.
MAX_WEIGHT = 100


class Choice(NamedTuple):
    """One adapter with its weight, at ``version`` where one is pinned, else at its current one."""

    adapter: Adapter
    weight: float
    version: Version | None = None


@dataclass(frozen=True)
class Member:
    """One adapter's version with its weight, checked."""

    adapter: Adapter
    version: Version
    weight: float

    @property
    def artifact(self) -> Artifact:
        return self.version.artifact

    @property
    def files(self) -> AdapterFiles:
        return AdapterFiles(
            label=self.adapter.full_name,
            config=self.artifact.config_blob_id,
            weights=self.artifact.weights_blob_id,
        )


def find_adapter(*, user: policy.Person, full_name: str) -> Adapter:
    """``owner/name`` → the adapter, when ``user`` may see it."""
    # A name out of a file may hold what PostgreSQL cannot even look for.
    full_name = storable(full_name)
    owner, separator, name = full_name.partition("/")
    if not separator or not owner or not name:
        raise Invalid(
            f"“{full_name}” is not an adapter's name. Write it as owner/name.",
            extra={"fields": {"members": [f"“{full_name}” is not an adapter's name."]}},
        )
    return selectors.get_adapter(user=user, owner=owner, name=name)


def resolve_members(*, user: policy.Person, members: Sequence[tuple[Adapter, float] | Choice]) -> list[Member]:
    """The members' pinned or current versions, each readable by ``user`` and valid.

    Raises ``NotFound`` for what the user may not see, ``Forbidden`` (``access_required``) for what its owner has not
    opened to them, ``Conflict`` for what a moderator took down and ``Invalid`` for what cannot be used yet.
    """
    if len(members) > MAX_MEMBERS:
        raise Invalid(f"At most {MAX_MEMBERS} adapters go into one composition; these are {len(members)}.")
    resolved = []
    for member in members:
        adapter, weight, pinned = Choice(*member)
        policy.require(user, policy.Action.USE, adapter, version=pinned)
        version = pinned or adapter.current
        assert version is not None
        check_weight(float(weight), adapter.full_name)
        resolved.append(Member(adapter, version, float(weight)))
    return resolved


def check_weight(weight: float, name: str) -> None:
    """Raise ``Invalid`` for what is no number and for what is too large. ``nan`` compares false, so it is refused."""
    if not abs(weight) <= MAX_WEIGHT:
        sentence = f"The weight of {name} is {weight:g}; weights go from −{MAX_WEIGHT} to {MAX_WEIGHT}."
        raise Invalid(sentence, extra={"fields": {"weights": [sentence]}})


def check_generating(members: Sequence[Member]) -> None:
    """Raise ``Invalid`` for a member that no text can be generated with, by its task or by a feature, with the words
    that the engine would use."""
    for member in members:
        summary = member.artifact.summary
        reason = why_not_generated(summary.get("task_type", ""), summary.get("features", []))
        if reason:
            name = member.adapter.full_name
            raise Invalid(
                f"{name} is stored but cannot be generated with: {reason}.", code="not_served", extra={"adapter": name}
            )


def shapes_of(member: Member) -> dict[str, tuple[int, int]]:
    """Module name → (d_out, d_in), as the inspection measured them."""
    return {module["name"]: (module["d_out"], module["d_in"]) for module in member.artifact.modules}


def conflicting_shapes(members: Sequence[Member]) -> list[str]:
    """One sentence per module that two members adapt with different shapes."""
    seen: dict[str, tuple[str, tuple[int, int]]] = {}
    conflicts = []
    for member in members:
        for name, shape in shapes_of(member).items():
            label, known = seen.setdefault(name, (member.adapter.full_name, shape))
            if known != shape:
                here = member.adapter.full_name
                conflicts.append(f"{name} is {known[0]}×{known[1]} in {label} and {shape[0]}×{shape[1]} in {here}.")
    return conflicts
