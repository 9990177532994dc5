"""Whether an answer to a hostile file was right, by other means than the code that gave it.

An adapter that is accepted must hold, for the safetensors library and PEFT, the same numbers as for our own reader. A
zip that is accepted must show the same files to a program that reads it from its start. A card's HTML must hold nothing
that acts. Whatever is refused has a problem with a registered code, a place, a message and a remedy.
"""

from __future__ import annotations

import json
import re
import struct
import warnings
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

import torch
from reference.tiny_adapters import load_peft, peft_delta, tiny_llama
from safetensors import safe_open

from inference_worker.adapter_format import inspect_adapter, open_adapter
from inference_worker.contracts.common import Problem
from inference_worker.contracts.inspect import InspectResult
from inference_worker.contracts.upload_checks import CHECKS
from marketplace.adapters import cards
from marketplace.adapters.uploads import selection, zips
from marketplace.adapters.uploads.incoming import IncomingFile
from marketplace.adapters.uploads.problems import UploadFault
from marketplace.core.markdown import render_markdown

LIMIT = 1 << 26


class Wrong(AssertionError):
    """The answer was wrong; the message says in what."""


@dataclass(frozen=True)
class Verdict:
    accepted: bool
    codes: tuple[str, ...]


def require(condition: object, message: str) -> None:
    if not condition:
        raise Wrong(message)


def judge_problems(problems: list[Problem]) -> tuple[str, ...]:
    """The codes of the errors; every problem must help its reader."""
    for problem in problems:
        require(problem.code in CHECKS, f"unregistered code {problem.code}")
        require(problem.code != "check_crashed", f"a check crashed: {problem.message}")
        require(problem.message and len(problem.message) < 2000, f"message of {problem.code}")
        require(problem.severity == "info" or (problem.place and problem.remedy), f"place and remedy of {problem.code}")
    return tuple(problem.code for problem in problems if problem.severity == "error")


# --- adapters --------------------------------------------------------------------------------------------------------
def judge_adapter(folder: Path, shapes: Mapping[str, tuple[int, int]] | None = None, *, peft: bool) -> Verdict:
    """``shapes``: the base's modules; ``peft``: load it with PEFT too, if it is accepted without warnings."""
    config, weights = folder / "adapter_config.json", folder / "adapter_model.safetensors"
    result = inspect_adapter(config, weights, shapes)
    codes = judge_problems([problem for problem in result.problems if problem.place or problem.severity != "error"])
    require(result.valid == (not codes), "valid and errors at once")
    json.loads(result.model_dump_json())
    if result.valid:
        _same_tensors(config, weights)
        if peft:
            _same_in_peft(folder, result)
    return Verdict(result.valid, codes)


def _same_tensors(config: Path, weights: Path) -> None:
    with open_adapter(config, weights) as reader, safe_open(str(weights), "pt") as library:
        ours = {entry.name: entry for info in reader.modules.values() for entry in (info.a, info.b)}
        ours |= {entry.name: entry for entry in reader.extras.values()}
        require(set(ours) <= set(library.keys()), "tensors that the library does not see")
        for name in library.keys():  # noqa: SIM118 (no mapping)
            tensor = library.get_tensor(name)
            require(torch.isfinite(tensor.to(torch.float32)).all(), f"{name} is not finite")
            if name in ours:
                found = reader.file.read(ours[name])
                require(found.dtype == tensor.dtype and found.shape == tensor.shape, f"{name} has another form")
                require(torch.equal(found, tensor), f"{name} has other numbers")


def _same_in_peft(folder: Path, result: InspectResult) -> None:
    """Adapters with warnings may be such as PEFT does not load: that is what those say."""
    odd = any(problem.severity == "warning" or problem.code == "not_merged" for problem in result.problems)
    config = json.loads((folder / "adapter_config.json").read_bytes())
    # Null is read as the default, and VeLoRA matters in training alone; PEFT 0.21 stumbles over both.
    null = any(config.get(key, "") is None for key in ("bias", "rank_pattern", "alpha_pattern", "target_modules"))
    if odd or null or config.get("velora_config") is not None:
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            model = load_peft(folder, tiny_llama)
        except RuntimeError as fault:
            # Tokens that training added are a larger vocabulary, for which the base has to be resized first.
            require("size mismatch" in str(fault) and config.get("modules_to_save"), str(fault)[:500])
            return
    if any(config.get(key) for key in ("use_dora", "lora_bias", "modules_to_save", "trainable_token_indices")):
        return
    theirs = peft_delta(model, "default")
    with open_adapter(folder / "adapter_config.json", folder / "adapter_model.safetensors") as reader:
        for name, info in reader.modules.items():
            if info.kind == "linear":
                factors = reader.read(name)
                close = torch.allclose(theirs[name], factors.B @ factors.A, rtol=1e-2, atol=1e-3)
                require(close, f"PEFT has another Δ for {name}")


