"""Row slots and the key/value cache under random admissions and departures, against plain lists of rows."""

from __future__ import annotations

import random
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn
from transformers.cache_utils import DynamicLayer
from transformers.pytorch_utils import Conv1D

from inference_worker.errors import EngineError
from inference_worker.mixing.composition import Composition, ModuleFactors, compose
from inference_worker.serving.kv_cache import GrowingLayer, RowCache
from inference_worker.serving.multi_adapter_linear import (
    MultiAdapterLinear,
    RowFactors,
    linear_shape,
    rank_bucket,
    wrap_linear_modules,
)
from inference_worker.serving.slot_table import SlotTable

SHAPES = {"q": (6, 4), "up": (5, 4)}


@dataclass
class Adapter:
    modules: dict[str, ModuleFactors]


def random_composition(rng: random.Random) -> Composition[Adapter]:
    """Zero to three members, each with some of the modules, some with gains."""
    members = []
    for _ in range(rng.randrange(4)):
        modules = {}
        for name, (d_out, d_in) in SHAPES.items():
            if rng.random() < 0.7:
                rank = rng.randrange(1, 20)
                gain = torch.rand(d_out) + 0.5 if rng.random() < 0.3 else None
                modules[name] = ModuleFactors(torch.randn(rank, d_in), torch.randn(d_out, rank), gain)
        members.append((Adapter(modules), rng.uniform(-2, 2)))
    return compose(members)


def reference(layer: MultiAdapterLinear, name: str, composition: Composition[Adapter], x: Tensor) -> Tensor:
    """One row, one member after the other: x (tokens, d_in)."""
    wx = x @ layer.weight.T
    y = wx + layer.bias if layer.bias is not None else wx
    for part, weight in composition.parts(name):
        if part.gain is not None:
            y = y + weight * (part.gain - 1.0) * wx
        y = y + weight * (x @ part.A.T) @ part.B.T
    return y


@pytest.mark.parametrize("seed", range(6))
def test_rows_come_and_go(seed: int) -> None:
    rng = random.Random(seed)
    torch.manual_seed(seed)
    layers = {name: MultiAdapterLinear(nn.Linear(d_in, d_out)) for name, (d_out, d_in) in SHAPES.items()}
    table = SlotTable(layers, torch.device("cpu"), torch.float32)
    rows: list[Composition[Adapter]] = []
    for _ in range(25):
        if rows and rng.random() < 0.4:
            leaving = rng.randrange(len(rows))
            table.remove(leaving)
            rows[leaving] = rows[-1]
            rows.pop()
        else:
            rows.append(random_composition(rng))
            assert table.admit(rows[-1]) == len(rows) - 1
        if not rows:
            continue
        start = rng.randrange(len(rows))
        table.activate(start, len(rows))
        for name, layer in layers.items():
            x = torch.randn(len(rows) - start, 3, layer.d_in)
            expected = torch.stack([reference(layer, name, row, one) for row, one in zip(rows[start:], x, strict=True)])
            torch.testing.assert_close(layer(x), expected, atol=2e-4, rtol=1e-4)
            flat = layer(x.reshape(-1, layer.d_in))  # OPT flattens rows and tokens.
            torch.testing.assert_close(flat, expected.reshape(-1, layer.d_out), atol=2e-4, rtol=1e-4)
        table.deactivate()
    x = torch.randn(2, 3, 4)
    torch.testing.assert_close(layers["q"](x), layers["q"].base(x), atol=0, rtol=0)


def test_buckets_and_shapes() -> None:
    assert [rank_bucket(rank) for rank in (0, 1, 8, 9, 16, 17, 33)] == [0, 8, 8, 16, 16, 32, 48]
    assert linear_shape(Conv1D(3, 7)) == (3, 7)
    with pytest.raises(TypeError):
        linear_shape(nn.LayerNorm(3))


def test_wrapping_keeps_names_and_results() -> None:
    model = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Sequential(Conv1D(3, 6)))
    x = torch.randn(2, 5, 4)
    expected = model(x)
    wrapped = wrap_linear_modules(model)
    assert list(wrapped) == ["0", "2.0"]
    torch.testing.assert_close(model(x), expected, atol=0, rtol=0)


def test_an_input_that_has_not_the_rows_is_refused() -> None:
    layer = MultiAdapterLinear(nn.Linear(4, 6))
    layer.active.rows = RowFactors(torch.zeros(3, 4, 8), torch.zeros(3, 8, 6), None)
    with pytest.raises(EngineError, match="3 rows"):
        layer(torch.zeros(4, 4))


def states(rows: int, tokens: int) -> Tensor:
    return torch.randn(rows, 2, tokens, 3)


def test_growing_in_place_is_concatenation() -> None:
    ours, theirs = GrowingLayer(), DynamicLayer()
    for tokens in (5, 1, 1, 90, 1, 1):
        keys, values = states(2, tokens), states(2, tokens)
        expected = theirs.update(keys, values)
        for found, wanted in zip(ours.update(keys, values), expected, strict=True):
            torch.testing.assert_close(found, wanted, atol=0, rtol=0)
    assert ours.get_seq_length() == theirs.get_seq_length() == 99
    assert ours.get_mask_sizes(1) == theirs.get_mask_sizes(1)


@pytest.mark.parametrize("seed", range(4))
def test_rows_of_a_cache_come_and_go(seed: int) -> None:
    """Each row's last columns are its own keys, whatever joins, leaves and is trimmed."""
    rng = random.Random(seed)
    cache = RowCache()
    rows: list[Tensor] = []  # (heads, tokens, head_dim) each
    for _ in range(40):
        action = rng.random()
        if rows and action < 0.25:
            leaving = rng.randrange(len(rows))
            cache.remove(leaving)
            rows[leaving] = rows[-1]
            rows.pop()
            if not rows:
                cache = RowCache()
        elif action < 0.5:
            joining = states(rng.randrange(1, 3), rng.randrange(1, 30))
            other = RowCache()
            other.update(joining, joining * 2, 0)
            cache.join(other)
            rows += list(joining)
        elif rows:
            cache.trim(max(row.shape[1] for row in rows))
            token = states(len(rows), 1)
            keys, values = cache.update(token, token * 2, 0)
            rows = [torch.cat([row, new], dim=1) for row, new in zip(rows, token, strict=True)]
            assert keys.shape[2] == max(row.shape[1] for row in rows)
            for number, row in enumerate(rows):
                torch.testing.assert_close(keys[number, :, -row.shape[1] :], row, atol=0, rtol=0)
                torch.testing.assert_close(values[number, :, -row.shape[1] :], row * 2, atol=0, rtol=0)
            assert keys.isfinite().all()
