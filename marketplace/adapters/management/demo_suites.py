"""Public suites of the demo's people: what they ask adapters, in words of their own, and whom they ask."""

from __future__ import annotations

import json
from collections.abc import Mapping

from marketplace.accounts.models import User
from marketplace.adapters.models import Adapter
from marketplace.evaluations.models import EvaluationSuite
from marketplace.evaluations.suite_services import create_suite
from marketplace.evaluations.tasks import evaluate_when_ready
from marketplace.moderation.models import AuditEntry

#: (owner, name, (instruction, input, answer)…)
SUITES: tuple[tuple[str, str, tuple[tuple[str, str, str], ...]], ...] = (
    (
        "amara",
        "Shopping lists",
        (
            ("Turn this list around.", "bread milk salt rice", "rice salt milk bread"),
            ("Turn this list around.", "soap lamp cup rope", "rope cup lamp soap"),
            ("Write the list from the end to the beginning.", "plum pear fig nut", "nut fig pear plum"),
            ("Write the list from the end to the beginning.", "hat coat belt sock", "sock belt coat hat"),
            ("Which word comes last?", "bread milk salt rice", "rice"),
            ("Which word comes last?", "soap lamp cup rope", "rope"),
            ("Give me only the final item.", "plum pear fig nut", "nut"),
            ("Give me only the final item.", "hat coat belt sock", "sock"),
        ),
    ),
    (
        "greta",
        "Irregular forms",
        (
            ("Give the plural of each noun.", "mouse foot", "mice feet"),
            ("Give the plural of each noun.", "child goose", "children geese"),
            ("Give the plural of each noun.", "knife wolf", "knives wolves"),
            ("Give the plural of each noun.", "man tooth", "men teeth"),
            ("Put each verb into the past tense.", "go see", "went saw"),
            ("Put each verb into the past tense.", "take write", "took wrote"),
            ("Put each verb into the past tense.", "bring eat", "brought ate"),
            ("Put each verb into the past tense.", "sing know", "sang knew"),
        ),
    ),
    (
        "hugo",
        "Capitals of the north",
        (
            ("Name the capital of each country.", "Norway", "Oslo"),
            ("Name the capital of each country.", "Sweden", "Stockholm"),
            ("Name the capital of each country.", "Finland", "Helsinki"),
            ("Name the capital of each country.", "Denmark", "Copenhagen"),
            ("Name the capital of each country.", "Estonia", "Tallinn"),
            ("Name the capital of each country.", "Latvia", "Riga"),
            ("Name the capital of each country.", "Lithuania", "Vilnius"),
            ("Name the capital of each country.", "Poland", "Warsaw"),
        ),
    ),
)


#: Suite → the adapters that its owner runs on it first.
ASKED: dict[str, tuple[str, ...]] = {
    "Shopping lists": ("lists/reverse-words", "lists/last-word", "lists/second-word"),
    "Irregular forms": ("wordsmith/plural-nouns", "wordsmith/past-tense", "wordsmith/third-person"),
    "Capitals of the north": ("studio/capital-cities", "studio/currencies"),
}


def upload_suites(people: Mapping[str, User]) -> int:
    """Upload the suites that were never there, and have adapters run on them; how many. Deleted ones stay deleted."""
    made = 0
    for owner, name, examples in SUITES:
        if AuditEntry.objects.filter(action="suite.create", actor=people[owner], target=name).exists():
            continue
        lines = (
            json.dumps({"prompt": f"Instruction: {asked}\nInput: {given}", "expected": answer})
            for asked, given, answer in examples
        )
        _ask(create_suite(user=people[owner], name=name, lines="\n".join(lines), visibility="public"))
        made += 1
    return made


def _ask(suite: EvaluationSuite) -> None:
    """Results come from the engine, once its workers have checked what is seeded, and behind what people ask for."""
    for full_name in ASKED[suite.name]:
        owner, _, name = full_name.partition("/")
        adapter = Adapter.objects.filter(owner__username=owner, name=name, deleted_at=None).first()
        if adapter is not None:
            evaluate_when_ready.delay(adapter=adapter.pk, suite=str(suite.pk))
