"""The names of an adapter's files, which others know without this package and its tensor library."""

from inference_worker.contracts.file_names import CONFIG_NAME, WEIGHTS_NAME

__all__ = ["CONFIG_NAME", "WEIGHTS_NAME"]
