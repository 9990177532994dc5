"""What REST answers with."""

from __future__ import annotations

from collections.abc import Iterable

from rest_framework.exceptions import NotAcceptable
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request


class ForgivingNegotiation(DefaultContentNegotiation):
    """A client that asks for something else gets JSON rather than 406.

    Files, archives and event streams are written by the views themselves, so ``Accept: application/zip`` or
    ``text/event-stream`` are right to send and no renderer has them; and an error is worth more than a refusal to
    word it.
    """

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        try:
            return super().select_renderer(request, renderers, format_suffix)
        except NotAcceptable:
            first = next(iter(renderers))
            return first, str(first.media_type)
