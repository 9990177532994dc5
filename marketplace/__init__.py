"""Brickyard's web side: pages, REST, jobs and rules. Never imports torch, peft or transformers."""

from marketplace.celery import app as celery_app

__all__ = ["celery_app"]
