"""The examples for merge methods that find the weights themselves: the adapters' own, in their own prompt formats."""

from __future__ import annotations

from collections.abc import Sequence

from inference_worker.contracts.common import BaseFiles, PromptFormat
from inference_worker.contracts.merge_fit import LONGEST, MAX_EXAMPLES, FitExample, FitGroup, MergeFit
from inference_worker.contracts.merge_methods import METHODS
from marketplace.accounts.models import User
from marketplace.adapters import selectors as adapters
from marketplace.compositions.answering import common_base, prompt_format_of
from marketplace.compositions.members import Member, check_generating
from marketplace.core.errors import Invalid

#: What the worker needs at least: some to fit, some to see whether it helped.
LEAST = 4


def examples_for(user: User, members: Sequence[Member], method: str) -> MergeFit | None:
    """Examples with expected answers of every member that ``user`` may see; None for methods that need none.

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
        own = adapters.examples_of(user=user, adapter=member.adapter).exclude(expected="")
        rows = [
            FitExample(prompt=example.prompt, expected=example.expected)
            for example in own[:room]
            if len(example.prompt) <= LONGEST and len(example.expected) <= LONGEST
        ]
        if rows:
            form: PromptFormat = prompt_format_of(base=base, members=[member])[0]
            groups.append(FitGroup(name=member.adapter.full_name, prompt_format=form, examples=tuple(rows)))
    count = sum(len(group.examples) for group in groups)
    if count < LEAST:
        raise _invalid(
            f"{info.title} finds the weights from at least {LEAST} examples with expected answers, and these adapters "
            f"have {count} that you may see. Write examples, or choose a method that takes the weights as given."
        )
    files = BaseFiles(name=base.name, source=base.source, revision=base.revision or None)
    return MergeFit(base=files, groups=tuple(groups))


def _invalid(sentence: str) -> Invalid:
    return Invalid(sentence, extra={"fields": {"method": [sentence]}})
