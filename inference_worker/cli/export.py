"""``export --format merged|gguf|peft --out DIR ADAPTER``: an adapter in another tool's form."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from inference_worker.adapter_format.names import CONFIG_NAME, WEIGHTS_NAME
from inference_worker.adapter_format.reader import AdapterReader, open_directory
from inference_worker.adapter_format.rewrite import rewrite_adapter
from inference_worker.contracts.bases import base_files
from inference_worker.contracts.common import BaseFiles
from inference_worker.contracts.export import SHARD_BYTES
from inference_worker.errors import BadInput
from inference_worker.exporting.gguf_adapter import export_gguf
from inference_worker.exporting.merged import export_merged
from inference_worker.exporting.targets import FolderTarget
from inference_worker.merging.pipeline import merge_adapters

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9}


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser("export", help="write an adapter for other tools")
    parser.add_argument("adapter", type=Path, metavar="ADAPTER", help="folder of a PEFT LoRA adapter")
    parser.add_argument(
        "--format",
        required=True,
        choices=("merged", "gguf", "peft"),
        help="merged: the base with the adapter inside; gguf: for llama.cpp; peft: PEFT's own names, repaired",
    )
    parser.add_argument("--base", default="", help="hub id or directory (default: what the adapter's config names)")
    parser.add_argument("--revision", default="", help="of a hub's base")
    parser.add_argument("--dtype", choices=("same", "float32", "float16", "bfloat16"), default="same")
    parser.add_argument("--shard-size", type=_size, default=SHARD_BYTES, help="such as 5GB (merged; default 5GB)")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="folder to write to")
    parser.add_argument("--json", action="store_true", help="print what was done as JSON")


def run(args: argparse.Namespace) -> int:
    with open_directory(args.adapter) as reader:
        done = _export(args, reader)
    done = {"format": args.format, "out": str(args.out), **done}
    print(json.dumps(done, indent=2) if args.json else f"{args.out}: {', '.join(done['files'])}")
    return 0


def _export(args: argparse.Namespace, reader: AdapterReader) -> dict[str, Any]:
    if args.format == "peft":
        if args.dtype == "same":
            rewrite_adapter(reader, args.out)
            return {"files": [CONFIG_NAME, WEIGHTS_NAME]}
        # One adapter alone goes through the pipeline as it is, in another type.
        report = merge_adapters([reader], [1.0], "cat", args.out, dtype="same" if args.dtype == "same" else args.dtype)
        return {"files": sorted(report.files)}
    base = _base(args, reader)
    if args.format == "gguf":
        args.out.mkdir(parents=True, exist_ok=True)
        path = args.out / f"{args.adapter.resolve().name}-lora.gguf"
        written = export_gguf(reader, base, path, dtype=args.dtype)
        return {"files": [path.name], "architecture": written.architecture, "alpha": written.alpha}
    merged = export_merged(reader, base, FolderTarget(args.out), dtype=args.dtype, shard_bytes=args.shard_size)
    return {"files": sorted(path.name for path in args.out.iterdir()), "size": merged.size, "untied": merged.untied}


def _base(args: argparse.Namespace, reader: AdapterReader) -> BaseFiles:
    named = args.base or reader.config.base_model_name
    if not named:
        raise BadInput("The adapter's config names no base; say which with --base.", code="base_unknown")
    return base_files(named, args.revision or ("" if args.base else reader.config.revision))


def _size(text: str) -> int:
    """``5GB`` in bytes, by thousands as file sizes of shards are given everywhere."""
    number = text.upper().removesuffix("B")
    unit = number[-1:] if number[-1:] in "KMG" else ""
    try:
        size = int(float(number.removesuffix(unit)) * _UNITS[unit])
    except ValueError as error:
        raise argparse.ArgumentTypeError("write it as in 500MB or 5GB") from error
    if size < 1:
        raise argparse.ArgumentTypeError("must be more than nothing")
    return size
