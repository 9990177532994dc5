"""Jobs, the broker and the clock, and the models that workers run."""

from typing import Any

from inference_worker.contracts.bases import base_name, base_source
from marketplace.settings.base import REDIS_URL, env

CELERY_BROKER_URL = env.str("CELERY_BROKER_URL", default=REDIS_URL)
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_DEFAULT_QUEUE = "marketplace"
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_TIMEZONE = "UTC"
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
# A request must not hang on a broker that is away: the job stays queued and the reaper sends it later.
CELERY_TASK_PUBLISH_RETRY = False
CELERY_BROKER_TRANSPORT_OPTIONS = {"socket_connect_timeout": 2, "max_retries": 1, "interval_start": 0}
# Workers read the same variable JOB_HEARTBEAT_SECONDS.
JOB_HEARTBEAT_SECONDS = env.float("JOB_HEARTBEAT_SECONDS", default=3.0)
JOB_REAPER_SECONDS = env.float("JOB_REAPER_SECONDS", default=5.0)
JOB_RESEND_SECONDS = env.float("JOB_RESEND_SECONDS", default=15.0)
JOB_DOCUMENTS_DAYS = env.float("JOB_DOCUMENTS_DAYS", default=7.0)
# Evaluations that one person asked for, previews and sweeps, so many of each, may be under way at once.
JOBS_OPEN_PER_PERSON = env.int("JOBS_OPEN_PER_PERSON", default=20)
# Settings that one person's sweeps of merges may measure within an hour: each is a merge and an evaluation.
SWEEP_POINTS_PER_HOUR = env.int("SWEEP_POINTS_PER_HOUR", default=256)
# How often it is looked for what is to be evaluated again, and for what came out; and how many adapters and mixes one
# person may have evaluated regularly.
REGRESSION_SECONDS = env.float("REGRESSION_SECONDS", default=300.0)
REGRESSION_MAX_WATCHES = env.int("REGRESSION_MAX_WATCHES", default=20)
CELERY_BEAT_SCHEDULE: dict[str, dict[str, Any]] = {
    # A tick that comes late is dropped: the next one does its work.
    "reap-jobs": {
        "task": "marketplace.reap_jobs",
        "schedule": JOB_REAPER_SECONDS,
        "options": {"expires": max(JOB_REAPER_SECONDS, 1.0)},
    },
    "collect-garbage": {"task": "marketplace.collect_garbage", "schedule": 3600.0, "options": {"expires": 3600.0}},
    "collect-partial-uploads": {
        "task": "marketplace.collect_partial_uploads",
        "schedule": 3600.0,
        "options": {"expires": 3600.0},
    },
    "collect-job-documents": {"task": "marketplace.collect_job_documents", "schedule": 3600.0},
    "recheck-jobs": {"task": "marketplace.recheck_jobs", "schedule": 60.0, "options": {"expires": 60.0}},
    "mail-decisions": {"task": "marketplace.mail_decisions", "schedule": 60.0, "options": {"expires": 60.0}},
    # Bases ask for it when they become known; this catches up on what the broker lost.
    "link-bases": {"task": "marketplace.link_bases", "schedule": 300.0, "options": {"expires": 300.0}},
    # Uploads ask for it when they are accepted; this catches up on what the broker lost and on bases that came later.
    "evaluate-overdue": {"task": "marketplace.evaluate_overdue", "schedule": 300.0, "options": {"expires": 300.0}},
    "erase-accounts": {"task": "marketplace.erase_accounts", "schedule": 3600.0, "options": {"expires": 3600.0}},
    "forget-examples": {"task": "marketplace.forget_examples", "schedule": 300.0, "options": {"expires": 300.0}},
    "evaluate-mixes": {"task": "marketplace.evaluate_mixes", "schedule": 300.0, "options": {"expires": 300.0}},
    "check-regressions": {
        "task": "marketplace.check_regressions",
        "schedule": REGRESSION_SECONDS,
        "options": {"expires": REGRESSION_SECONDS},
    },
    "prune-evaluations": {
        "task": "marketplace.prune_evaluations",
        "schedule": 86400.0,
        "options": {"expires": 86400.0},
    },
    "forget-checks": {"task": "marketplace.forget_checks", "schedule": 86400.0, "options": {"expires": 86400.0}},
    "forget-notifications": {
        "task": "marketplace.forget_notifications",
        "schedule": 86400.0,
        "options": {"expires": 86400.0},
    },
    "tend-vectors": {"task": "marketplace.tend_vectors", "schedule": 900.0, "options": {"expires": 900.0}},
}
# Kind of job -> its own limits, for example {"merge": {"memory_mb": 16384, "seconds": 7200}}.
JOB_LIMITS = env.json("JOB_LIMITS", default={})
ENCODER = env.str("ENCODER", default="all-MiniLM-L6-v2")
# A directory counts by its last part, in the marketplace as in the workers.
_default_base = env.str("DEFAULT_BASE", default="wordsmith-v1")
DEFAULT_BASE, DEFAULT_BASE_SOURCE = base_name(_default_base), base_source(_default_base)
DEFAULT_BASE_REVISION = env.str("DEFAULT_BASE_REVISION", default="")
GENERATION_SECONDS = env.float("GENERATION_SECONDS", default=120)
GENERATION_START_SECONDS = env.float("GENERATION_START_SECONDS", default=60)
PLAYGROUND_ANONYMOUS = env.bool("PLAYGROUND_ANONYMOUS", default=True)
QUERY_TIMEOUT_SECONDS = env.float("QUERY_TIMEOUT_SECONDS", default=0.3)
