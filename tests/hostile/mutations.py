"""Small changes to good files: of bytes, and of what the bytes mean. Every change follows from a seed alone."""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Files = dict[str, bytes]
CONFIG, WEIGHTS, CARD = "adapter_config.json", "adapter_model.safetensors", "README.md"

#: Values that readers of JSON, shapes and offsets like to stumble over.
ODD: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    1,
    2,
    7,
    255,
    2**31,
    2**32 - 1,
    2**48,
    2**53,
    2**63,
    2**64,
    -(2**63),
    10**400,
    0.5,
    1e308,
    -0.0,
    "",
    "0",
    "F32",
    "\0",
    "../..",
    "a" * 70_000,
    "\ud800",
    "\u202e",
    "(a+)+$",
    "(?P<x>",
    ".*",
    "all-linear",
    [],
    [[]],
    [0],
    [1, 2],
    [-1],
    ["x", 1],
    {},
    {"a": 1},
    {"__class__": "os.system"},
    {"parent_library": "os"},
)
DTYPES = ("F64", "F32", "F16", "BF16", "I8", "U8", "I64", "F8_E4M3", "BOOL", "F4", "C64", "f32", "")
NAMES = (
    "..",
    "../x",
    "a/b",
    "a\0b",
    "a\nb",
    "",
    "base_model.model.",
    "base_model.model.base_model.model.x.lora_A.weight",
    "lora_unet_down.lora_up.weight",
    "x.lora_A.default.weight",
    "ｘ",
    "e\u0301",
    "__metadata__",
    "a" * 300,
    "x.hada_w1_a",
)


@dataclass(frozen=True)
class Mutation:
    """What was done (for the report of a finding), and the files afterwards."""

    kind: str
    files: Files


def split(weights: bytes) -> tuple[Any, bytes]:
    """(table, data) of a good safetensors file."""
    (length,) = struct.unpack_from("<Q", weights)
    return json.loads(weights[8 : 8 + length]), weights[8 + length :]


def join(table: Any, data: bytes, *, raw: bytes | None = None) -> bytes:
    header = json.dumps(table).encode() if raw is None else raw
    return struct.pack("<Q", len(header)) + header + data


# --- any bytes -------------------------------------------------------------------------------------------------------
def edit_bytes(data: bytes, chance: random.Random, *, start: int = 0, stop: int | None = None) -> bytes:
    """One to four changes of single bits, bytes or stretches between ``start`` and ``stop``."""
    changed = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        end = min(len(changed), len(changed) if stop is None else stop)
        at = chance.randrange(start, end) if end > start else start
        how = chance.randrange(6)
        if how == 0 and at < len(changed):
            changed[at] ^= 1 << chance.randrange(8)
        elif how == 1 and at < len(changed):
            changed[at] = chance.choice((0, 0xFF, 0x7F, 0x80, 34, 91, 92, 123, 125, 44, chance.randrange(256)))
        elif how == 2:
            changed[at:at] = chance.randbytes(chance.randint(1, 8))
        elif how == 3:
            del changed[at : at + chance.randint(1, 16)]
        elif how == 4:
            stretch = changed[at : at + chance.randint(1, 64)]
            changed[at:at] = stretch
        else:
            del changed[at:]
    return bytes(changed)


# --- weights ---------------------------------------------------------------------------------------------------------
def header_bytes(weights: bytes, chance: random.Random) -> bytes:
    (length,) = struct.unpack_from("<Q", weights)
    return edit_bytes(weights, chance, stop=8 + length)


def header_length(weights: bytes, chance: random.Random) -> bytes:
    (length,) = struct.unpack_from("<Q", weights)
    other = chance.choice((0, 1, length - 1, length + 1, length + 8, 2 * length, 10**6, 10**8, 2**63, 2**64 - 1))
    return struct.pack("<Q", other) + weights[8:]


def offsets(weights: bytes, chance: random.Random) -> bytes:
    table, data = split(weights)
    for _ in range(chance.randint(1, 3)):
        entry = table[chance.choice([name for name in table if name != "__metadata__"])]
        pair, which = entry["data_offsets"], chance.randrange(4)
        if not (isinstance(pair, list) and len(pair) == 2 and all(isinstance(item, int) for item in pair)):
            continue
        if which == 3:
            other = table[chance.choice([name for name in table if name != "__metadata__"])]
            entry["data_offsets"], other["data_offsets"] = other["data_offsets"], pair
        elif which == 2:
            entry["data_offsets"] = chance.choice(
                ([pair[1], pair[0]], pair[:1], [*pair, 0], [pair[0], pair[0]], "x", None)
            )
        else:
            shift = chance.choice((-(2**40), -8, -4, -1, 1, 2, 4, 8, 64, 2**31, 2**62))
            entry["data_offsets"] = [pair[0] + shift * (which == 0), pair[1] + shift]
    return join(table, data)


def entries(weights: bytes, chance: random.Random) -> bytes:
    """Shapes, types and names; entries that go, come twice or hold nothing."""
    table, data = split(weights)
    for _ in range(chance.randint(1, 3)):
        names = [name for name in table if name != "__metadata__"]
        if not names:
            break
        name = chance.choice(names)
        entry = table[name]
        how = chance.randrange(9) if isinstance(entry, dict) else 5
        if how == 0:
            entry["dtype"] = chance.choice(DTYPES)
        elif how == 1 and isinstance(shape := entry.get("shape"), list):
            entry["shape"] = chance.choice((shape[::-1], [*shape, 1], shape[1:], [], [0, 4]))
        elif how == 2:
            entry["shape"] = [chance.choice(ODD) for _ in range(chance.randint(0, 9))]
        elif how == 3:
            entry[chance.choice(("dtype", "shape", "data_offsets", "extra"))] = chance.choice(ODD)
        elif how == 4:
            table[chance.choice(NAMES)] = table.pop(name)
        elif how == 5:
            del table[name]
        elif how == 6:
            pair = entry.get("data_offsets")
            at = pair[0] if isinstance(pair, list) and pair else 0
            table[f"{name}.none"] = {"dtype": "F32", "shape": [0, 3], "data_offsets": [at, at]}
        elif how == 7:
            table[f"{name}.again"] = dict(entry)
        else:
            table[name] = chance.choice(ODD)
    return join(table, data)


