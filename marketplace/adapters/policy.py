"""``marketplace.policy``, by its former name."""

from marketplace.policy import (
    Action,
    Person,
    may,
    may_administer,
    may_download,
    may_edit,
    may_relicense,
    may_use,
    may_view,
    require,
    viewable,
)

__all__ = [
    "Action",
    "Person",
    "may",
    "may_administer",
    "may_download",
    "may_edit",
    "may_relicense",
    "may_use",
    "may_view",
    "require",
    "viewable",
]