# --- archives --------------------------------------------------------------------------------------------------------
def judge_archive(data: bytes) -> Verdict:
    file = IncomingFile.receive("upload.zip", [data], len(data))
    try:
        if not zips.is_zip(file):
            return Verdict(False, ("not_a_zip",))
        try:
            candidates = zips.candidates_of(file, limit=LIMIT)
            seen = {candidate.path: _content(candidate.take()) for candidate in candidates}
            chosen = selection.choose(candidates)
        except UploadFault as fault:
            return Verdict(False, judge_problems([fault.problem]))
        codes = judge_problems(chosen.problems)
        if not codes:
            _same_for_streams(data, seen)
        return Verdict(not codes, codes)
    finally:
        file.discard()


def _content(file: IncomingFile) -> bytes:
    data = file.read(LIMIT)
    file.discard()
    return data


def _same_for_streams(data: bytes, seen: Mapping[str, bytes]) -> None:
    """Walk through the archive from its first byte as a program does that cannot seek."""
    position, found = 0, {}
    while data[position : position + 4] == b"PK\x03\x04":
        header = struct.unpack_from("<5H3L2H", data, position + 4)
        flags, method, packed, name_length, extra_length = header[1], header[2], header[6], header[8], header[9]
        start = position + 30 + name_length + extra_length
        name = data[position + 30 : position + 30 + name_length].decode("utf-8" if flags & 0x800 else "cp437")
        if method == 8:
            unpacker = zlib.decompressobj(-15)
            content = unpacker.decompress(data[start:])
            end = len(data) - len(unpacker.unused_data)
        else:
            if flags & 8 and not packed:
                return  # Stored without a stated length: nobody can walk on.
            end = start + packed
            content = data[start:end]
        found[name] = content
        position = next(
            (
                end + size
                for size in ((0, 12, 16, 20, 24) if flags & 8 else (0,))
                if data[end + size : end + size + 2] == b"PK" and data[end + size + 2] in (1, 3)
            ),
            -1,
        )
        require(position >= 0, "bytes between entries")
    require(data[position : position + 4] == b"PK\x01\x02", "something else before the directory")
    require({name: found.get(name) for name in seen} == dict(seen), "a stream shows other files")


# --- cards -----------------------------------------------------------------------------------------------------------
#: What browsers take for the scheme of an address; anything else is relative.
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*):")


class _Acting(HTMLParser):
    """Finds what a card's HTML must not have."""

    TAGS = frozenset(
        {
            "script",
            "style",
            "iframe",
            "object",
            "embed",
            "form",
            "input",
            "img",
            "svg",
            "math",
            "link",
            "meta",
            "base",
            "video",
            "audio",
            "template",
            "button",
        }
    )

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        require(tag not in self.TAGS, f"<{tag}> in a card")
        for name, value in attrs:
            require(name in ("href", "title", "rel", "start"), f"{name} in a card's <{tag}>")
            if name == "href":
                scheme = _SCHEME.match((value or "").strip())
                require(scheme is None or scheme[1].lower() in ("http", "https", "mailto"), f"{value!r} as a link")


def judge_card(data: bytes) -> Verdict:
    text = data.decode("utf-8", "replace")
    review = cards.review(text, base_name="mistralai/Mistral-7B-v0.1")
    codes = judge_problems(list(review.problems))
    if review.readable:
        json.dumps(cards.suggested(text))
    cards.metadata_of(text)
    html = render_markdown(text)
    require(len(html) < 20 * (len(text) + 1000), "a card that grows")
    parser = _Acting()
    parser.feed(html)
    parser.close()
    return Verdict(not codes, codes)
