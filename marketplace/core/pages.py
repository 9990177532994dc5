"""Small things that several pages' views need."""

from __future__ import annotations

from django.http import HttpRequest, QueryDict

_TOKEN = "csrfmiddlewaretoken"  # noqa: S105


def without_token(request: HttpRequest) -> str | None:
    """The address to go to when a form that also posts was sent by GET: the same without the form's token.

    The state of such pages lives in the address, which people share; the token must not. None when there is none.
    """
    if request.method != "GET" or _TOKEN not in request.GET:
        return None
    return address_of(request.path, request.GET)


def address_of(path: str, fields: QueryDict) -> str:
    """The address of the page at ``path`` with the form's ``fields``, which add and drop no more and hold no token."""
    query = fields.copy()
    query.pop(_TOKEN, None)
    for name in ("add", "drop"):
        # These change the state once; the page that follows shows what they led to.
        if name in query and not query[name]:
            del query[name]
    if query.get("add"):
        names = query.getlist("with")
        added = query.pop("add")[-1]
        if added not in names:
            query.appendlist("with", added)
    if query.get("drop"):
        dropped = query.pop("drop")[-1]
        kept = [place for place, name in enumerate(query.getlist("with")) if name != dropped]
        for column in ("with", "weight", "layers", "version"):
            if column in query:
                values = query.getlist(column)
                query.setlist(column, [values[place] for place in kept if place < len(values)])
    return f"{path}?{query.urlencode()}"
