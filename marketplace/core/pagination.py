"""Keyset pagination: a page is found by the last row's keys, so it costs the same at any depth and skips nothing."""

from __future__ import annotations

import base64
import binascii
import datetime
import functools
import json
import operator
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from django.core.exceptions import ValidationError
from django.db.models import Model, Q, QuerySet
from drf_spectacular.utils import OpenApiParameter, inline_serializer
from rest_framework import serializers
from rest_framework.request import Request

from marketplace.core.errors import Invalid

DEFAULT_LIMIT = 24
MAX_LIMIT = 100

Row = TypeVar("Row", bound=Model)


@dataclass(frozen=True)
class Page(Generic[Row]):
    """``next_cursor`` is None on the last page."""

    items: list[Row]
    next_cursor: str | None


def keyset_page(
    queryset: QuerySet[Row], *, order: Sequence[str], cursor: str | None = None, limit: int = DEFAULT_LIMIT
) -> Page[Row]:
    """One page of ``queryset`` in ``order`` (field names, ``-`` for descending; the last one must be unique and none
    may be null). Raises ``Invalid`` for a cursor that this order did not make."""
    limit = max(1, min(limit, MAX_LIMIT))
    queryset = queryset.order_by(*order)
    if cursor:
        values = decode_cursor(cursor, order)
        try:
            queryset = queryset.filter(_after(order, values))
        except (ValueError, TypeError, ValidationError) as error:
            raise _bad_cursor() from error
    rows = list(queryset[: limit + 1])
    more = len(rows) > limit
    rows = rows[:limit]
    return Page(rows, encode_cursor(rows[-1], order) if more else None)


def _after(order: Sequence[str], values: Sequence[Any]) -> Q:
    """The rows behind ``values``: (a, b) > (x, y) written out, because directions may differ by field."""
    clauses = []
    equal: dict[str, Any] = {}
    for key, value in zip(order, values, strict=True):
        name = key.lstrip("-")
        clauses.append(Q(**equal, **{f"{name}__{'lt' if key.startswith('-') else 'gt'}": value}))
        equal[name] = value
    return functools.reduce(operator.or_, clauses)


def encode_cursor(row: Model, order: Sequence[str]) -> str:
    values = [_plain(_value(row, key.lstrip("-"))) for key in order]
    text = json.dumps([list(order), values], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode_cursor(cursor: str, order: Sequence[str]) -> list[Any]:
    """The key values in a cursor; ``Invalid`` when it is damaged or was made for another order."""
    try:
        made_for, values = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        if made_for != list(order) or len(values) != len(order):
            raise _bad_cursor()
        return [_parse(value) for value in values]
    except (ValueError, TypeError, binascii.Error) as error:
        raise _bad_cursor() from error


def _bad_cursor() -> Invalid:
    sentence = "The cursor is not valid. Start again from the first page."
    return Invalid(sentence, extra={"fields": {"cursor": [sentence]}})


def _value(row: Model, name: str) -> Any:
    return functools.reduce(getattr, name.split("__"), row)


def _plain(value: Any) -> Any:
    if isinstance(value, uuid.UUID):
        return str(value)
    return {"at": value.isoformat()} if isinstance(value, datetime.datetime) else value


def _parse(value: Any) -> Any:
    if isinstance(value, dict):
        return datetime.datetime.fromisoformat(value["at"]) if "at" in value else value
    if not isinstance(value, str | int | float) or (isinstance(value, str) and "\0" in value):
        raise ValueError("a cursor holds plain values")
    return value


# --- REST ------------------------------------------------------------------------------------------------------------
PAGE_PARAMETERS = [
    OpenApiParameter("cursor", str, description="From `next` of the page before."),
    OpenApiParameter("limit", int, description=f"Rows per page, 1 to {MAX_LIMIT}; {DEFAULT_LIMIT} unless told."),
]


def page_arguments(request: Request) -> dict[str, Any]:
    """``cursor`` and ``limit`` of a request; ``Invalid`` when the limit is not a number."""
    limit = request.query_params.get("limit", str(DEFAULT_LIMIT))
    if not limit.isdecimal() or not 1 <= int(limit) <= MAX_LIMIT:
        sentence = f"Give a number from 1 to {MAX_LIMIT}."
        raise Invalid(f"limit: {sentence}", extra={"fields": {"limit": [sentence]}})
    return {"cursor": request.query_params.get("cursor") or None, "limit": int(limit)}


def next_url(request: Request, cursor: str | None) -> str | None:
    """The address of the next page: this one with another cursor."""
    if cursor is None:
        return None
    query = request.query_params.copy()
    query["cursor"] = cursor
    return request.build_absolute_uri(f"{request.path}?{query.urlencode()}")


def page_body(request: Request, page: Page[Row], represent: Callable[[Row], Any]) -> dict[str, Any]:
    """``{"results": […], "next": url or null}``."""
    return {"results": [represent(row) for row in page.items], "next": next_url(request, page.next_cursor)}


def page_schema(name: str, item: serializers.BaseSerializer[Any]) -> serializers.Serializer[Any]:
    """The schema of ``page_body`` for the API's documentation; ``item`` is a serializer made with ``many=True``."""
    return inline_serializer(name, {"results": item, "next": serializers.URLField(allow_null=True)})
