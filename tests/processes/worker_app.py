"""The inference workers' app with the drill kind beside the real ones: ``celery -A tests.processes.worker_app``."""

from inference_worker.celery_app import app
from tests.processes import drill

drill.register()

__all__ = ["app"]
