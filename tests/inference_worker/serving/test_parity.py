"""The engine's logits against PEFT's, for every architecture that is served."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
import torch
from reference.tiny_adapters import edit_config, edit_tensors
from safetensors.torch import load_file, save_file
from tiny_bases import (
    ARCHITECTURES,
    adapter_files,
    load,
    make_row,
    members,
    peft_logits,
    resolve,
    save_adapter,
    save_base,
)

from inference_worker.adapter_format.reader import open_adapter
from inference_worker.contracts.common import AdapterFiles, BaseFiles
from inference_worker.errors import BadInput, Refused
from inference_worker.merging.pipeline import merge_adapters
from inference_worker.serving.adapter_loader import load_adapter
from inference_worker.serving.base_loader import LoadedBase
from inference_worker.serving.model_runner import ModelRunner

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning"),
    pytest.mark.filterwarnings("ignore:.*LoRA tensor.s. have invalid shape.*"),  # the biases of lora_bias
]

TOLERANCE = 1e-4
PROMPTS = [[5, 9, 11], [40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50], [7, 7], [100, 3, 200, 30, 31, 32, 90]]
#: Tokens fed after the prompts, the same for the engine and the reference.
ANSWER = [60, 61, 62, 63, 64, 65, 66, 67]


@pytest.mark.parametrize("architecture", list(ARCHITECTURES))
def test_a_mixed_batch_has_pefts_logits(architecture: str, tmp_path: Path) -> None:
    """Rows of four compositions and lengths, prefilled together, then decoded with the cache."""
    files = save_base(tmp_path / "base", architecture)
    targets = ARCHITECTURES[architecture][1]
    one = save_adapter(files, tmp_path / "one", targets=targets, rank=4, seed=1)
    two = save_adapter(files, tmp_path / "two", targets=targets[:2], rank=11, seed=2, use_rslora=True)
    compositions = [[], [(one, 1.0)], [(two, 1.0)], [(one, 0.7), (two, 0.4)]]
    base = load(files)
    runner = ModelRunner(base)
    rows = [make_row(prompt, members(base, *weighted)) for prompt, weighted in zip(PROMPTS, compositions, strict=True)]
    steps = [runner.prefill(rows)]
    for token in ANSWER:
        for row in rows:
            row.tokens.append(token)
        steps.append(runner.decode())
    found = torch.stack(steps, dim=1)  # (rows, steps, vocabulary)
    for row, prompt, weighted in zip(found, PROMPTS, compositions, strict=True):
        expected = peft_logits(files, weighted, [*prompt, *ANSWER])[len(prompt) - 1 :]
        torch.testing.assert_close(row, expected, atol=TOLERANCE, rtol=0)
    bare = peft_logits(files, [], [*PROMPTS[1], *ANSWER])[len(PROMPTS[1]) - 1 :]
    assert (found[1] - bare).abs().max() > 0.05, "the adapter has to make a difference for the test to mean anything"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> BaseFiles:
    return save_base(tmp_path_factory.mktemp("llama"))


@pytest.fixture(scope="module")
def base(files: BaseFiles) -> LoadedBase:
    return load(files)


def logits_after(base: LoadedBase, prompt: list[int], *weighted: tuple[AdapterFiles, float]) -> torch.Tensor:
    return ModelRunner(base).prefill([make_row(prompt, members(base, *weighted))])[0]


@pytest.mark.parametrize(
    "options",
    [
        {"use_rslora": True},
        {"use_dora": True},
        {"rank_pattern": {"q_proj": 2, "layers.1.self_attn.v_proj": 7}},
        {"alpha_pattern": {"q_proj": 3}},
        {"layers_to_transform": [1]},
    ],
    ids=lambda options: next(iter(options)),
)
def test_every_flag_that_is_served(
    options: dict[str, object], files: BaseFiles, base: LoadedBase, tmp_path: Path
) -> None:
    adapter = save_adapter(files, tmp_path, targets=["q_proj", "v_proj", "lm_head"], seed=3, **options)
    expected = peft_logits(files, [(adapter, 1.0)], PROMPTS[1])[-1]
    torch.testing.assert_close(logits_after(base, PROMPTS[1], (adapter, 1.0)), expected, atol=TOLERANCE, rtol=0)


def test_dora_rows_leave_plain_rows_alone(files: BaseFiles, base: LoadedBase, tmp_path: Path) -> None:
    dora = save_adapter(files, tmp_path / "dora", targets=["q_proj", "up_proj"], seed=4, use_dora=True)
    plain = save_adapter(files, tmp_path / "plain", targets=["q_proj"], seed=5)
    runner = ModelRunner(base)
    rows = [make_row(PROMPTS[0], members(base, (adapter, 1.0))) for adapter in (plain, dora, plain)]
    found = torch.cat([runner.prefill(rows[:1]), runner.prefill(rows[1:])])
    for logits, adapter in zip(found, (plain, dora, plain), strict=True):
        expected = peft_logits(files, [(adapter, 1.0)], PROMPTS[0])[-1]
        torch.testing.assert_close(logits, expected, atol=TOLERANCE, rtol=0)


def test_dora_with_bias(tmp_path: Path) -> None:
    """Qwen2's projections have biases, which DoRA does not rescale."""
    files = save_base(tmp_path / "base", "qwen2")
    adapter = save_adapter(files, tmp_path / "dora", targets=["q_proj", "v_proj"], use_dora=True)
    torch.testing.assert_close(
        logits_after(load(files), PROMPTS[1], (adapter, 1.0)),
        peft_logits(files, [(adapter, 1.0)], PROMPTS[1])[-1],
        atol=TOLERANCE,
        rtol=0,
    )


