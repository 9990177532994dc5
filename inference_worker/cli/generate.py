"""``generate``: continue a prompt with a base and any number of weighted adapters, streaming to standard output."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import time
import uuid
from pathlib import Path

from pydantic import ValidationError

from inference_worker.contracts.common import AdapterFiles, BaseFiles, PromptFormat
from inference_worker.contracts.generate import GenerateEvent, GenerateRequest, Sampling, WeightedAdapter
from inference_worker.errors import BadInput, EngineError
from inference_worker.serving.pool import EnginePool
from inference_worker.serving.sequence import GenerationHandle
from inference_worker.serving.settings import EngineSettings

CONFIG_FILE = "adapter_config.json"
WEIGHTS_FILE = "adapter_model.safetensors"

#: Exit status after Ctrl-C, as shells expect it.
INTERRUPTED = 130


class BadOption(BadInput):
    """An option's value is not valid; exit status 2."""

    code = "bad_option"


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the command."""
    parser = subparsers.add_parser("generate", help=__doc__, description=__doc__)
    parser.add_argument("--base", required=True, help="directory or hub id of the base model")
    parser.add_argument("--revision", help="revision of a hub id")
    parser.add_argument(
        "--adapter", action="append", default=[], metavar="DIR[:WEIGHT]", help="an adapter's directory; may be repeated"
    )
    parser.add_argument("--prompt", required=True)
    parser.add_argument("--chat", action="store_true", help="put the prompt into the base's chat template")
    parser.add_argument("--template", default="{prompt}", help="text around the prompt, with {prompt} in its place")
    parser.add_argument("--system", default="", help="system message of a chat")
    parser.add_argument("--max-tokens", type=int, default=64)
    parser.add_argument("--temperature", type=float, default=0.0, help="0 is greedy")
    parser.add_argument("--top-p", type=float, default=1.0)
    parser.add_argument("--top-k", type=int, default=0)
    parser.add_argument("--repetition-penalty", type=float, default=1.0)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--stop", action="append", default=[], help="end before this text; may be repeated")
    parser.add_argument("--timeout", type=float, default=600.0, help="seconds until the answer is cut off")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"))
    parser.add_argument("--dtype", choices=("auto", "float32", "bfloat16", "float16"))
    parser.add_argument("--json", action="store_true", help="print one JSON object at the end instead of the text")


def run(args: argparse.Namespace) -> int:
    """Generate and print; raises ``EngineError`` for whatever went wrong, except bad options: status 2."""
    try:
        directories, request = build_request(args)
    except BadOption as error:
        print(f"generate: {error.message}", file=sys.stderr)
        return 2
    settings = EngineSettings.from_environment(os.environ)
    chosen = {name: getattr(args, name) for name in ("device", "dtype") if getattr(args, name)}
    with EnginePool(settings.model_copy(update=chosen)) as pool:
        handle = pool.submit(request, lambda files: adapter_paths(directories[files.label]))
        try:
            last, text = stream(handle, quiet=args.json)
        except KeyboardInterrupt:
            handle.cancel()
            return INTERRUPTED
    if last.kind == "error":
        # Faults that come from the request's own data leave with status 3, others with 1.
        raise as_error(last)
    if args.json:
        summary = last.model_dump(include={"finish_reason", "prompt_tokens", "completion_tokens"})
        print(json.dumps({"text": text, **summary}, ensure_ascii=False))
    return 0


def build_request(args: argparse.Namespace) -> tuple[dict[str, Path], GenerateRequest]:
    """The request, and each adapter label's directory.

    Raises ``BadInput`` for an adapter without files and ``BadOption`` naming an option.
    """
    directories: dict[str, Path] = {}
    adapters = []
    for given in args.adapter:
        directory, weight = parse_adapter(given)
        label = str(directory)
        directories[label] = directory
        config, weights = adapter_paths(directory)
        files = AdapterFiles(label=label, config=file_sha256(config), weights=file_sha256(weights))
        adapters.append(WeightedAdapter(adapter=files, weight=weight))
    try:
        sampling = Sampling(
            max_tokens=args.max_tokens,
            temperature=args.temperature,
            top_p=args.top_p,
            top_k=args.top_k,
            repetition_penalty=args.repetition_penalty,
            seed=args.seed,
            stop=tuple(args.stop),
        )
        request = GenerateRequest(
            request=uuid.uuid4().hex,
            base=BaseFiles(name=args.base, source=args.base, revision=args.revision),
            adapters=tuple(adapters),
            prompt=args.prompt,
            prompt_format=PromptFormat(
                kind="chat" if args.chat else "plain", template=args.template, system=args.system
            ),
            sampling=sampling,
            deadline=time.time() + args.timeout,
        )
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
        raise BadOption(f"These options are not valid: {faults}.") from error
    return directories, request


def parse_adapter(given: str) -> tuple[Path, float]:
    """``DIR`` or ``DIR:WEIGHT``. A directory whose own name ends in a colon and a number is taken as it is."""
    if Path(given).is_dir():
        return Path(given), 1.0
    directory, colon, weight = given.rpartition(":")
    if colon:
        try:
            return Path(directory), float(weight)
        except ValueError as error:
            raise BadOption(f"The adapter {given!r} is not DIR or DIR:WEIGHT with a number.") from error
    return Path(given), 1.0


def adapter_paths(directory: Path) -> tuple[Path, Path]:
    """Config and weights of an adapter's directory; raises ``BadInput`` naming the file that is missing."""
    paths = directory / CONFIG_FILE, directory / WEIGHTS_FILE
    for path in paths:
        if not path.is_file():
            raise BadInput(f"There is no {path.name} in {directory}.", code="adapter_missing")
    return paths


def stream(handle: GenerationHandle, quiet: bool) -> tuple[GenerateEvent, str]:
    """Follow a generation to its last event, printing text as it comes unless ``quiet``."""
    parts: list[str] = []
    last = GenerateEvent(kind="error", error="The generation ended without a word.", error_code="engine_error")
    for event in handle:
        last = event
        if event.kind == "token":
            parts.append(event.text)
            if not quiet:
                sys.stdout.write(event.text)
                sys.stdout.flush()
    if not quiet and last.kind == "done":
        sys.stdout.write("\n")
    return last, "".join(parts)


def as_error(event: GenerateEvent) -> EngineError:
    """The error that an ``error`` event tells of, as the family's member that decides the exit status."""
    own_fault = event.error_code in ENGINE_FAULTS
    return (EngineError if own_fault else BadInput)(event.error, code=event.error_code)


#: Codes that do not come from the request's data.
ENGINE_FAULTS = frozenset(
    {"engine_error", "engine_closed", "out_of_memory", "queue_full", "base_cache_full", "adapter_cache_full"}
)


def file_sha256(path: Path) -> str:
    """Hex digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
