"""Who may do what to what: the only place that answers it, for pages, REST, downloads, search, jobs and templates.

``adapters`` holds the table of rules about adapters, each of them as a question about one row and as a condition on
rows in a query; ``site`` holds what follows from the person alone, or from owning a thing. ``docs/access.md`` shows the
whole table, and a test compares it with these rules.
"""

from marketplace.policy.actions import Action
from marketplace.policy.adapters import (
    allowed,
    downloadable,
    may,
    may_administer,
    may_download,
    may_edit,
    may_relicense,
    may_use,
    may_view,
    require,
    rights,
    viewable,
)
from marketplace.policy.mixes import mixes_listed, mixes_seen
from marketplace.policy.people import Person, is_known, is_leaving
from marketplace.policy.refusals import access_address
from marketplace.policy.site import (
    may_enter_admin,
    may_generate,
    may_moderate,
    may_operate_jobs,
    may_register_bases,
    may_see_everything,
    owned_by,
    owns,
    received,
    sent,
)
from marketplace.policy.suites import may_see_hidden, may_see_suite, may_use_suite, visible_suites

__all__ = [
    "Action",
    "Person",
    "access_address",
    "allowed",
    "downloadable",
    "is_known",
    "is_leaving",
    "may",
    "may_administer",
    "may_download",
    "may_edit",
    "may_enter_admin",
    "may_generate",
    "may_moderate",
    "may_operate_jobs",
    "may_register_bases",
    "may_relicense",
    "may_see_everything",
    "may_see_hidden",
    "may_see_suite",
    "may_use",
    "may_use_suite",
    "may_view",
    "mixes_listed",
    "mixes_seen",
    "owned_by",
    "owns",
    "received",
    "require",
    "rights",
    "sent",
    "viewable",
    "visible_suites",
]
