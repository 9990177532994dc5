"""What is read of a base without its weights: names and shapes as PEFT has them, for every task."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from tiny_bases import ARCHITECTURES, save_base
from torch import nn
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    BertConfig,
    DistilBertConfig,
    LlamaConfig,
    MixtralConfig,
    PreTrainedConfig,
    Qwen3MoeConfig,
    T5Config,
)

from inference_worker.contracts.bases import ANY_TASK, BaseShapesResult
from inference_worker.contracts.common import BaseFiles
from inference_worker.errors import BadInput, Refused
from inference_worker.serving.base_config import MAX_CONFIG_BYTES
from inference_worker.serving.base_shapes import read_base_shapes

BERT = BertConfig(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24, vocab_size=99)
DISTILBERT = DistilBertConfig(dim=16, n_layers=2, n_heads=2, hidden_dim=24, vocab_size=99)
T5 = T5Config(d_model=16, d_kv=8, d_ff=24, num_layers=2, num_decoder_layers=2, num_heads=2, vocab_size=99)
LLAMA = ARCHITECTURES["llama"][0]


def write(folder: Path, config: PreTrainedConfig | dict[str, Any], architecture: str = "", **changes: Any) -> BaseFiles:
    raw = config if isinstance(config, dict) else json.loads(config.to_json_string(use_diff=False))
    raw = {**raw, **({"architectures": [architecture]} if architecture else {}), **changes}
    (folder / "config.json").write_text(json.dumps(raw))
    return BaseFiles(name="tiny", source=str(folder))


def as_peft_names_them(auto: Any, config: PreTrainedConfig, task: str, targets: Any) -> dict[str, tuple[int, int]]:
    """(d_out, d_in) of the modules of an adapter that PEFT itself makes."""
    options = {"task_type": task} if task else {}
    fan_in = config.model_type == "gpt2"
    lora = peft.LoraConfig(r=2, target_modules=targets, fan_in_fan_out=fan_in, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PEFT has advice about tied embeddings.
        model = peft.get_peft_model(auto.from_config(config), lora)
        state = peft.get_peft_model_state_dict(model, save_embedding_layers=False)
    found = {}
    for name, b in state.items():
        for part, other in ((".lora_B.weight", ".lora_A.weight"), (".lora_embedding_B", ".lora_embedding_A")):
            if name.endswith(part):
                module = name.removeprefix("base_model.model.").removesuffix(part)
                found[module] = (b.shape[0], state[name.replace(part, other)].shape[1])
    assert found
    return found


def fits(result: BaseShapesResult, task: str, modules: dict[str, tuple[int, int]]) -> bool:
    known = {**result.shapes, **result.variants.get(ANY_TASK, {}), **result.variants.get(task, {})}
    return all(known.get(name) == shape for name, shape in modules.items())


@pytest.mark.parametrize("architecture", list(ARCHITECTURES))
def test_language_models_are_named_as_peft_names_them(architecture: str, tmp_path: Path) -> None:
    config, targets = ARCHITECTURES[architecture]
    result = read_base_shapes(write(tmp_path, config))
    assert result.task == "CAUSAL_LM"
    embedding = next(name for name, shape in result.shapes.items() if shape[1] == config.vocab_size)
    for wanted in (targets, "all-linear", [embedding.rpartition(".")[2]]):
        assert fits(result, "CAUSAL_LM", as_peft_names_them(AutoModelForCausalLM, config, "CAUSAL_LM", wanted))
    headless = as_peft_names_them(AutoModel, config, "FEATURE_EXTRACTION", targets)
    assert fits(result, "FEATURE_EXTRACTION", headless)
    # Some names differ without the head; where they do, they count for that task alone.
    assert fits(result, "CAUSAL_LM", headless) == (set(headless) <= set(result.shapes))


@pytest.mark.parametrize(
    ("config", "architecture", "task", "others"),
    [
        (
            BERT,
            "BertForMaskedLM",
            "MASKED_LM",
            [
                ("SEQ_CLS", AutoModelForSequenceClassification, ["query", "value"]),
                ("TOKEN_CLS", AutoModelForTokenClassification, ["query", "dense"]),
                ("FEATURE_EXTRACTION", AutoModel, ["query", "word_embeddings"]),
            ],
        ),
        (
            DISTILBERT,
            "DistilBertForMaskedLM",
            "MASKED_LM",
            [("SEQ_CLS", AutoModelForSequenceClassification, ["q_lin", "lin1"])],
        ),
        (BERT, "BertForSequenceClassification", "SEQ_CLS", [("FEATURE_EXTRACTION", AutoModel, ["query"])]),
        (
            T5,
            "T5ForConditionalGeneration",
            "SEQ_2_SEQ_LM",
            [
                ("SEQ_2_SEQ_LM", AutoModelForSeq2SeqLM, ["q", "v", "wo"]),
                ("SEQ_CLS", AutoModelForSequenceClassification, ["q"]),
            ],
        ),
        (LLAMA, "LlamaModel", "FEATURE_EXTRACTION", [("CAUSAL_LM", AutoModelForCausalLM, ["q_proj", "down_proj"])]),
        (
            LLAMA,
            "LlamaForCausalLM",
            "CAUSAL_LM",
            [("SEQ_CLS", AutoModelForSequenceClassification, ["q_proj", "up_proj"])],
        ),
    ],
)
def test_every_task_has_its_own_names(
    config: PreTrainedConfig, architecture: str, task: str, others: list[Any], tmp_path: Path
) -> None:
    result = read_base_shapes(write(tmp_path, config, architecture))
    assert result.task == task
    for other, auto, targets in others:
        assert fits(result, other, as_peft_names_them(auto, config, other, targets)), other


def test_conv1d_and_embeddings_are_the_right_way_round(tmp_path: Path) -> None:
    shapes = read_base_shapes(write(tmp_path, ARCHITECTURES["gpt2"][0])).shapes
    assert shapes["transformer.h.0.attn.c_attn"] == (96, 32)
    assert shapes["transformer.h.0.mlp.c_proj"] == (32, 128)
    assert shapes["transformer.wte"] == (32, 320)
    assert shapes["lm_head"] == (320, 32)  # tied to wte, and still a module of its own


def test_tied_weights_are_counted_once(tmp_path: Path) -> None:
    config = LLAMA.to_dict()
    tied = read_base_shapes(write(tmp_path, config, tie_word_embeddings=True))
    untied = read_base_shapes(write(tmp_path, config, tie_word_embeddings=False))
    assert tied.shapes == untied.shapes
    assert tied.fingerprint == untied.fingerprint
    assert untied.parameters - tied.parameters == 320 * 32


def test_former_names_of_experts_and_inner_language_models(tmp_path: Path) -> None:
    """Adapters made while every expert was three linear layers keep those names."""
    sizes: dict[str, Any] = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 99}
    mixtral = MixtralConfig(**sizes, intermediate_size=24, num_key_value_heads=2, num_local_experts=3)
    former = read_base_shapes(write(tmp_path, mixtral)).variants[ANY_TASK]
    layer = "model.layers.0.block_sparse_moe"
    assert former[f"{layer}.gate"] == (3, 16)
    assert former[f"{layer}.experts.2.w1"] == former[f"{layer}.experts.2.w3"] == (24, 16)
    assert former[f"{layer}.experts.2.w2"] == (16, 24)
    assert f"{layer}.experts.3.w1" not in former
    qwen = Qwen3MoeConfig(**sizes, moe_intermediate_size=8, num_experts=2, num_key_value_heads=2, head_dim=8)
    former = read_base_shapes(write(tmp_path, qwen)).variants[ANY_TASK]
    assert former["model.layers.0.mlp.experts.1.down_proj"] == (16, 8)
    inner = {
        **sizes, "model_type": "gemma3_text", "intermediate_size": 24, "num_key_value_heads": 2, "head_dim": 8,
    }  # fmt: skip
    vision = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 24}
    gemma = {"model_type": "gemma3", "text_config": inner, "vision_config": vision}
    result = read_base_shapes(write(tmp_path, gemma))
    assert result.shapes["model.language_model.layers.0.self_attn.q_proj"] == (16, 16)
    assert result.variants[ANY_TASK]["language_model.model.layers.0.self_attn.q_proj"] == (16, 16)


@pytest.mark.parametrize(
    "quantisation",
    [
        {"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": "nf4"},
        {"quant_method": "gptq", "bits": 4, "group_size": 128},
        {"quant_method": "awq", "bits": 4},
        {"quant_method": "unheard-of"},
    ],
)
def test_quantised_copies_have_the_shapes_of_the_whole_model(quantisation: Any, tmp_path: Path) -> None:
    plain = read_base_shapes(write(tmp_path, LLAMA))
    copy = read_base_shapes(write(tmp_path, LLAMA, quantization_config=quantisation))
    assert (copy.shapes, copy.fingerprint) == (plain.shapes, plain.fingerprint)
    assert plain.notes == ()
    assert "quantised copy" in copy.notes[0]


@pytest.mark.parametrize(
    "changes",
    [
        {"num_hidden_layers": 10**9},
        {"num_hidden_layers": 1e18},
        {"model_type": "gpt2", "n_layer": 10**9},
        {"model_type": "t5", "num_layers": 10**9},
        {"model_type": "t5", "num_decoder_layers": 10**9},
        {"model_type": "mixtral", "num_local_experts": 10**9},
        {"model_type": "qwen3_moe", "num_experts": 4000, "num_hidden_layers": 900},
        {"model_type": "gemma3", "text_config": {"num_hidden_layers": 10**7}},
        {"hidden_size": 10**12},
        {"vocab_size": 10**10},
        {"num_labels": 10**8},
        {"model_type": "bert", "text": [[[[{"layers": 5000}]]]]},
    ],
)
def test_configs_out_of_bounds_are_refused_at_once(changes: dict[str, Any], tmp_path: Path) -> None:
    files = write(tmp_path, {"model_type": "llama"}, **changes)
    started = time.process_time()
    with pytest.raises(Refused, match=r"at most|are read"):
        read_base_shapes(files)
    assert time.process_time() - started < 5.0


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "null",
        "{",
        "\x00" * 50,
        "[" * 100_000,
        json.dumps({"model_type": ["llama"]}),
        json.dumps({"model_type": {"a": 1}}),
        json.dumps({"model_type": "llama", "hidden_size": -5}),
        json.dumps({"model_type": "llama", "hidden_size": 0, "num_attention_heads": 0}),
        json.dumps({"model_type": "llama", "hidden_size": "wide"}),
        json.dumps({"model_type": "llama", "num_hidden_layers": None}),
        json.dumps({"model_type": "llama", "rope_parameters": {"rope_type": "unheard-of"}}),
        json.dumps({"model_type": "llama", "hidden_act": "__import__('os')"}),
        json.dumps({"model_type": "vit"}),
        json.dumps({"model_type": "llama", "quantization_config": "not even a mapping"}),
        '{"model_type": "llama", "x": "' + "y" * MAX_CONFIG_BYTES + '"}',
    ],
)
def test_broken_configs_are_bad_input(text: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(BadInput) as caught:
        read_base_shapes(BaseFiles(name="broken", source=str(tmp_path)))
    assert "broken" in caught.value.message


def test_code_of_repositories_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "modeling_evil.py").write_text("raise SystemExit('code of a repository was run')\n")
    code = {"AutoConfig": "modeling_evil.Config", "AutoModelForCausalLM": "modeling_evil.Model"}
    with pytest.raises(Refused, match="code of its own repository"):
        read_base_shapes(write(tmp_path, {"model_type": "evil", "auto_map": code}))
    # Repositories that carry code for what the library knows are read with the library's own.
    (tmp_path / "tokenizer_config.json").write_text(
        json.dumps({"auto_map": {"AutoTokenizer": ["modeling_evil.T", None]}})
    )
    assert read_base_shapes(write(tmp_path, LLAMA, auto_map=code)).task == "CAUSAL_LM"


def test_no_weights_are_opened(tmp_path: Path) -> None:
    """Every file that Python opens meanwhile is seen; what stands for the weights would not load."""
    files = save_base(tmp_path)
    for name in ("model.safetensors", "pytorch_model.bin", "model-00001-of-00002.safetensors"):
        (tmp_path / name).write_bytes(b"no weights at all")
    opened: set[str] = set()
    watching = [True]

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if watching and event == "open":
            opened.add(str(arguments[0]))

    sys.addaudithook(watch)
    try:
        result = read_base_shapes(files)
    finally:
        watching.clear()
    assert result.tokenizer_hash
    inside = {Path(path).name for path in opened if path.startswith(str(tmp_path))}
    assert "config.json" in inside
    assert not {name for name in inside if name.endswith((".safetensors", ".bin"))}


def test_parameters_have_no_storage(tmp_path: Path) -> None:
    """A model of 70 thousand million parameters is laid out within a test's means."""
    config = LlamaConfig(
        hidden_size=8192, intermediate_size=28672, num_hidden_layers=80, num_attention_heads=64, num_key_value_heads=8,
        vocab_size=128256, tie_word_embeddings=False,
    )  # fmt: skip
    result = read_base_shapes(write(tmp_path, config))
    assert result.parameters == 70_553_706_496
    assert len(result.shapes) == 80 * 7 + 2
    assert result.shapes["model.layers.79.mlp.down_proj"] == (8192, 28672)


