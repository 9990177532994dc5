"""Content-addressed blob store over fsspec. Free of torch and Django: the web side and the workers share it."""

from inference_worker.blobs.partial import Partial, PartialBusy, PartialState
from inference_worker.blobs.store import BlobStore
from inference_worker.blobs.writer import CHUNK, BlobInfo, BlobWriter

__all__ = ["CHUNK", "BlobInfo", "BlobStore", "BlobWriter", "Partial", "PartialBusy", "PartialState"]
