"""Randomness that depends on the job's seed and the module's name, never on the order or grouping of the work."""

from __future__ import annotations

import hashlib

import numpy as np


def module_generator(seed: int, module: str) -> np.random.Generator:
    digest = hashlib.sha256(f"{seed}\0{module}".encode()).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "little")))
