"""The suites that come by themselves: those of a base, and the examples of an adapter and of its parents."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from django.apps import AppConfig
from django.db import connections
from django.db.migrations import Migration

from marketplace.adapters.models import Adapter, ExamplePrompt
from marketplace.adapters.services import artifacts
from marketplace.bases.models import Base
from marketplace.compositions.answering import prompt_format_of
from marketplace.compositions.halves import is_for_fitting, was_fitted
from marketplace.compositions.members import Member
from marketplace.core.store import blob_store
from marketplace.evaluations.forgetting import forget_suites
from marketplace.evaluations.models import EvaluationSuite

_Kind = EvaluationSuite.Kind
Plan = Sequence[tuple[Migration, bool]]

#: Of the testbed's bases, by the beginning of their names: (engine's name, title, examples per task, probe).
TESTBED = "wordsmith-"
BUILTIN = (
    ("testbed:readable", "What wordsmith reads", 1, True),
    ("testbed:named", "Named tasks", 8, False),
    ("testbed:named:unseen", "Named tasks in unseen wording", 8, False),
    ("testbed:compositions", "Two tasks at once", 2, False),
)


def builtin_suites(base: Base) -> list[EvaluationSuite]:
    """The built-in suites of a base, its probe suite first."""
    return list(EvaluationSuite.objects.filter(base=base, kind=_Kind.BUILTIN).order_by("-probe", "created_at", "pk"))


def make_builtin_suites(base: Base) -> None:
    """Make what the engine has of suites for a base; those that are there stay as an operator has set them."""
    if not base.name.rpartition("/")[2].startswith(TESTBED):
        return
    there = set(EvaluationSuite.objects.filter(base=base, kind=_Kind.BUILTIN).values_list("builtin", flat=True))
    chosen = EvaluationSuite.objects.filter(base=base, probe=True).exists()
    for name, title, count, probe in BUILTIN:
        if name not in there:
            fields = {"name": title, "count": count, "probe": probe and not chosen}
            EvaluationSuite.objects.get_or_create(base=base, builtin=name, kind=_Kind.BUILTIN, defaults=fields)


def make_for_new_base(sender: type[Base], instance: Base, created: bool, raw: bool = False, **_: Any) -> None:
    """With the base, in its transaction: whoever reads finds its suites and makes none."""
    if created and not raw:
        make_builtin_suites(instance)


def make_for_all_bases(sender: AppConfig, using: str = "default", plan: Plan = (), **_: Any) -> None:
    """After every migration: a new release may have other suites, and bases may be older than their suites."""
    tables = connections[using].introspection.table_names()
    back = any(backwards for _, backwards in plan)
    if back or EvaluationSuite._meta.db_table not in tables or Base._meta.db_table not in tables:
        return  # the tables are not those of this release
    for base in Base.objects.using(using):
        make_builtin_suites(base)


def probe_suite(base: Base) -> EvaluationSuite | None:
    """What every adapter of the base is run on, to see what it forgets; an operator may choose another one."""
    return EvaluationSuite.objects.filter(base=base, probe=True).first()


def examples_suite(adapter: Adapter) -> EvaluationSuite | None:
    """The adapter's own examples that have an expected answer; None without any."""
    rows = [_row(example) for example in _answered(adapter)]
    return _stored(adapter, _Kind.EXAMPLES, f"Examples of {adapter.full_name}", rows)


def parents_suite(adapter: Adapter, parents: Iterable[Member]) -> EvaluationSuite | None:
    """The examples of everything that it was made from; each one's task says of which, see ``parent_task``, and each is
    asked in its parent's prompt format. Of a merge that found its weights from such examples, the half that it did not
    learn from."""
    fitted = was_fitted(adapter.current)
    rows = [
        {**_row(example), "task": parent_task(parent.adapter.pk), **form}
        for parent, form in _with_formats(adapter, parents)
        for example in _answered(parent.adapter)
        if not (fitted and is_for_fitting(example.prompt))
    ]
    sure = fitted and adapter.current is not None and adapter.current.fitted_on_half
    whose = "Examples that it did not learn from, of the parents" if sure else "Examples of the parents"
    return _stored(adapter, _Kind.PARENTS, f"{whose} of {adapter.full_name}", rows)


def _with_formats(adapter: Adapter, parents: Iterable[Member]) -> Iterable[tuple[Member, dict[str, Any]]]:
    """Each parent with the prompt format of its examples, where that is another one than the merge's own."""
    if adapter.base is None or adapter.current is None:
        return [(parent, {}) for parent in parents]
    base = adapter.base
    merged = prompt_format_of(base=base, members=[Member(adapter, adapter.current, 1.0)])[0]
    formats = [(parent, prompt_format_of(base=base, members=[parent])[0]) for parent in parents]
    return [
        (parent, {} if form == merged else {"prompt_format": form.model_dump(mode="json")}) for parent, form in formats
    ]


def parent_task(adapter: int) -> str:
    """By its key and not by its name: not everybody who sees a merge may see its parents."""
    return f"adapter:{adapter}"


def _answered(adapter: Adapter) -> Iterable[ExamplePrompt]:
    return adapter.examples.exclude(expected="")


def _row(example: ExamplePrompt) -> dict[str, str]:
    return {"prompt": example.prompt, "expected": example.expected}


def _stored(adapter: Adapter, kind: str, name: str, rows: list[dict[str, Any]]) -> EvaluationSuite | None:
    """The suite of these examples. Suites of earlier ones go, and their results: who takes an example back means it.
    Call inside a transaction."""
    if not rows:
        forget_suites(EvaluationSuite.objects.filter(adapter=adapter, kind=kind))
        return None
    sha256 = store_lines(json.dumps(row) for row in rows)
    forget_suites(EvaluationSuite.objects.filter(adapter=adapter, kind=kind).exclude(sha256=sha256))
    fields = {"name": name[:100], "count": len(rows)}
    return EvaluationSuite.objects.get_or_create(adapter=adapter, kind=kind, sha256=sha256, defaults=fields)[0]


def store_lines(lines: Iterable[str]) -> str:
    """Put JSON lines into the blob store; their digest. Call inside a transaction, in which a row stands for the bytes
    so that nobody collects them before the suite names them."""
    info = blob_store().put_bytes("".join(f"{line}\n" for line in lines).encode())
    artifacts.keep_blobs([info])
    return info.sha256
