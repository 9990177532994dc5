"""Build safetensors files byte by byte, right and wrong ones."""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path
from typing import Any


def safetensors(table: Any, data: bytes, *, length: int | None = None, raw_header: bytes | None = None) -> bytes:
    header = json.dumps(table).encode() if raw_header is None else raw_header
    return struct.pack("<Q", len(header) if length is None else length) + header + data


def entry(shape: list[int], start: int, end: int, dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


def safetensors_table(shapes: dict[str, tuple[int, ...]], dtype: str) -> tuple[bytes, int]:
    """The header of a file with these tensors one after the other, and the whole file's size."""
    table, position, item = {}, 0, {"F64": 8, "F32": 4}.get(dtype, 2)
    for name, shape in shapes.items():
        end = position + item * math.prod(shape)
        table[name] = entry(list(shape), position, end, dtype)
        position = end
    header = safetensors(table, b"")
    return header, len(header) + position


GOOD = {"a.lora_A.weight": entry([2, 3], 0, 24), "a.lora_B.weight": entry([4, 2], 24, 56)}


def one(name: str = "a", **changes: Any) -> bytes:
    return safetensors({name: {**entry([2], 0, 8), **changes}}, bytes(8))


#: Name -> (bytes, code of the problem).
HEADERS: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "empty_file"),
    "nine bytes": (b"\x01" * 9, "truncated"),
    "lfs pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n", "lfs_pointer"),
    "pickle": (b"\x80\x02}q\x00.", "pickle_refused"),
    "pickle protocol 0": (b"(dp0\nS'a'\np1\n.", "pickle_refused"),
    "torch zip": (b"PK\x03\x04" + bytes(60), "pickle_refused"),
    "gguf": (b"GGUF" + bytes(60), "not_safetensors"),
    "web page": (b"\n<!DOCTYPE html><html>not found</html>", "not_safetensors"),
    "noise": (b"\x10\x00\x00\x00\x00\x00\x00\x00" + b"x" * 30, "not_safetensors"),
    "huge header claim": (safetensors({}, b"", length=2**63, raw_header=b"{}" + bytes(20)), "header_too_large"),
    "99 MB header claim": (safetensors({}, b"", length=99_000_000, raw_header=b"{}" + bytes(20)), "header_too_large"),
    "header beyond the end": (safetensors({}, b"", length=500, raw_header=b"{}" + bytes(20)), "truncated"),
    "no JSON": (safetensors({}, bytes(8), raw_header=b'{"a": '), "header_not_json"),
    "no UTF-8": (safetensors({}, bytes(8), raw_header=b'{"\xff\xfe": 1}'), "header_not_json"),
    "NaN in the header": (safetensors({}, bytes(8), raw_header=b'{"a": NaN}'), "header_not_json"),
    "deep header": (safetensors({}, b"", raw_header=b'{"a":' * 9000 + b"1" + b"}" * 9000), "header_not_json"),
    "long number": (safetensors({}, b"", raw_header=b'{"a": ' + b"9" * 9000 + b"}"), "header_not_json"),
    "duplicate key": (
        safetensors({}, bytes(8), raw_header=b'{"a":' + json.dumps(entry([2], 0, 8)).encode() + b',"a":1}'),
        "duplicate_tensor",
    ),
    "no tensors": (safetensors({"__metadata__": {"format": "pt"}}, b""), "no_tensors"),
    "metadata of numbers": (safetensors({"__metadata__": {"a": 1}, **GOOD}, bytes(56)), "bad_metadata"),
    "much metadata": (safetensors({"__metadata__": {"a": "x" * 200_000}, **GOOD}, bytes(56)), "bad_metadata"),
    "metadata of half a character": (
        safetensors({}, bytes(8), raw_header=b'{"__metadata__": {"a": "\\ud800"}, "a": 1}'),
        "bad_metadata",
    ),
    "100,000 tensors": (safetensors({f"t{i}": 0 for i in range(100_000)}, b""), "header_too_large"),
    "name of another script": (one("\u0430"), "bad_tensor_name"),
    "name that turns round": (one("a\u202eb"), "bad_tensor_name"),
    "complex numbers": (one(dtype="C64"), "dtype_refused"),
    "truth values": (one(dtype="BOOL", shape=[8]), "dtype_refused"),
    "offsets beyond 64 bits": (one(data_offsets=[0, 2**64]), "bad_tensor_entry"),
    "offsets the wrong way round": (one(data_offsets=[8, 0]), "bad_offsets"),
    "tar archive": (b"adapter.pkl".ljust(257, b"\0") + b"ustar\x00", "not_safetensors"),
    "too many tensors": (
        safetensors({f"t{i}": entry([1], 2 * i, 2 * i + 2, "F16") for i in range(10_001)}, bytes(20_002)),
        "too_many_tensors",
    ),
    "path as a name": (one("../../x"), "bad_tensor_name"),
    "NUL in a name": (one("a\0b"), "bad_tensor_name"),
    "newline after a name": (one("a\n"), "bad_tensor_name"),
    "two dots": (one("a..b"), "bad_tensor_name"),
    "long name": (one("a" * 300), "bad_tensor_name"),
    "entry is a list": (safetensors({"a": [1]}, b""), "bad_tensor_entry"),
    "extra field": (one(extra=1), "bad_tensor_entry"),
    "negative shape": (one(shape=[-2]), "bad_tensor_entry"),
    "shape of truth": (one(shape=[True, 2]), "bad_tensor_entry"),
    "shape of text": (one(shape="2"), "bad_tensor_entry"),
    "negative offsets": (one(data_offsets=[-8, 0]), "bad_tensor_entry"),
    "three offsets": (one(data_offsets=[0, 4, 8]), "bad_tensor_entry"),
    "shape overflow": (one(shape=[2**40, 2**40]), "bad_offsets"),
    "nine dimensions": (one(shape=[1] * 8 + [2]), "bad_tensor_entry"),
    "zero size": (
        safetensors({"a": entry([2], 0, 8), "b": entry([0, 4], 8, 8)}, bytes(8)),
        "zero_size_tensor",
    ),
    "int8": (one(dtype="I8", shape=[8]), "dtype_refused"),
    "float8": (one(dtype="F8_E4M3", shape=[8]), "dtype_refused"),
    "unknown dtype": (one(dtype=["F32"]), "dtype_refused"),
    "size does not fit": (one(shape=[3]), "bad_offsets"),
    "hole at the start": (safetensors({"a": entry([2], 8, 16)}, bytes(16)), "bad_offsets"),
    "hole in the middle": (
        safetensors({"a": entry([2], 0, 8), "b": entry([2], 12, 20)}, bytes(20)),
        "bad_offsets",
    ),
    "overlap": (safetensors({"a": entry([2], 0, 8), "b": entry([2], 4, 12)}, bytes(12)), "bad_offsets"),
    "same bytes twice": (safetensors({"a": entry([2], 0, 8), "b": entry([2], 0, 8)}, bytes(8)), "bad_offsets"),
    "data cut off": (safetensors(GOOD, bytes(40)), "truncated"),
    "trailing bytes": (safetensors(GOOD, bytes(57)), "trailing_bytes"),
}

