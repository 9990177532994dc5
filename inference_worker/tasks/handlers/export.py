"""Export: an adapter and its base to files of another tool, straight into the blob store."""

from __future__ import annotations

import time

from inference_worker.adapter_format.reader import open_adapter
from inference_worker.contracts.export import ExportRequest, ExportResult
from inference_worker.exporting.gguf_adapter import export_gguf
from inference_worker.exporting.merged import export_merged
from inference_worker.exporting.targets import BlobTarget
from inference_worker.tasks.context import JobContext

_CHUNK = 1 << 20


def handle(request: ExportRequest, context: JobContext) -> ExportResult:
    """Raises ``Refused`` and ``BadInput`` in words."""
    started = time.monotonic()
    files = request.adapter
    target = BlobTarget(context.blobs, request.max_bytes)
    untied = False
    with open_adapter(context.blobs.path(files.config), context.blobs.path(files.weights), files.label) as reader:
        context.log(f"Opened {files.label}.")
        if request.format == "merged":
            report = export_merged(
                reader,
                request.base,
                target,
                dtype=request.dtype,
                shard_bytes=request.shard_bytes,
                license=request.license,
                digests={"config": files.config, "weights": files.weights},
                progress=context.progress,
            )
            untied = report.untied
            context.log(f"{report.tensors} tensors in {report.shards} files, {report.changed} of them changed.")
            if untied:
                context.log("Input and output embeddings are two tensors now; the base shares them.")
        else:
            path = context.workdir / "adapter.gguf"
            written = export_gguf(
                reader, request.base, path, dtype=request.dtype, license=request.license, progress=context.progress
            )
            context.log(f"{written.tensors} tensors for {written.architecture} in {written.dtype}.")
            name = f"{files.label.rpartition('/')[2]}-lora-{written.dtype}.gguf"
            with target.create(name, path.stat().st_size) as sink, path.open("rb") as source:
                while chunk := source.read(_CHUNK):
                    sink.write(chunk)
    return ExportResult(
        format=request.format,
        files=tuple(target.files),
        size=sum(file.size for file in target.files),
        untied=untied,
        seconds=round(time.monotonic() - started, 3),
    )