def raw_header(weights: bytes, chance: random.Random) -> bytes:
    """What a table cannot express: the same key twice, metadata of all kinds, nesting, spaces."""
    table, data = split(weights)
    text = json.dumps(table)
    name = json.dumps(chance.choice(list(table)))
    how = chance.randrange(7)
    if how == 0:
        text = f"{text[:-1]}, {name}: {json.dumps(table[json.loads(name)])}}}"
    elif how == 1:
        text = json.dumps({**table, "__metadata__": chance.choice(ODD)})
    elif how == 2:
        text = json.dumps({**table, "__metadata__": {"format": "pt", "x": "y" * chance.choice((10, 99_000, 300_000))}})
    elif how == 3:
        text = f'{text[:-1]}, "deep": {"[" * 5000}{"]" * 5000}}}'
    elif how == 4:
        text = chance.choice((" ", "\n", "\ufeff", "\0")) * chance.randint(1, 9) + text
    elif how == 5:
        text += chance.choice((" ", "\0", "\n", "x", "{}", "]")) * chance.randint(1, 9)
    else:
        text = text.replace(":", chance.choice((": NaN,", ": Infinity,", ":: ", "=")), 1)
    return join(None, data, raw=text.encode("utf-8", "surrogatepass"))


def numbers(weights: bytes, chance: random.Random) -> bytes:
    """The tensors' own bytes: noise, NaN and infinity in each type, zeros, a file that is cut or too long."""
    (length,) = struct.unpack_from("<Q", weights)
    data = bytearray(weights[8 + length :])
    at = chance.randrange(max(1, len(data) // 8)) * 8
    how = chance.randrange(6)
    if how == 0:
        data[at : at + 4] = struct.pack("<f", chance.choice((float("nan"), float("inf"), -float("inf"))))
    elif how == 1:
        data[at : at + 2] = struct.pack("<H", chance.choice((0x7C00, 0xFC01, 0x7F80, 0xFF81)))
    elif how == 2:
        data[at : at + 64] = chance.randbytes(len(data[at : at + 64]))
    elif how == 3:
        data[:] = bytes(len(data))
    elif how == 4:
        del data[chance.randrange(len(data)) :]
    else:
        data += chance.randbytes(chance.randint(1, 64))
    return weights[: 8 + length] + bytes(data)


# --- config ----------------------------------------------------------------------------------------------------------
def config_bytes(config: bytes, chance: random.Random) -> bytes:
    return edit_bytes(config, chance)


def config_values(config: bytes, chance: random.Random) -> bytes:
    table = json.loads(config)
    for _ in range(chance.randint(1, 3)):
        key = chance.choice([*table, "auto_mapping", "trust_remote_code", "layers_pattern", "runtime_config", "new"])
        if chance.random() < 0.25:
            table.pop(key, None)
        elif chance.random() < 0.15 and isinstance(table.get(key), list):
            table[key] = [*table[key], chance.choice(ODD)]
        else:
            table[key] = chance.choice(ODD)
    return json.dumps(table).encode("utf-8", "surrogatepass")


def config_text(config: bytes, chance: random.Random) -> bytes:
    text = config.decode()
    how = chance.randrange(5)
    if how == 0:
        text = text.replace("{", '{"peft_type": "LORA", "r": 1,', 1)
    elif how == 1:
        text = text.rstrip()[:-1] + f', "deep": {"{" * 0}{"[" * 3000}{"]" * 3000}}}'
    elif how == 2:
        text = text.rstrip()[:-1] + f', "number": {"9" * chance.choice((30, 5000))}}}'
    elif how == 3:
        text = (
            chance.choice(("\ufeff", "\x80\x04", "PK\x03\x04", "version https://git-lfs.github.com/spec/v1\n")) + text
        )
    else:
        text = text.replace(":", chance.choice((": NaN //", ": 1e999, ", ": -")), 1)
    return text.encode("utf-8", "surrogatepass")


Change = Callable[[bytes, random.Random], bytes]
OF_WEIGHTS: tuple[Change, ...] = (
    edit_bytes,
    header_bytes,
    header_length,
    offsets,
    entries,
    entries,
    raw_header,
    numbers,
)
OF_CONFIG: tuple[Change, ...] = (config_bytes, config_values, config_values, config_text)


def mutate_adapter(good: Files, chance: random.Random) -> Mutation:
    """One file changed, or both; sometimes changed twice."""
    files, kinds = dict(good), []
    targets = chance.choice(((WEIGHTS,), (WEIGHTS,), (CONFIG,), (CONFIG,), (WEIGHTS, CONFIG)))
    for name in targets:
        change = chance.choice(OF_WEIGHTS if name == WEIGHTS else OF_CONFIG)
        kinds.append(change.__name__)
        files[name] = change(files[name], chance)
        if chance.random() < 0.1:
            files[name] = edit_bytes(files[name], chance)
            kinds.append("edit_bytes")
    return Mutation("+".join(kinds), files)
