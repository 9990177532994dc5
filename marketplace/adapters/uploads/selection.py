"""Which of the arrived files make the adapter, and what is said about the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from django.conf import settings

from inference_worker.contracts.common import Problem
from inference_worker.contracts.image_adapters import starts_like_one
from marketplace.adapters.uploads import paths
from marketplace.adapters.uploads.incoming import Candidate
from marketplace.adapters.uploads.problems import error, note, pickle_refused, warning

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
CARD = "README.md"

MAX_CONFIG = settings.UPLOAD_MAX_CONFIG_BYTES
MAX_CARD = settings.UPLOAD_MAX_CARD_BYTES

#: What a Git LFS pointer starts with.
_POINTER = b"version https://git-lfs.github.com/spec/"
_PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib", ".dill")
SAVE = "Save the adapter with PEFT's save_pretrained and upload the files it writes."


@dataclass
class Selection:
    """``problems`` holds errors (then nothing is stored), warnings and notes."""

    config: Candidate | None = None
    weights: Candidate | None = None
    card: Candidate | None = None
    problems: list[Problem] = field(default_factory=list)

    @property
    def refused(self) -> bool:
        return any(problem.severity == "error" for problem in self.problems)


def is_pickle(candidate: Candidate) -> bool:
    """By name or by content, whatever the name says."""
    head = candidate.head
    by_content = head.startswith((b"PK\x03\x04", b"PK\x05\x06")) and not candidate.name.lower().endswith(".zip")
    by_content = by_content or (len(head) >= 2 and head[0] == 0x80 and 2 <= head[1] <= 5)
    return by_content or candidate.name.lower().endswith(_PICKLES)


def choose(candidates: Sequence[Candidate]) -> Selection:
    """Pick config, weights and card from ``candidates``. Faults are listed in the result, never raised."""
    chosen = Selection()
    usable = _usable(candidates, chosen)
    configs = [candidate for candidate in usable if candidate.name == CONFIG]
    folder = _folder(configs, usable, chosen)
    if folder is None:
        return chosen
    inside = [candidate for candidate in usable if candidate.folder == folder]
    chosen.config = next((candidate for candidate in inside if candidate.name == CONFIG), None)
    chosen.weights = _weights(inside, chosen)
    cards = [candidate for candidate in inside if candidate.name.lower() == CARD.lower()]
    chosen.card = cards[0] if cards else None
    if chosen.config is None:
        chosen.problems.append(_without_config(chosen.weights))
    _check_pointers(chosen)
    _check_sizes(chosen)
    _report_others(usable, chosen)
    if chosen.weights is None and not any(problem.code == "pickle_refused" for problem in chosen.problems):
        chosen.problems.append(error("weights_missing", WEIGHTS, f"There is no {WEIGHTS} among the files.", SAVE))
    return chosen


def _usable(candidates: Sequence[Candidate], chosen: Selection) -> list[Candidate]:
    """Candidates with a safe name of their own."""
    usable: dict[str, Candidate] = {}
    for candidate in candidates:
        fault = paths.fault_of(candidate.path)
        key = paths.folded(candidate.path)
        if fault:
            message = f"The file's name {fault}."
            chosen.problems.append(error("file_name", candidate.path, message, "Rename the file and upload again."))
        elif key in usable:
            message = "Two files have the same name, or differ only in capitals."
            remedy = "Upload the files of one adapter only; from a training run, those of one checkpoint."
            chosen.problems.append(error("duplicate_file", candidate.path, message, remedy))
        elif not paths.is_litter(candidate.path):
            usable[key] = candidate
    return list(usable.values())


def _folder(configs: list[Candidate], usable: list[Candidate], chosen: Selection) -> str | None:
    """The folder of the adapter: the shallowest one with a config. None when there are several (said in problems)."""
    if not usable:
        remedy = f"Choose {CONFIG} and {WEIGHTS}, or a zip of the folder that holds them."
        chosen.problems.append(error("no_files", "upload", "No file arrived.", remedy))
        return None
    if not configs:
        weights = [candidate.folder for candidate in usable if candidate.name == WEIGHTS]
        return min(weights or [candidate.folder for candidate in usable], key=lambda name: (name.count("/"), name))
    depth = min(candidate.path.count("/") for candidate in configs)
    shallow = [candidate for candidate in configs if candidate.path.count("/") == depth]
    if len(shallow) > 1:
        found = ", ".join(candidate.folder or "." for candidate in shallow[:5])
        message = f"There are several adapters in the upload: {found}."
        chosen.problems.append(error("several_adapters", CONFIG, message, "Upload them one at a time."))
        return None
    return shallow[0].folder


def _weights(inside: list[Candidate], chosen: Selection) -> Candidate | None:
    """The weights by their name, or the only safetensors file under another name."""
    tensors = [candidate for candidate in inside if candidate.name.lower().endswith(".safetensors")]
    named = [candidate for candidate in tensors if candidate.name == WEIGHTS]
    if not named and len(tensors) == 1:
        message = f"The weights are kept under PEFT's name, {WEIGHTS}."
        chosen.problems.append(note("weights_renamed", tensors[0].path, message))
        named = tensors
    return named[0] if named else None


def _without_config(weights: Candidate | None) -> Problem:
    """Image adapters come as one file without a config; saying so helps more than asking for the config."""
    if weights is not None and starts_like_one(weights.head):
        message = "The names in this file are those of an adapter for an image or video model (kohya, diffusers). "
        return error("image_adapter", weights.path, message + "Brickyard is for language models.")
    return error("config_missing", CONFIG, f"There is no {CONFIG} among the files.", SAVE)


def _check_pointers(chosen: Selection) -> None:
    for candidate in (chosen.config, chosen.weights):
        if candidate is not None and candidate.head.startswith(_POINTER):
            message = f"This is a Git LFS pointer, a short text that stands for {candidate.name}."
            chosen.problems.append(error("lfs_pointer", candidate.path, message))


def _check_sizes(chosen: Selection) -> None:
    if chosen.config is not None and chosen.config.size > MAX_CONFIG:
        message = f"The file is larger than {MAX_CONFIG} bytes, so it is no adapter's config."
        chosen.problems.append(error("config_too_large", chosen.config.path, message, SAVE))
    if chosen.card is not None and chosen.card.size > MAX_CARD:
        message = f"The card is larger than {MAX_CARD} bytes and was left out."
        chosen.problems.append(warning("card_too_large", chosen.card.path, message, "Shorten it and edit it in later."))
        chosen.card = None
    if chosen.weights is not None and is_pickle(chosen.weights):
        chosen.problems.append(pickle_refused(chosen.weights.path))


def _report_others(usable: list[Candidate], chosen: Selection) -> None:
    """Say what becomes of every file that was not picked."""
    picked = [chosen.config, chosen.weights, chosen.card]
    said = {problem.place for problem in chosen.problems if problem.code == "card_too_large"}
    for candidate in usable:
        if any(candidate is one for one in picked):
            continue
        if candidate.path in said:
            continue
        if is_pickle(candidate):
            if chosen.weights is None:
                chosen.problems.append(pickle_refused(candidate.path))
            else:
                message = "Left out: Python pickles are never stored. The safetensors file beside it is used."
                chosen.problems.append(warning("pickle_left_out", candidate.path, message))
        else:
            message = f"Left out: an adapter consists of {CONFIG}, {WEIGHTS} and {CARD}."
            chosen.problems.append(note("left_out", candidate.path, message))
