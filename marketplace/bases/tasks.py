"""What the marketplace worker does for bases: once one can be compared with, and by beat for what got lost."""

from __future__ import annotations

from celery import shared_task

from marketplace.bases.linking import link_waiting
from marketplace.bases.services import LINK


@shared_task(name=LINK)
def link_bases() -> dict[str, int]:
    return {"linked": link_waiting()}
