"""Who may read suites of examples, and run something on them."""

from __future__ import annotations

from django.db.models import Q

from marketplace.adapters.models import Adapter
from marketplace.evaluations.models import EvaluationSuite
from marketplace.policy.actions import Action
from marketplace.policy.adapters import may
from marketplace.policy.people import Person, is_known
from marketplace.policy.site import may_moderate, owns

_Kind, _Visibility = EvaluationSuite.Kind, EvaluationSuite.Visibility


def may_see_suite(person: Person, suite: EvaluationSuite) -> bool:
    """Read its examples. Those of adapters have no page of their own: what the adapter's page shows of them is for
    ``Action.SEE_DRAFTS`` and for ``ExamplePrompt.public`` to say."""
    if suite.kind == _Kind.BUILTIN:
        return True
    return suite.kind == _Kind.OWN and (suite.visibility == _Visibility.PUBLIC or owns(person, suite))


def may_use_suite(person: Person, suite: EvaluationSuite) -> bool:
    """Run something on it: whoever may read it, and on the examples of an adapter whoever may use that one; of those
    they learn numbers alone."""
    if suite.adapter is not None:
        return may(person, Action.USE, suite.adapter)
    return may_see_suite(person, suite)


def may_see_hidden(person: Person, adapter: Adapter, suite: EvaluationSuite) -> bool:
    """Read a result that the adapter's owner has hidden: its authors, whoever looks after the site, and who made the
    suite, whose measurement it is, too."""
    return may(person, Action.SEE_DRAFTS, adapter) or may_moderate(person) or owns(person, suite)


def visible_suites(person: Person) -> Q:
    """``may_see_suite`` as a condition on suites."""
    seen = Q(visibility=_Visibility.PUBLIC)
    if is_known(person):
        seen |= Q(owner_id=person.pk)
    return Q(kind=_Kind.BUILTIN) | (Q(kind=_Kind.OWN) & seen)
