"""Validation errors in words."""

from __future__ import annotations

import argparse

import pytest
from pydantic import ValidationError

from inference_worker.cli.merge import add_parser
from inference_worker.contracts.faults import faults_in_words
from inference_worker.contracts.mergekit import read_mergekit
from inference_worker.errors import BadInput
from inference_worker.merging.registry import METHODS, find_method, parse_options


def test_an_unknown_option_is_told_with_the_nearest() -> None:
    with pytest.raises(BadInput, match=r"densty: unknown parameter, did you mean density\?"):
        parse_options(find_method("ties"), {"densty": 0.5})
    with pytest.raises(ValidationError) as caught:
        METHODS["ties"].info.options.model_validate({"qqq": 1})
    assert faults_in_words(caught.value, ["density"]) == ["qqq: unknown parameter"]


def test_no_prefix_of_the_library_is_told() -> None:
    with pytest.raises(BadInput) as caught:
        read_mergekit("merge_method: linear\n")
    assert caught.value.message.endswith("here: write either models or slices.")


def test_weights_that_are_no_numbers_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    add_parser(parser.add_subparsers())
    with pytest.raises(SystemExit):
        parser.parse_args(["merge", "--method", "cat", "--weights", "1,x", "--out", "o", "a", "b"])
    words = capsys.readouterr().err
    assert "argument --weights: 'x' is no number; write one per adapter between commas, such as 0.5,-0.3" in words
