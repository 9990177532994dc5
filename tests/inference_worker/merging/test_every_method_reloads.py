"""Every method writes adapters that PEFT loads and that do what their numbers say; none leaves half a result."""

from __future__ import annotations

import hashlib
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from reference import method_table as table
from reference.by_hand import logits_by_hand
from reference.random_factors import write_random
from reference.reloading import Reloader
from reference.tiny_adapters import logits, make_adapter, tiny_gpt2, tiny_llama

from inference_worker.adapter_format import open_directory
from inference_worker.adapter_format.reader import AdapterReader
from inference_worker.errors import BadInput, Cancelled, Refused
from inference_worker.merging import METHODS, loading, merge_adapters

EVERY = sorted(METHODS)
CONV1D: dict[str, Any] = {"base": tiny_gpt2, "targets": ["c_attn", "c_fc"], "fan_in_fan_out": True}
PATTERNS: dict[str, Any] = {"rank_pattern": {"q_proj": 2}, "alpha_pattern": {"up_proj": 3, r".*1.*q_proj": 5}}

#: Config flags as options of two parents, the second of which always is another adapter.
FLAGS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "plain": ({}, {"lora_alpha": 3}),
    "rslora": ({"use_rslora": True}, {}),
    "patterns": (PATTERNS, PATTERNS),
    "conv1d": (CONV1D, CONV1D),
    "embedding": ({"targets": ["embed_tokens", "q_proj"]}, {"targets": ["embed_tokens", "lm_head"]}),
    "layers": ({"layers_to_transform": [1]}, {}),
    "regex": ({"targets": r".*layers\.[01]\..*(q|v)_proj"}, {}),
    "modules_to_save": ({"modules_to_save": ["lm_head", "input_layernorm"]}, {}),
    "bias": ({"bias": "all"}, {"targets": ["k_proj"]}),
    "lora_bias": ({"lora_bias": True, "targets": ["q_proj"]}, {"targets": ["q_proj"]}),
    "trainable_tokens": ({"trainable_token_indices": [1, 5]}, {}),
}
#: Sums, in which biases of the updates (lora_bias) add up; every other method refuses them by name.
ADD_BIASES = ("cat", "svd", "linear", "task_arithmetic", "lorahub", "lora_soup")


@pytest.mark.parametrize("flags", sorted(FLAGS))
def test_merge_of_two_reloads_with_every_method(flags: str, tmp_path: Path) -> None:
    base = FLAGS[flags][0].get("base", tiny_llama)
    parents = [make_adapter(tmp_path / f"p{seed}", seed, **own) for seed, own in enumerate(FLAGS[flags])]
    readers = [open_directory(parent) for parent in parents]
    untouched, reloader = logits(base()), Reloader(base)
    for method in EVERY:
        out = tmp_path / method
        if flags == "lora_bias" and method not in ADD_BIASES:
            with pytest.raises(Refused, match=r"p0 has \(lora_bias\)"):
                merge_adapters(readers, [0.7, -0.4], method, out)
            assert not out.exists()
            continue
        merge_adapters(readers, [0.7, -0.4], method, out, rank=table.wanted_rank(method, 3))
        loaded = reloader.logits(out)
        torch.testing.assert_close(loaded, logits_by_hand(out, base), rtol=0, atol=3e-5)
        assert not torch.allclose(loaded, untouched, atol=1e-3), method


@pytest.mark.parametrize("method", EVERY)
def test_dora_is_refused_in_a_merge_of_two(method: str, tmp_path: Path) -> None:
    dora = make_adapter(tmp_path / "dora", 1, use_dora=True)
    readers = [open_directory(dora), write_random(tmp_path / "plain", 2)]
    with pytest.raises(Refused, match="dora cannot be merged: its magnitudes"):
        merge_adapters(readers, [1.0, 1.0], method, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("method", sorted(table.NOT_ALONE))
@pytest.mark.parametrize("weights", [[1.0], [1.0, 0.0], [1.0, 1.0, 1.0]])
def test_methods_for_two_refuse_other_numbers(method: str, weights: list[float], tmp_path: Path) -> None:
    readers = [write_random(tmp_path / str(seed), seed) for seed in range(len(weights))]
    with pytest.raises(BadInput, match=table.NOT_ALONE[method]):
        merge_adapters(readers, weights, method, tmp_path / "out")


@pytest.fixture
def readers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[AdapterReader]:
    monkeypatch.setattr(loading, "GROUP_BYTES", 4000)  # a group per module
    return [write_random(tmp_path / str(seed), seed) for seed in range(2)]


@pytest.mark.parametrize("method", EVERY)
def test_bytes_do_not_depend_on_threads(method: str, readers: list[AdapterReader], tmp_path: Path) -> None:
    digests = set()
    for threads in (1, 3):
        out = tmp_path / f"by {threads}"
        merge_adapters(readers, [1.0, -0.5], method, out, threads=threads, seed=5)
        digests.add(tuple(hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(out.iterdir())))
    assert len(digests) == 1


@pytest.mark.parametrize("method", EVERY)
def test_cancelling_leaves_nothing(method: str, readers: list[AdapterReader], tmp_path: Path) -> None:
    for limit in (0.2, 0.98):

        def stop(fraction: float, message: str, limit: float = limit) -> None:
            if fraction >= limit:
                raise Cancelled("taken back")

        with pytest.raises(Cancelled):
            merge_adapters(readers, [1.0, 1.0], method, tmp_path / "out", threads=2, progress=stop)
        assert not list((tmp_path / "out").glob("*"))


_KILLED = """
import sys
from pathlib import Path
from inference_worker.adapter_format import open_directory
from inference_worker.merging import loading, merge_adapters

loading.GROUP_BYTES = 4000

def progress(fraction, message):
    if fraction >= float(sys.argv[2]):
        print("here", flush=True)
        sys.stdin.read()

folder = Path(sys.argv[1])
readers = [open_directory(folder / name) for name in ("0", "1")]
merge_adapters(readers, [1.0, 1.0], "knots", folder / "out", progress=progress)
"""


@pytest.mark.parametrize("limit", ["0.2", "0.98"])
def test_killing_leaves_nothing_that_looks_finished(limit: str, readers: list[AdapterReader], tmp_path: Path) -> None:
    command = [sys.executable, "-c", _KILLED, str(tmp_path), limit]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "here\n"
        process.send_signal(signal.SIGKILL)
    out = tmp_path / "out"
    assert not [name for name in ("adapter_config.json", "adapter_model.safetensors") if (out / name).exists()]
    with pytest.raises(BadInput, match=r"no adapter_config\.json"):
        open_directory(out)
    # The next attempt is not in the way of what the last one left.
    merge_adapters(readers, [1.0, 1.0], "knots", out)
    with open_directory(out) as merged:
        assert len(merged.modules) == 4
