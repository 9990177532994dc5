"""The job ``compose_check``: pairs of stored adapters."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import ValidationError
from reference.random_factors import write_random

from inference_worker.blobs import BlobStore
from inference_worker.composability import compare_adapters
from inference_worker.contracts.common import AdapterFiles
from inference_worker.contracts.composability import ComposeCheckRequest, ComposeCheckResult
from inference_worker.tasks.context import JobContext
from inference_worker.tasks.kinds import run_handler


@pytest.fixture
def context(tmp_path: Path) -> Iterator[JobContext]:
    read, write = os.pipe()
    yield JobContext(BlobStore(f"file://{tmp_path / 'blobs'}"), tmp_path, "", write, job="j1")
    os.close(read)
    os.close(write)


def test_pairs_in_the_order_asked(context: JobContext, tmp_path: Path) -> None:
    readers = [write_random(tmp_path / name, seed, rank=2 + seed) for seed, name in enumerate("abc")]
    files = tuple(
        AdapterFiles(
            label=f"ada/{reader.label}",
            config=context.blobs.put_file(reader.config_path).sha256,
            weights=context.blobs.put_file(reader.weights_path).sha256,
        )
        for reader in readers
    )
    request = ComposeCheckRequest(adapters=files, pairs=((1, 2), (0, 2)))
    result = run_handler("compose_check", request.model_dump(mode="json"), context)
    assert isinstance(result, ComposeCheckResult)
    assert list(result.pairs) == compare_adapters(readers, [(1, 2), (0, 2)])


@pytest.mark.parametrize("pairs", [[], [(1, 0)], [(0, 0)], [(0, 2)], [(-1, 1)]])
def test_pairs_that_are_none_are_refused(pairs: list[tuple[int, int]]) -> None:
    files = AdapterFiles(label="ada/x", config="0" * 64, weights="1" * 64)
    with pytest.raises(ValidationError):
        ComposeCheckRequest.model_validate({"adapters": [files.model_dump()] * 2, "pairs": pairs})
