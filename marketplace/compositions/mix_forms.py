"""The form of a mix: it travels with every request, so that members are added and dropped without scripts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from django.http import QueryDict

from marketplace.adapters.models import Adapter
from marketplace.compositions.members import Choice, find_adapter
from marketplace.compositions.mix_selectors import standing_of, version_pinned
from marketplace.compositions.models import Composition
from marketplace.core.errors import AppError


@dataclass
class Row:
    """One member as written. ``pinned`` is a commit, or empty to follow the latest."""

    adapter: Adapter
    weight: str
    pinned: str

    @property
    def revisions(self) -> list[tuple[str, str]]:
        """What can be chosen: the latest whatever it is, today's, and what is pinned already."""
        current = self.adapter.current.commit if self.adapter.current else ""
        found = [("", "the latest version"), (current, f"today's, {current[:8]}")]
        if self.pinned and self.pinned != current:
            found.append((self.pinned, f"pinned, {self.pinned[:8]}"))
        return found


@dataclass
class MixForm:
    """``faults`` maps fields to sentences; ``gone`` are members that cannot be kept, in words."""

    rows: list[Row]
    name: str = ""
    visibility: str = Composition.Visibility.PRIVATE
    description: str = ""
    gone: list[str] = field(default_factory=list)
    faults: dict[str, list[str]] = field(default_factory=dict)

    def fault(self, error: AppError) -> None:
        fields = error.extra.get("fields")
        if not isinstance(fields, dict) or not fields:
            fields = {"": [error.message]}
        for name, sentences in fields.items():
            self.faults.setdefault(name, []).extend(str(sentence) for sentence in sentences)

    def choices(self) -> list[Choice]:
        """Members for the service; what is no number is a fault."""
        found = []
        for row in self.rows:
            try:
                weight = float(row.weight.replace(",", ".").replace("−", "-") or "1")
                found.append(Choice(row.adapter, weight, version_pinned(adapter=row.adapter, revision=row.pinned)))
            except ValueError:
                sentence = f"The weight of {row.adapter.full_name} is “{row.weight[:20]}”. Write a number such as 0.5."
                self.faults.setdefault("members", []).append(sentence)
            except AppError as error:
                self.fault(error)
        return found


def read_mix_form(user: Any, data: QueryDict, mix: Composition | None = None) -> MixForm:
    """``with``, ``weight`` and ``version`` (repeated, as many), ``add``, ``drop``, ``name``, ``visibility`` and
    ``description``; what ``mix`` says where nothing was written yet."""
    if mix is not None and not data:
        return _form_of(user, mix)
    form = MixForm(
        rows=[],
        name=data.get("name", ""),
        visibility=data.get("visibility", Composition.Visibility.PRIVATE),
        description=data.get("description", ""),
    )
    for name, weight, pinned in _written(data):
        try:
            adapter = find_adapter(user=user, full_name=name)
        except AppError as error:
            form.faults.setdefault("members", []).append(error.message)
        else:
            form.rows.append(Row(adapter, weight or "1", pinned))
    return form


def _written(data: QueryDict) -> Iterator[tuple[str, str, str]]:
    names, weights, pinned = data.getlist("with")[:64], data.getlist("weight"), data.getlist("version")
    if data.get("add"):
        names = [*names, data.get("add", "")]
    for place, name in enumerate(names):
        if name.strip() and name != data.get("drop"):
            weight, revision = (column[place] if place < len(column) else "" for column in (weights, pinned))
            yield name.strip(), weight, revision


def _form_of(user: Any, mix: Composition) -> MixForm:
    form = MixForm([], mix.name, mix.visibility, mix.description)
    for row in standing_of(user=user, mix=mix):
        if row.adapter is None or row.fault:
            form.gone.append(f"{row.fault} Saving leaves it out.")
        else:
            form.rows.append(Row(row.adapter, f"{row.weight:g}", row.member.commit))
    return form