_PLAIN = {"peft_type": "LORA", "r": 2, "lora_alpha": 2, "target_modules": ["a"]}


def _config(**changes: Any) -> bytes:
    return json.dumps({**_PLAIN, **changes}).encode()


#: Name -> (bytes of adapter_config.json, code of the problem).
CONFIGS: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "empty_file"),
    "pickle": (b"\x80\x04\x95" + bytes(9), "pickle_refused"),
    "a list": (b"[]", "config_not_json"),
    "no JSON": (b"{", "config_not_json"),
    "no UTF-8": (b'{"r": "\xff"}', "config_not_json"),
    "half a character": (b'{"peft_type": "LORA", "revision": "\\ud800"}', "config_not_json"),
    "byte order mark": (b"\xef\xbb\xbf{}", "config_not_json"),
    "infinite": (b'{"lora_alpha": Infinity}', "config_not_json"),
    "duplicate key": (b'{"peft_type": "LORA", "r": 1, "r": 2}', "config_not_json"),
    "very deep": (b'{"a":' * 5000 + b"1" + b"}" * 5000, "config_not_json"),
    "deep": (_config(extra=[[[[[[[[[[[[[[]]]]]]]]]]]]]]), "config_too_deep"),
    "large": (_config(extra="x" * 1_100_000), "config_too_large"),
    "no type": (b'{"r": 2}', "peft_type_missing"),
    "prefix tuning": (_config(peft_type="PREFIX_TUNING"), "peft_type_refused"),
    "type is a table": (_config(peft_type={"a": 1}), "peft_type_refused"),
    "remote code": (_config(trust_remote_code=True), "remote_code_refused"),
    "mapping to code": (
        _config(auto_mapping={"parent_library": "os", "base_model_class": "system"}),
        "remote_code_refused",
    ),
    "mapping of text": (_config(auto_mapping="x"), "remote_code_refused"),
    "module that PEFT would import": (_config(megatron_config={}, megatron_core="os.path"), "remote_code_refused"),
    "module without its config": (_config(megatron_core="os.path"), "remote_code_refused"),
    "table that is text": (_config(eva_config="x"), "bad_flag"),
    "unknown initialisation": (_config(init_lora_weights="(a+)+$"), "bad_flag"),
    "pattern without layers": (_config(layers_pattern="layers"), "bad_layers"),
    "pattern is false": (_config(rank_pattern=False), "bad_pattern"),
    "long whole number": (b'{"peft_type": "LORA", "r": ' + b"9" * 5000 + b"}", "config_not_json"),
    "rank beyond 64 bits": (_config(r=10**400), "bad_rank"),
    "target that hangs": (_config(target_modules="(a+)+$|((a*)*)*b|a"), ""),
    "rank zero": (_config(r=0), "bad_rank"),
    "rank of truth": (_config(r=True), "bad_rank"),
    "rank of text": (_config(r="8"), "bad_rank"),
    "huge rank": (_config(r=10**6), "bad_rank"),
    "alpha of text": (_config(lora_alpha="16"), "bad_alpha"),
    "alpha overflow": (b'{"peft_type": "LORA", "lora_alpha": 1e999}', "bad_alpha"),
    "pattern of text": (_config(rank_pattern={"a": "8"}), "bad_pattern"),
    "pattern is a list": (_config(alpha_pattern=[1]), "bad_pattern"),
    "targets of numbers": (_config(target_modules=[1]), "bad_target_modules"),
    "saved as text": (_config(modules_to_save="lm_head"), "bad_modules_to_save"),
    "flag of text": (_config(use_dora="yes"), "bad_flag"),
    "unknown bias": (_config(bias="some"), "bad_flag"),
    "base is a list": (_config(base_model_name_or_path=["x"]), "bad_text"),
    "pattern that hangs": (_config(alpha_pattern={"(a|a|aa)+(b|c)*$x": 1, "((a*)*)*b": 3}), ""),
    "not a pattern": (_config(alpha_pattern={"(": 1}), "bad_pattern"),
    "target that is no pattern": (_config(target_modules="(["), "bad_pattern"),
}


def write_pair(directory: Path, config: bytes = _config(), weights: bytes = safetensors(GOOD, bytes(56))) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "adapter_config.json").write_bytes(config)
    (directory / "adapter_model.safetensors").write_bytes(weights)
    return directory