class Hub(BaseHTTPRequestHandler):
    """A hub with one repository, as far as its clients ask."""

    folder: Path
    asked: list[str]

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        self.asked.append(self.path)
        name = self.path.partition("?")[0].rpartition("/")[2]
        path = self.folder / name
        found = "/resolve/" in self.path and path.is_file()
        data = path.read_bytes() if found else b"{}"
        self.send_response(200 if found else 404)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("ETag", f'"{"a" * 40}{name}"')
        self.send_header("X-Repo-Commit", "c" * 40)
        self.send_header("X-Error-Code", "" if found else "EntryNotFound")
        self.end_headers()
        if body:
            self.wfile.write(data)

    def log_message(self, *arguments: Any) -> None:
        """Quiet."""


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[ThreadingHTTPServer]:
    folder = tmp_path / "repository"
    folder.mkdir()
    save_base(folder)
    handler = type("OneHub", (Hub,), {"folder": folder, "asked": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_of_a_hub_neither_weights_nor_code_are_fetched(hub: ThreadingHTTPServer, tmp_path: Path) -> None:
    """In a process of its own, since the hub's address is read once."""
    script = (
        "from inference_worker.contracts.common import BaseFiles\n"
        "from inference_worker.serving.base_shapes import read_base_shapes\n"
        "print(read_base_shapes(BaseFiles(name='org/tiny', source='org/tiny')).model_dump_json())\n"
    )
    own = {
        "HF_ENDPOINT": f"http://127.0.0.1:{hub.server_port}",
        "HF_HOME": str(tmp_path / "cache"),
        "HF_HUB_OFFLINE": "0",
    }
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, **own},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    result = BaseShapesResult.model_validate_json(done.stdout.splitlines()[-1])
    assert result.shapes["model.layers.0.self_attn.q_proj"] == (32, 32)
    assert len(result.tokenizer_hash) == 64
    asked = hub.RequestHandlerClass.asked  # type: ignore[attr-defined]
    assert any(path.endswith("/config.json") for path in asked)
    assert not [path for path in asked if "safetensors" in path or ".bin" in path or ".py" in path]


def test_meta_is_the_only_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    devices = set()
    register = nn.Module.register_parameter

    def watch(self: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
        if parameter is not None:
            devices.add(parameter.device)
        register(self, name, parameter)

    monkeypatch.setattr(nn.Module, "register_parameter", watch)
    read_base_shapes(write(tmp_path, LLAMA))
    assert devices == {torch.device("meta")}
