"""The examples for merge methods that find the weights themselves: one half of the adapters' own, in their own prompt
formats. The other half is kept to judge the merge by (``halves``)."""

from __future__ import annotations

from collections.abc import Sequence

from inference_worker.contracts.common import BaseFiles, PromptFormat
from inference_worker.contracts.merge_fit import LONGEST, MAX_EXAMPLES, FitExample, FitGroup, MergeFit
from inference_worker.contracts.merge_methods import METHODS
from marketplace.accounts.models import User
from marketplace.adapters import selectors as adapters
from marketplace.adapters.models import ExamplePrompt
from marketplace.compositions.answering import common_base, prompt_format_of
from marketplace.compositions.halves import FEW, is_for_fitting
from marketplace.compositions.members import Member, check_generating
from marketplace.core.errors import Invalid

#: What the worker needs at least: some to fit, some to see whether it helped.
LEAST = 4


def examples_for(user: User, members: Sequence[Member], method: str) -> MergeFit | None:
    """Examples with expected answers of every member that ``user`` may see, the half that is for fitting; None for
    methods that need none.

    Raises ``Invalid`` where the base is not served, a member cannot be generated with, or examples are too few.
    """
    info = METHODS[method]
    if not info.examples:
        return None
    check_generating(members)
    base = common_base(members)
    if base is None or not base.generates:
        name = base.name if base else "their base"
        raise _invalid(f"{info.title} tries the adapters on examples, and {name} is not served here.")
    room = MAX_EXAMPLES // max(len(members), 1)
    groups = []
    for member in members:
        rows = [
            FitExample(prompt=example.prompt, expected=example.expected)
            for example in _readable(user, member)
            if is_for_fitting(example.prompt)
        ][:room]
        if rows:
            form: PromptFormat = prompt_format_of(base=base, members=[member])[0]
            groups.append(FitGroup(name=member.adapter.full_name, prompt_format=form, examples=tuple(rows)))
    count = sum(len(group.examples) for group in groups)
    if count < LEAST:
        seen = sum(len(_readable(user, member)) for member in members)
        raise _invalid(
            f"{info.title} finds the weights from at least {LEAST} examples with expected answers, and takes one half "
            f"of the adapters' own for that: {count} of the {seen} that you may see. Write examples, or choose a "
            "method that takes the weights as given."
        )
    files = BaseFiles(name=base.name, source=base.source, revision=base.revision or None)
    return MergeFit(base=files, groups=tuple(groups))


def _readable(user: User, member: Member) -> list[ExamplePrompt]:
    """A member's examples with answers that ``user`` may see and that are not too long to learn from."""
    rows = adapters.examples_of(user=user, adapter=member.adapter).exclude(expected="")
    return [row for row in rows if len(row.prompt) <= LONGEST and len(row.expected) <= LONGEST]


def words_on_halves(user: User, members: Sequence[Member], method: str) -> list[str]:
    """What to know before the merge of how many examples it learns from and how many are left to judge it by."""
    info = METHODS[method]
    if not info.examples:
        return []
    prompts = [row.prompt for member in members for row in _readable(user, member)]
    learnt = sum(map(is_for_fitting, prompts))
    left = len(prompts) - learnt
    words = f"{info.title} learns from {learnt} of the {len(prompts)} examples that you may see"
    if left >= FEW:
        return [f"{words}; the other {left} judge it."]
    number = {0: "none is", 1: "1 is"}.get(left, f"{left} are")
    few = f"{words}, so that {number} left to judge it by, which says little."
    return [f"{few} Write more examples, or measure it on a suite."]


def _invalid(sentence: str) -> Invalid:
    return Invalid(sentence, extra={"fields": {"method": [sentence]}})
