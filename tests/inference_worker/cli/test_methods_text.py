"""The table of methods in ``merge --help``."""

from __future__ import annotations

import pytest

from inference_worker.__main__ import main
from inference_worker.contracts.merge_methods import METHODS


def test_help_lists_every_method_and_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["merge", "--help"])
    text = capsys.readouterr().out
    for name, info in METHODS.items():
        assert f"\n  {name:<17} {info.title}" in text
        for option in info.options.model_fields:
            assert f"--option {option}=" in text
    assert "--option restarts=INTEGER from 1 to 64, default 4" in text
    assert "--option balance=true|false, default true" in text
