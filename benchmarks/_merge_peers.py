"""One module at a time: the merge functions beside PEFT and scikit-learn on the same numbers, in one process.

Times are processor seconds of one thread on a CPU, so that other load on the machine counts less; on CUDA, seconds by
the clock with the device waited for.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from importlib import metadata
from statistics import median

import numpy as np
import torch
from numpy.typing import NDArray
from peft import LoraConfig, get_peft_model
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits
from torch import Tensor, nn

from inference_worker.contracts.merge_methods import LegoOptions, NoOptions
from inference_worker.merging.lego import merge_lego
from inference_worker.merging.stack import ModuleStack
from inference_worker.merging.svd import merge_svd

Row = dict[str, object]
Shape = tuple[int, int]


def random_stack(adapters: int, shape: Shape, rank: int, seed: int, device: str = "cpu") -> ModuleStack:
    """Units scattered around 2·rank directions that the adapters have in common, as trained ones partly do.

    Without anything in common, k-means has nothing to find and every library is quick.
    """
    d_out, d_in = shape
    generator = torch.Generator().manual_seed(seed)

    def draw(*size: int) -> Tensor:
        return torch.randn(*size, generator=generator) * 0.02

    common_a, common_b = draw(2 * rank, d_in), draw(2 * rank, d_out)
    chosen = torch.randint(2 * rank, (adapters * rank,), generator=generator)
    a = (common_a[chosen] + 0.7 * draw(adapters * rank, d_in)).to(device)
    b = (common_b[chosen] + 0.7 * draw(adapters * rank, d_out)).T.contiguous().to(device)
    owner = torch.arange(adapters).repeat_interleave(rank).to(device)
    scale = torch.ones(adapters * rank, dtype=torch.float64, device=device)
    return ModuleStack(f"{d_out}x{d_in}", a, b, scale, owner, (rank,) * adapters)


def timed(work: Callable[[], object], repeat: int, device: str) -> float:
    """Median seconds of ``repeat`` runs after one that does not count where there are several."""
    clock = time.process_time if device == "cpu" else time.perf_counter
    found = []
    for _ in range(repeat + (repeat > 1)):
        started = clock()
        work()
        if device != "cpu":
            torch.cuda.synchronize()
        found.append(clock() - started)
    return median(found[1:] or found)


class _OneLayer(nn.Module):
    """A module for PEFT to attach to; its weight takes no memory, because no merge looks at it."""

    def __init__(self, shape: Shape, device: str) -> None:
        super().__init__()
        self.layer = nn.Linear(shape[1], shape[0], bias=False, device="meta")
        self.layer.weight = nn.Parameter(torch.zeros(1, 1, device=device).expand(*shape), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.layer(x)
        return result


def peft_svd(stack: ModuleStack, rank: int, device: str) -> float:
    """Seconds of PEFT's ``svd`` with its best setting, on the stack's factors."""
    shape = (stack.B.shape[0], stack.A.shape[1])
    config = LoraConfig(r=rank, lora_alpha=rank, target_modules=["layer"])
    model = get_peft_model(_OneLayer(shape, device), config, adapter_name="0")
    names = [str(index) for index in range(len(stack.ranks))]
    for name in names[1:]:
        model.add_adapter(name, config)
    layer = model.base_model.model.layer
    for index, name in enumerate(names):
        rows = slice(index * rank, (index + 1) * rank)
        layer.lora_A[name].weight.data = stack.A[rows]
        layer.lora_B[name].weight.data = stack.B[:, rows]

    def merge() -> None:
        model.base_model.add_weighted_adapter(
            names, [1.0] * len(names), "merged", combination_type="svd", svd_rank=rank, svd_full_matrices=False
        )

    return timed(merge, 1, device)


def compare_svd(adapters: int, shapes: Sequence[Shape], rank: int, device: str) -> list[Row]:
    """``svd`` beside PEFT's, one row per shape."""
    rows: list[Row] = []
    for seed, shape in enumerate(shapes):
        stack = random_stack(adapters, shape, rank, seed, device)
        ours = timed(lambda stack=stack: merge_svd([stack], rank, NoOptions(), 0), 3, device)  # type: ignore[misc]
        theirs = peft_svd(stack, rank, device)
        rows.append(_row("svd", f"peft {metadata.version('peft')}", adapters, f"{shape[0]}×{shape[1]}", ours, theirs))
    return rows


def compare_lego(adapters: int, shapes: Sequence[Shape], rank: int, device: str) -> list[Row]:
    """``lego`` (Gram matrix, k-means and new factors) beside scikit-learn's k-means alone, over all shapes together.

    scikit-learn is timed on the raw vectors, which the paper's variant clusters, too. Inertia is that over
    scikit-learn's best on the same vectors: of the default on balanced ones, whose signs agree here.
    """
    stacks = [random_stack(adapters, shape, rank, seed, device) for seed, shape in enumerate(shapes)]
    raw = [torch.cat([stack.A, stack.B.T], dim=1).cpu().numpy() for stack in stacks]
    with threadpool_limits(1):
        reached: list[float] = []
        seconds = timed(lambda: reached.append(_inertia(raw, rank)), 1, "cpu")
        balanced = [_balanced(stack) for stack in stacks]
        reached.append(_inertia(balanced, rank))
    rows: list[Row] = []
    for label, options, points, theirs in (
        ("lego", LegoOptions(), balanced, reached[1]),
        ("lego, paper's variant", LegoOptions(variant="paper"), raw, reached[0]),
        ("lego, paper's variant, 4 random starts", LegoOptions(variant="paper", start="random"), raw, reached[0]),
    ):
        merged = merge_lego(stacks, rank, options, 0)
        ours = timed(lambda options=options: merge_lego(stacks, rank, options, 0), 15, device)  # type: ignore[misc]
        words = " + ".join(f"{d_out}×{d_in}" for d_out, d_in in shapes)
        row = _row(label, f"scikit-learn {metadata.version('scikit-learn')}", adapters, words, ours, seconds)
        own = sum(part.detail["inertia"] * float((rows**2).sum()) for part, rows in zip(merged, points, strict=True))
        rows.append({**row, "inertia_ratio": round(own / theirs, 5)})
    return rows


def _inertia(points: Sequence[NDArray[np.float32]], clusters: int) -> float:
    """Of scikit-learn's best of ten starts, all modules together."""
    return sum(KMeans(n_clusters=clusters, n_init=10, random_state=0).fit(rows).inertia_ for rows in points)


def _balanced(stack: ModuleStack) -> NDArray[np.float32]:
    """Units with a and b brought to one length, (n, d_in + d_out)."""
    norm_a, norm_b = stack.A.norm(dim=1, keepdim=True), stack.B.T.norm(dim=1, keepdim=True)
    ratio = (norm_b / norm_a).sqrt()
    return torch.cat([stack.A * ratio, stack.B.T / ratio], dim=1).cpu().numpy()


def _row(method: str, peer: str, adapters: int, shape: str, ours: float, theirs: float) -> Row:
    return {
        "method": method,
        "peer": peer,
        "adapters": adapters,
        "modules": shape,
        "milliseconds": round(1000 * ours, 2),
        "peer_milliseconds": round(1000 * theirs, 1),
        "times_faster": round(theirs / ours, 1),
    }
