"""``generate`` and ``bench serve`` as a person types them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tiny_bases import save_adapter, save_base

from inference_worker.__main__ import main
from inference_worker.cli.generate import parse_adapter
from inference_worker.contracts.common import BaseFiles

pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> BaseFiles:
    return save_base(tmp_path_factory.mktemp("base"))


def generate(base: BaseFiles, *options: str) -> int:
    return main(["generate", "--base", base.source, "--prompt", "the cat", "--max-tokens", "8", *options])


def test_text_and_json_agree(base: BaseFiles, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_adapter(base, tmp_path / "one", targets=["q_proj", "up_proj"], seed=1)
    save_adapter(base, tmp_path / "two", targets=["v_proj"], seed=2)
    options = ["--adapter", f"{tmp_path}/one:0.5", "--adapter", f"{tmp_path}/two"]
    assert generate(base, *options) == 0
    text = capsys.readouterr().out
    assert generate(base, *options, "--json") == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["text"] + "\n" == text
    assert summary["finish_reason"] in ("length", "stop")
    assert generate(base, "--json") == 0
    assert json.loads(capsys.readouterr().out)["text"] != summary["text"]


def test_faults_have_their_exit_status(base: BaseFiles, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert generate(base, "--max-tokens", "0") == 2
    assert "max_tokens" in capsys.readouterr().err
    assert generate(base, "--adapter", f"{tmp_path}/none:much") == 2
    assert "DIR:WEIGHT" in capsys.readouterr().err
    assert generate(base, "--adapter", str(tmp_path)) == 3
    assert "adapter_config.json" in capsys.readouterr().err
    assert generate(base, "--chat", "--json") == 3
    assert json.loads(capsys.readouterr().out)["code"] == "no_chat_template"
    assert generate(BaseFiles(name="gone", source="/nonexistent/base")) == 3
    with pytest.raises(SystemExit) as caught:
        main(["generate", "--prompt", "no base"])
    assert caught.value.code == 2


def test_adapters_and_weights(tmp_path: Path) -> None:
    (tmp_path / "odd:2").mkdir()
    assert parse_adapter(f"{tmp_path}/odd:2") == (tmp_path / "odd:2", 1.0)
    assert parse_adapter("some/dir:-0.25") == (Path("some/dir"), -0.25)
    assert parse_adapter("some/dir") == (Path("some/dir"), 1.0)


def test_the_benchmark_measures_all_variants(base: BaseFiles, capsys: pytest.CaptureFixture[str]) -> None:
    options = [
        "--base",
        base.source,
        "--rows",
        "2",
        "--rank",
        "4",
        "--rounds",
        "1",
        "--threads",
        "1",
        "--device",
        "cpu",
    ]
    assert main(["bench", "serve", *options, "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)["figures"]
    assert [figure["variant"] for figure in figures] == [
        "bare base",
        "2 adapters, 1 per row",
        "2 adapters, 3 per row",
        "PEFT adapter_names, 2 adapters",
    ]
    assert all(figure["best"] > 0 for figure in figures)
    assert main(["bench", "nothing"]) == 3
    assert main(["bench", "serve", "--rows", "0"]) == 2
