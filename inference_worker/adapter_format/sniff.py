"""What a weights file really is, judged by its first bytes and never by its name."""

from __future__ import annotations

from inference_worker.adapter_format.faults import error
from inference_worker.contracts.common import Problem
from inference_worker.contracts.conversion import conversion_remedy

PREFIX_BYTES = 512

_CONTAINERS = {
    b"GGUF": "a GGUF file",
    b"\x89HDF": "an HDF5 file",
    b"\x1f\x8b": "a gzip archive",
    b"\x93NUM": "a NumPy file",
}


def sniff(prefix: bytes, place: str) -> Problem | None:
    """The problem with a file that starts with ``prefix`` (up to 512 bytes), or None if it may be safetensors."""
    for check in (_empty, _lfs_pointer, _pickle, _other_container, _markup):
        problem = check(prefix, place)
        if problem is not None:
            return problem
    return None


def _empty(prefix: bytes, place: str) -> Problem | None:
    if prefix:
        return None
    return error("empty_file", place, "The file is empty.", "Upload it again; the transfer may have broken off.")


def _lfs_pointer(prefix: bytes, place: str) -> Problem | None:
    if not prefix.startswith(b"version https://git-lfs.github.com/spec/"):
        return None
    return error(
        "lfs_pointer",
        place,
        "This is a Git LFS pointer, a short text that stands for the weights, and not the weights themselves.",
        "Run `git lfs pull` in your clone and upload the file again; it will be megabytes in size.",
    )


def _pickle(prefix: bytes, place: str) -> Problem | None:
    zipped = prefix.startswith((b"PK\x03\x04", b"PK\x05\x06"))
    # Protocol 2 and later open with PROTO and a version; protocols 0 and 1 with a MARK, a dict, a list or a global.
    # A safetensors header of 640 bytes starts with the same two bytes, but then with zeros up to its opening brace.
    header = prefix[3:8] == bytes(5) and prefix[8:9] == b"{"
    binary = len(prefix) >= 2 and prefix[0] == 0x80 and 2 <= prefix[1] <= 5 and not header
    textual = prefix.startswith((b"(dp", b"(lp", b"ccollections\n", b"ctorch", b"c__builtin__\n", b"cposix\n"))
    textual = textual or prefix.startswith((b"cos\n", b"cnt\n", b"}q", b"]q", b"(d.", b"(l."))
    if not (zipped or binary or textual):
        return None
    what = "a zip archive, as torch.save writes it," if zipped else "a Python pickle"
    return error(
        "pickle_refused",
        place,
        f"This is {what} whatever its name says. Pickles can run code when they are loaded, so they are refused.",
        conversion_remedy(place if place.endswith((".bin", ".pt", ".pth")) else "adapter_model.bin"),
    )


def _other_container(prefix: bytes, place: str) -> Problem | None:
    for magic, kind in _CONTAINERS.items():
        if prefix.startswith(magic):
            return error(
                "not_safetensors",
                place,
                f"This is {kind}, not a safetensors file.",
                "Export the adapter with PEFT's save_pretrained, which writes adapter_model.safetensors.",
            )
    return None


def _markup(prefix: bytes, place: str) -> Problem | None:
    head = prefix.lstrip().lower()
    if not head.startswith((b"<!doctype", b"<html", b"<?xml")):
        return None
    return error(
        "not_safetensors",
        place,
        "This is a web page, not a safetensors file; a download probably ended on an error or login page.",
        "Download the weights again and upload the file itself.",
    )
