"""What the workers are asked to do for a base: read it, and look through the adapters that wait for it."""

from __future__ import annotations

import redis
import structlog
from django.db import transaction
from kombu.exceptions import OperationalError as BrokerError

from inference_worker.contracts.bases import BaseShapesRequest
from inference_worker.contracts.common import BaseFiles
from marketplace.accounts.models import User
from marketplace.bases.models import Base
from marketplace.celery import app
from marketplace.jobs import services as jobs
from marketplace.jobs.models import Job

logger = structlog.get_logger(__name__)

#: The kind of job that reads a base.
KIND = "base_shapes"
#: The marketplace worker's task that links waiting adapters.
LINK = "marketplace.link_bases"


def request_shapes(*, actor: User, base: Base) -> Job:
    """Ask a worker to read the base's config, shapes and tokenizer."""
    return jobs.create_job(
        owner=actor,
        kind=KIND,
        request=BaseShapesRequest(base=BaseFiles(name=base.name, source=base.source, revision=base.revision or None)),
        subject={"base": base.pk, "source": base.source, "revision": base.revision},
        title=f"Reading of {base.name}",
    )


def running_read(base: Base) -> Job | None:
    """The job that reads the base as it is registered now."""
    asked = {"subject__base": base.pk, "subject__source": base.source, "subject__revision": base.revision}
    return Job.objects.filter(kind=KIND, **asked).exclude(state__in=Job.ENDED).order_by("-created_at").first()


def latest_read(base: Base) -> Job | None:
    return Job.objects.filter(kind=KIND, subject__base=base.pk).order_by("-created_at").first()


def ask_for_linking(base: Base) -> None:
    """Have the adapters that wait for a base compared with this one, after the commit.

    The mark stays until it is done, so that beat catches up on what the broker lost.
    """
    Base.objects.filter(pk=base.pk).update(linking=True)
    transaction.on_commit(_send_link)


def _send_link() -> None:
    try:
        app.send_task(LINK, retry=False)
    except (OSError, BrokerError, redis.RedisError) as error:
        logger.warning("linking_not_sent", fault=repr(error))
