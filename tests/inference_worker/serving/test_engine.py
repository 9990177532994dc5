"""The engine and the pool as their callers see them: many threads, failures, cancellation, deadlines."""

from __future__ import annotations

import random
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_bases import resolve, save_adapter, save_base, tiny_tokenizer
from transformers import AutoModelForCausalLM

from inference_worker.contracts.common import AdapterFiles, BaseFiles, PromptFormat
from inference_worker.contracts.generate import GenerateEvent, GenerateRequest, Sampling, WeightedAdapter
from inference_worker.errors import BlobMissing
from inference_worker.serving.model_runner import ModelRunner
from inference_worker.serving.pool import EnginePool
from inference_worker.serving.sequence import GenerationHandle
from inference_worker.serving.settings import EngineSettings

pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")

CPU = EngineSettings(device="cpu", dtype="float32")
LONG = Sampling(max_tokens=100)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> BaseFiles:
    return save_base(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def adapters(base: BaseFiles, tmp_path_factory: pytest.TempPathFactory) -> list[AdapterFiles]:
    root = tmp_path_factory.mktemp("adapters")
    return [
        save_adapter(base, root / str(seed), targets=["q_proj", "v_proj", "up_proj"], rank=2 + 3 * seed, seed=seed)
        for seed in range(4)
    ]


@pytest.fixture(scope="module")
def pool() -> Iterator[EnginePool]:
    with EnginePool(CPU) as pool:
        yield pool


def ask(base: BaseFiles, prompt: str = "the cat sat", *adapters: AdapterFiles, **changes: Any) -> GenerateRequest:
    fields: dict[str, Any] = {
        "request": f"r{random.random()}",
        "base": base,
        "adapters": tuple(WeightedAdapter(adapter=files) for files in adapters),
        "prompt": prompt,
        "sampling": Sampling(max_tokens=12),
        "deadline": time.time() + 60,
    }
    return GenerateRequest(**{**fields, **changes})


def finish(handle: GenerationHandle) -> tuple[str, GenerateEvent]:
    """The whole text and the last event."""
    events = list(handle)
    assert events[-1].kind in ("done", "error")
    assert all(event.kind in ("started", "token") for event in events[:-1])
    return "".join(event.text for event in events), events[-1]


def answer(pool: EnginePool, request: GenerateRequest) -> str:
    text, last = finish(pool.submit(request, resolve))
    assert last.kind == "done", last.error
    return text


def test_greedy_text_is_transformers_own(pool: EnginePool, base: BaseFiles) -> None:
    model = AutoModelForCausalLM.from_pretrained(base.source)
    tokenizer = tiny_tokenizer()
    tokens = tokenizer("the cat sat", return_tensors="pt").input_ids
    expected = model.generate(tokens, max_new_tokens=12, do_sample=False, attention_mask=torch.ones_like(tokens))
    handle = pool.submit(ask(base), resolve)
    events = list(handle)
    assert events[0] == GenerateEvent(kind="started", prompt_tokens=tokens.shape[1])
    assert "".join(event.text for event in events) == tokenizer.decode(
        expected[0, tokens.shape[1] :], skip_special_tokens=True
    )
    assert events[-1].finish_reason == "length"
    assert (events[-1].prompt_tokens, events[-1].completion_tokens) == (tokens.shape[1], 12)


def test_a_crowd_of_strangers_changes_nobodys_text(
    pool: EnginePool, base: BaseFiles, adapters: list[AdapterFiles]
) -> None:
    """Twenty threads at once, each with its own adapters, prompt and length: every text is the one it has alone."""
    requests = [
        ask(
            base,
            "the dog sat on the log " * (1 + number % 4),
            *adapters[: number % 4],
            sampling=Sampling(max_tokens=4 + number, temperature=0.8 * (number % 2), seed=number),
        )
        for number in range(20)
    ]
    alone = [answer(pool, request) for request in requests]
    together: dict[int, str] = {}

    def run(number: int) -> None:
        together[number] = answer(pool, requests[number])

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(requests))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [together[number] for number in range(len(requests))] == alone
    assert len(set(alone)) > 10
    residency: Any = pool.residency()
    assert residency["bases"][0]["running"] == residency["bases"][0]["users"] == 0
    assert all(entry["users"] == 0 for entry in residency["bases"][0]["adapters"])


