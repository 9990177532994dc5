"""The kinds of worker process, as Celery command lines: one place for the supervisor, the containers and the tests.

Run one with ``python -m <arguments>`` in ``<environment>``. Free of torch, Django and Celery.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field

#: Gossip, mingling and events between workers serve monitors that are not used here, and cost start-up time.
_QUIET = ("--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel=INFO")
_MARKETPLACE = "marketplace.celery"
_INFERENCE = "inference_worker.celery_app"
_BATCH = "inference_worker.tasks.batch"
_LIVE = "inference_worker.tasks.live"
#: Two torch processes whose idle threads spin quarter each other's speed on two cores.
_PASSIVE = {"OMP_WAIT_POLICY": "PASSIVE", "TOKENIZERS_PARALLELISM": "false"}
_ONE_THREAD = {**_PASSIVE, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


@dataclass(frozen=True)
class Role:
    """One kind of worker. ``queues`` are the Celery queues it serves."""

    name: str
    app: str
    queues: tuple[str, ...]
    pool: str
    concurrency: int
    include: str = ""
    extra: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def arguments(self) -> tuple[str, ...]:
        """What follows ``python -m``. ``<ROLE>_CONCURRENCY`` in the environment changes the number of pool members."""
        return self.command()

    def command(
        self, *, app: str = "", queues: tuple[str, ...] = (), concurrency: int | None = None, node: str = ""
    ) -> tuple[str, ...]:
        """The same with another app object, other queues, pool size or node name (``%h`` is the host's name)."""
        members = concurrency or int(os.environ.get(f"{self.name.upper()}_CONCURRENCY", "") or self.concurrency)
        parts = ["celery", "-A", app or self.app, "worker", "-n", node or f"{self.name}@%h"]
        parts += ["-Q", ",".join(queues or self.queues), "--pool", self.pool, "--concurrency", str(members)]
        if self.include:
            parts += ["--include", self.include]
        return (*parts, *self.extra, *_QUIET)


def _threads() -> str:
    return os.environ.get("LIVE_THREADS", "") or str(min(os.cpu_count() or 1, 8))


ROLES: dict[str, Role] = {
    role.name: role
    for role in (
        Role(
            name="marketplace",
            app=_MARKETPLACE,
            queues=("marketplace",),
            pool="threads",
            concurrency=4,
            # Beat keeps no schedule file: all its tasks are intervals that do no harm when they run early.
            extra=("--beat", "--scheduler", "celery.beat:Scheduler"),
            # The checks load every page and address, which ``manage.py check`` has done before.
            environment={"CELERY_SKIP_CHECKS": "1"},
        ),
        Role(
            name="live",
            app=_INFERENCE,
            queues=("query", "generate"),
            pool="threads",
            concurrency=8,
            include=_LIVE,
            environment={**_PASSIVE, "OMP_NUM_THREADS": _threads()},
        ),
        Role(
            name="inspect",
            app=_INFERENCE,
            queues=("inspect",),
            pool="prefork",
            concurrency=1,
            include=_BATCH,
            extra=("--disable-prefetch",),
            environment={**_ONE_THREAD, "WORKER_NICE": "2"},
        ),
        Role(
            name="embed",
            app=_INFERENCE,
            queues=("embed",),
            pool="prefork",
            concurrency=1,
            include=_BATCH,
            extra=("--disable-prefetch",),
            environment={**_ONE_THREAD, "WORKER_NICE": "2"},
        ),
        Role(
            name="fetch",
            app=_INFERENCE,
            queues=("fetch",),
            pool="prefork",
            concurrency=2,
            include=_BATCH,
            extra=("--disable-prefetch",),
            environment={**_ONE_THREAD, "WORKER_NICE": "2"},
        ),
        Role(
            name="batch",
            app=_INFERENCE,
            queues=("merge", "train"),
            pool="prefork",
            concurrency=1,
            include=_BATCH,
            extra=("--disable-prefetch",),
            environment={**_ONE_THREAD, "WORKER_NICE": "10"},
        ),
    )
}