@pytest.mark.parametrize(
    ("options", "feature"),
    [
        ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
        ({"trainable_token_indices": [3, 5]}, "trainable_tokens"),
        ({"lora_bias": True}, "lora_bias"),
        ({"bias": "lora_only"}, "bias"),
        ({"init_lora_weights": "pissa"}, "mutated_base"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_served_is_refused_by_name(options: dict[str, object], feature: str, tmp_path: Path) -> None:
    files = save_base(tmp_path / "base", "qwen2")
    adapter = save_adapter(files, tmp_path / "adapter", targets=["q_proj"], **options)
    base = load(files)
    with pytest.raises(Refused, match="cannot be generated with") as caught:
        load_adapter(*resolve(adapter), adapter.label, base)
    assert feature in caught.value.extra["features"]


def test_a_doubled_prefix_is_repaired_where_peft_loads_nothing(
    files: BaseFiles, base: LoadedBase, tmp_path: Path
) -> None:
    adapter = save_adapter(files, tmp_path, targets=["q_proj", "up_proj"], seed=4)
    expected = logits_after(base, PROMPTS[1], (adapter, 1.0))
    edit_tensors(tmp_path, lambda tensors: {f"base_model.model.{name}": value for name, value in tensors.items()})
    found = logits_after(base, PROMPTS[1], (adapter, 1.0))
    torch.testing.assert_close(found, expected, atol=0, rtol=0)
    assert not torch.allclose(found, peft_logits(files, [], PROMPTS[1])[-1], atol=TOLERANCE)


@pytest.mark.parametrize("task", ["SEQ_CLS", "SEQ_2_SEQ_LM", "TOKEN_CLS", "QUESTION_ANS", "FEATURE_EXTRACTION"])
def test_tasks_without_text_are_refused_before_loading(
    task: str, files: BaseFiles, base: LoadedBase, tmp_path: Path
) -> None:
    adapter = save_adapter(files, tmp_path, targets=["q_proj"])
    edit_config(tmp_path, task_type=task)
    with pytest.raises(Refused, match=f"cannot be generated with: .*{task}") as caught:
        load_adapter(*resolve(adapter), adapter.label, base)
    assert caught.value.code == "not_served"
    assert caught.value.extra["task"] == task


def test_the_bases_own_embedding_beside_the_factors_is_no_change(
    files: BaseFiles, base: LoadedBase, tmp_path: Path
) -> None:
    """PEFT saves lm_head whole when it is adapted; it is refused only where it differs from the base's."""
    adapter = save_adapter(files, tmp_path, targets=["q_proj", "lm_head"], seed=8, save_embeddings=True)
    expected = peft_logits(files, [(adapter, 1.0)], PROMPTS[1])[-1]
    torch.testing.assert_close(logits_after(base, PROMPTS[1], (adapter, 1.0)), expected, atol=TOLERANCE, rtol=0)
    weights = tmp_path / "adapter_model.safetensors"
    tensors = load_file(weights)
    whole = [name for name in tensors if "lora" not in name]
    assert whole
    save_file({**tensors, whole[0]: tensors[whole[0]] + 1.0}, weights)
    with pytest.raises(Refused, match="embedding matrix"):
        members(base, (adapter, 1.0))


def test_another_bases_adapter_is_bad_input(base: LoadedBase, tmp_path: Path) -> None:
    other = save_base(tmp_path / "base", "gpt2")
    adapter = save_adapter(other, tmp_path / "adapter", targets=["c_attn"])
    with pytest.raises(BadInput, match="does not fit this base") as caught:
        members(base, (adapter, 1.0))
    assert caught.value.code == "wrong_base"


def test_identical_experts_are_one(files: BaseFiles, base: LoadedBase, tmp_path: Path) -> None:
    adapter = save_adapter(files, tmp_path, targets=["q_proj", "down_proj"], seed=6)
    one = logits_after(base, PROMPTS[3], (adapter, 1.0))
    three = logits_after(base, PROMPTS[3], (adapter, 0.5), (adapter, 0.2), (adapter, 0.3))
    torch.testing.assert_close(three, one, atol=1e-5, rtol=0)


def test_a_mixture_is_the_cat_merge(files: BaseFiles, base: LoadedBase, tmp_path: Path) -> None:
    """Mixing at run time and merging beforehand are one function."""
    weighted = [
        (save_adapter(files, tmp_path / "one", targets=["q_proj", "down_proj"], rank=3, seed=9), 0.8),
        (save_adapter(files, tmp_path / "two", targets=["q_proj", "v_proj"], rank=5, seed=10), -0.6),
    ]
    with contextlib.ExitStack() as stack:
        readers = [stack.enter_context(open_adapter(*resolve(adapter))) for adapter, _ in weighted]
        merge_adapters(readers, [weight for _, weight in weighted], "cat", tmp_path / "merged", dtype="float32")
    merged = logits_after(base, PROMPTS[1], (adapter_files(tmp_path / "merged"), 1.0))
    torch.testing.assert_close(logits_after(base, PROMPTS[1], *weighted), merged, atol=1e-5, rtol=0)


def test_weight_zero_is_absent_and_negative_weights_subtract(
    files: BaseFiles, base: LoadedBase, tmp_path: Path
) -> None:
    adapter = save_adapter(files, tmp_path, targets=["q_proj", "down_proj"], seed=7)
    bare = logits_after(base, PROMPTS[3])
    torch.testing.assert_close(logits_after(base, PROMPTS[3], (adapter, 0.0)), bare, atol=0, rtol=0)
    cancelled = logits_after(base, PROMPTS[3], (adapter, 1.5), (adapter, -1.5))
    torch.testing.assert_close(cancelled, bare, atol=1e-5, rtol=0)
    with pytest.raises(BadInput, match="finite"):
        members(base, (adapter, float("nan")))


def test_permuting_rows_permutes_logits(files: BaseFiles, base: LoadedBase, tmp_path: Path) -> None:
    adapters = [
        save_adapter(files, tmp_path / str(seed), targets=["q_proj", "up_proj"], rank=3 + seed, seed=seed)
        for seed in range(3)
    ]
    order = [2, 0, 1]

    def logits(numbers: list[int]) -> torch.Tensor:
        rows = [make_row(PROMPTS[number], members(base, (adapters[number], 1.0))) for number in numbers]
        return ModelRunner(base).prefill(rows)

    torch.testing.assert_close(logits(order), logits([0, 1, 2])[order], atol=1e-5, rtol=0)


def test_rows_join_and_leave_without_a_trace(files: BaseFiles, base: LoadedBase, tmp_path: Path) -> None:
    """Continuous batching: a row's logits are those it has alone, whoever comes and goes beside it."""
    adapters = [
        save_adapter(files, tmp_path / str(seed), targets=["q_proj", "gate_proj"], rank=rank, seed=seed)
        for seed, rank in enumerate((4, 20, 9))
    ]
    prompts = [PROMPTS[3], list(range(10, 40)), PROMPTS[2]]
    rows = [make_row(prompt, members(base, (adapter, 1.0))) for prompt, adapter in zip(prompts, adapters, strict=True)]
    runner = ModelRunner(base)
    found: list[list[torch.Tensor]] = [[], [], []]

    def prefill(number: int) -> None:
        found[number].append(runner.prefill([rows[number]])[0])

    def decode() -> None:
        for row in runner.rows:
            row.tokens.append(ANSWER[len(row.tokens) % len(ANSWER)])
        logits = runner.decode()
        for position, row in enumerate(runner.rows):
            found[rows.index(row)].append(logits[position])

    prefill(0)
    decode()
    prefill(1)  # Longer than the running row, with a larger rank.
    decode()
    decode()
    prefill(2)
    decode()
    runner.remove(rows[1])  # The cache shrinks to the longest row that stays.
    decode()
    runner.remove(rows[0])
    decode()
    for number, row in enumerate(rows):
        tokens = [*prompts[number], *row.tokens]
        expected = peft_logits(files, [(adapters[number], 1.0)], tokens)[len(prompts[number]) - 1 :]
        torch.testing.assert_close(torch.stack(found[number]), expected, atol=TOLERANCE, rtol=0)
    runner.remove(rows[2])
    assert not runner.rows