def test_a_seed_repeats_and_other_seeds_differ(pool: EnginePool, base: BaseFiles) -> None:
    texts = [
        answer(pool, ask(base, sampling=Sampling(max_tokens=20, temperature=1.0, seed=seed))) for seed in (1, 1, 2)
    ]
    assert texts[0] == texts[1] != texts[2]


def test_a_stop_string_ends_the_text_before_it(pool: EnginePool, base: BaseFiles) -> None:
    whole = answer(pool, ask(base, sampling=Sampling(max_tokens=40)))
    stop = whole[9:12]
    place = whole.index(stop)
    events = list(pool.submit(ask(base, sampling=Sampling(max_tokens=40, stop=(stop,))), resolve))
    assert "".join(event.text for event in events) == whole[:place]
    assert events[-1].finish_reason == "stop"
    shown = ""
    for event in events:
        shown += event.text
        assert whole[:place].startswith(shown)
    from_format = ask(base, sampling=Sampling(max_tokens=40), prompt_format=PromptFormat(stop=(stop,)))
    assert answer(pool, from_format) == whole[:place]


@pytest.mark.usefixtures("slow_steps")
def test_cancelling_ends_a_row_within_a_step(pool: EnginePool, base: BaseFiles) -> None:
    handle = pool.submit(ask(base, sampling=LONG), resolve)
    events = iter(handle)
    while next(events).kind != "token":
        pass
    handle.cancel()
    rest = list(events)
    assert rest[-1].finish_reason == "cancelled"
    assert rest[-1].completion_tokens < 100


