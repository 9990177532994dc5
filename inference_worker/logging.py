"""Structured logs of the workers: one JSON object per line, with the ids of the job and of the web request."""

from __future__ import annotations

import logging
import os
import sys

import structlog

#: Celery's lines about each message say nothing that ``job_started`` and ``job_ended`` do not.
_CHATTY = (
    "celery.worker.strategy",
    "celery.app.trace",
    "httpx",
    "urllib3",
    "filelock",
    "sentence_transformers",
    "fsspec",
)


def configure(environment: str | None = None) -> None:
    """Send structlog and the standard library's loggers to stderr. ``LOG_FORMAT=console`` is for people."""
    for_people = (environment or os.environ.get("LOG_FORMAT", "json")) == "console"
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    last: list[structlog.types.Processor] = (
        [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
        if for_people
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder()],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(os.environ.get("LOG_LEVEL", "INFO").upper())
    for chatty in _CHATTY:
        logging.getLogger(chatty).setLevel(logging.WARNING)