@pytest.fixture
def slow_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every decoding step takes 20 ms more, as on a large base."""
    decode = ModelRunner.decode

    def slowly(runner: ModelRunner) -> torch.Tensor:
        time.sleep(0.02)
        return decode(runner)

    monkeypatch.setattr(ModelRunner, "decode", slowly)


@pytest.mark.usefixtures("slow_steps")
def test_deadlines_end_running_and_waiting_rows(base: BaseFiles) -> None:
    with EnginePool(CPU.model_copy(update={"max_rows": 1})) as pool:
        pool.preload(base)
        slow = pool.submit(ask(base, sampling=Sampling(max_tokens=124), deadline=time.time() + 2.0), resolve)
        waiting = pool.submit(ask(base, deadline=time.time() - 1), resolve)
        _, last = finish(waiting)
        assert (last.finish_reason, last.completion_tokens) == ("deadline", 0)
        _, last = finish(slow)
        assert last.finish_reason == "deadline"
        assert 0 < last.completion_tokens < 124


@pytest.mark.usefixtures("slow_steps")
def test_a_late_row_joins_the_running_ones(base: BaseFiles, adapters: list[AdapterFiles]) -> None:
    """Nobody waits for a batch to end: a short answer asked for later is there before a long one."""
    short = ask(base, "the mat", adapters[2], sampling=Sampling(max_tokens=4))
    with EnginePool(CPU) as pool:
        expected = answer(pool, short)
        long = pool.submit(ask(base, sampling=LONG), resolve)
        events = iter(long)
        while next(events).kind != "token":
            pass
        assert answer(pool, short) == expected
        assert not long.closed
        long.cancel()
        assert list(events)[-1].finish_reason == "cancelled"


def test_a_reader_never_waits_far_beyond_the_deadline(base: BaseFiles) -> None:
    """Even while an adapter hangs on a slow store."""
    released = threading.Event()

    def hang(files: AdapterFiles) -> tuple[Path, Path]:
        released.wait(30)
        return resolve(files)

    with EnginePool(CPU) as pool:
        files = AdapterFiles(label="slow", config="0" * 64, weights="1" * 64)
        start = time.time()
        _, last = finish(pool.submit(ask(base, "the", files, deadline=time.time() + 0.2), hang))
        assert last.finish_reason == "deadline"
        assert time.time() - start < 20
        released.set()


def test_a_failing_adapter_fails_its_request_only(
    pool: EnginePool, base: BaseFiles, adapters: list[AdapterFiles], tmp_path: Path
) -> None:
    other = pool.submit(ask(base, "the mat", adapters[1], sampling=LONG), resolve)
    broken = tmp_path / "broken"
    shutil.copytree(adapters[0].label, broken)
    (broken / "adapter_model.safetensors").write_bytes(b"\x08\x00\x00\x00\x00\x00\x00\x00nonsense")
    files = AdapterFiles(label=str(broken), config="2" * 64, weights="3" * 64)
    _, last = finish(pool.submit(ask(base, "the", adapters[0], files), resolve))
    assert last.kind == "error"
    assert last.error

    def missing(files: AdapterFiles) -> tuple[Path, Path]:
        raise BlobMissing(f"The blob {files.weights} is not in the store.")

    lost = AdapterFiles(label="lost", config="4" * 64, weights="5" * 64)
    _, last = finish(pool.submit(ask(base, "the", lost), missing))
    assert (last.kind, last.error_code) == ("error", "blob_missing")

    def bug(files: AdapterFiles) -> tuple[Path, Path]:
        raise ZeroDivisionError

    _, last = finish(pool.submit(ask(base, "the", lost), bug))
    assert (last.kind, last.error_code) == ("error", "engine_error")
    assert finish(other)[1].kind == "done"
    assert answer(pool, ask(base, "the", adapters[0]))
    residency: Any = pool.residency()
    assert all(entry["users"] == 0 for entry in residency["bases"][0]["adapters"])


def test_an_exploding_composition_fails_alone(pool: EnginePool, base: BaseFiles, adapters: list[AdapterFiles]) -> None:
    calm = ask(base, "the mat", adapters[1])
    expected = answer(pool, calm)
    wild = ask(base, "the mat", adapters=(WeightedAdapter(adapter=adapters[3], weight=3.4e38),))
    handles = [pool.submit(request, resolve) for request in (calm, wild, calm)]
    assert finish(handles[0])[0] == finish(handles[2])[0] == expected
    _, last = finish(handles[1])
    assert last.error_code == "output_not_finite"


def test_a_forward_pass_that_raises_fails_its_row_only(
    base: BaseFiles, adapters: list[AdapterFiles], monkeypatch: pytest.MonkeyPatch
) -> None:
    with EnginePool(CPU) as pool:
        expected = answer(pool, ask(base))
        engine = pool._bases.entries()[0].value
        forward = engine._runner._forward

        def fail_on_long_prompts(tokens: list[list[int]], *rest: Any) -> torch.Tensor:
            if len(tokens[0]) > 60:
                raise torch.OutOfMemoryError("no memory")
            return forward(tokens, *rest)

        monkeypatch.setattr(engine._runner, "_forward", fail_on_long_prompts)
        long = ask(base, "the cat " * 40, adapters[0])
        handles = [pool.submit(request, resolve) for request in (ask(base), long, ask(base))]
        assert finish(handles[0])[0] == finish(handles[2])[0] == expected
        assert finish(handles[1])[1].error_code == "out_of_memory"

        def fail_always(*args: Any, **named: Any) -> torch.Tensor:
            raise RuntimeError("broken")

        monkeypatch.setattr(engine._runner, "decode", fail_always)
        assert finish(pool.submit(ask(base), resolve))[1].error_code == "engine_error"
        monkeypatch.undo()
        assert answer(pool, ask(base)) == expected


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"prompt": "the cat " * 200}, "prompt_too_long"),
        ({"prompt_format": PromptFormat(kind="chat")}, "no_chat_template"),
        ({"base": BaseFiles(name="gone", source="/nonexistent/base")}, "base_unavailable"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_faults_of_a_request_are_told(pool: EnginePool, base: BaseFiles, changes: dict[str, Any], code: str) -> None:
    _, last = finish(pool.submit(ask(**{"base": base, **changes}), resolve))
    assert (last.kind, last.error_code) == ("error", code)


def test_an_answer_ends_where_the_positions_end(pool: EnginePool, base: BaseFiles) -> None:
    tokens = len(tiny_tokenizer()("the cat " * 20)["input_ids"])
    _, last = finish(pool.submit(ask(base, "the cat " * 20, sampling=Sampling(max_tokens=4000)), resolve))
    assert last.kind == "done"
    assert last.completion_tokens <= 128 - tokens


@pytest.mark.usefixtures("slow_steps")
def test_too_many_waiting_requests_are_turned_away(base: BaseFiles) -> None:
    with EnginePool(CPU.model_copy(update={"max_rows": 1, "max_waiting": 2})) as pool:
        pool.preload(base)
        handles = [pool.submit(ask(base), resolve) for _ in range(12)]
        codes = [finish(handle)[1].error_code for handle in handles]
    assert codes.count("queue_full") >= 1
    assert set(codes) == {"", "queue_full"}


def test_closing_ends_what_is_in_flight(base: BaseFiles) -> None:
    pool = EnginePool(CPU)
    pool.preload(base)
    handles = [pool.submit(ask(base, sampling=Sampling(max_tokens=124)), resolve) for _ in range(3)]
    assert next(iter(handles[0])).kind == "started"
    pool.close()
    for handle in handles:
        _, last = finish(handle)
        assert last.kind == "done" or last.error_code == "engine_closed"
    _, last = finish(pool.submit(ask(base), resolve))
    assert last.error_code == "engine_closed"


def test_bases_give_way_to_each_other(base: BaseFiles, adapters: list[AdapterFiles], tmp_path: Path) -> None:
    """Two bases with room for one: the idle one goes, and comes back when asked for."""
    other = save_base(tmp_path / "other", "gpt2")
    with EnginePool(CPU) as pool:
        pool.preload(base)
        size: Any = pool.residency()["bytes"]
    with EnginePool(CPU.model_copy(update={"base_cache_bytes": int(size * 1.6)})) as pool:
        first = answer(pool, ask(base, "the", adapters[0]))
        answer(pool, ask(other, "the"))
        residency: Any = pool.residency()
        assert [entry["name"] for entry in residency["bases"]] == ["gpt2"]
        assert answer(pool, ask(base, "the", adapters[0])) == first
    with EnginePool(CPU.model_copy(update={"base_cache_bytes": 1000})) as pool:
        _, last = finish(pool.submit(ask(base), resolve))
        assert last.error_code == "base_cache_full"


def test_adapters_give_way_to_each_other(base: BaseFiles, adapters: list[AdapterFiles]) -> None:
    with EnginePool(CPU) as pool:
        texts = [answer(pool, ask(base, "the", files)) for files in adapters]
        residency: Any = pool.residency()
        sizes = [entry["bytes"] for entry in residency["bases"][0]["adapters"]]
    with EnginePool(CPU.model_copy(update={"adapter_cache_bytes": max(sizes)})) as pool:
        assert [answer(pool, ask(base, "the", files)) for files in adapters] == texts
        residency = pool.residency()
        assert len(residency["bases"][0]["adapters"]) == 1
        _, last = finish(pool.submit(ask(base, "the", adapters[2], adapters[3]), resolve))
        assert last.error_code == "adapter_cache_full"
        assert answer(pool, ask(base, "the", adapters[3])) == texts[3]
        together = [pool.submit(ask(base, "the", files), resolve) for files in adapters * 3]
        assert [finish(handle)[0] for handle in together] == texts * 3, "who does not fit yet waits for its turn"
