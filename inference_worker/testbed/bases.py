"""The bases of the testbed and how each is made: from nothing, or from an older one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from inference_worker.testbed.corpus import FINAL_WEIGHTS, Mixture
from inference_worker.testbed.library import BASE_NAME
from inference_worker.testbed.pretrain import Recipe, Stage

#: What ``wordsmith-v2`` reads on: every second formal prompt in another syntax, and a quarter plain sentences.
SHIFTED = Mixture(weights=FINAL_WEIGHTS, called=0.5, sentence=0.25)


@dataclass(frozen=True)
class BaseSpec:
    """One base. ``parent`` is the base whose weights it starts from; ``seeds`` is added to the seed of the recipe."""

    name: str
    parent: str = ""
    seeds: int = 0
    stages: tuple[Stage, ...] = ()
    hidden: int = 0
    heads: int = 0
    feed_forward: int = 0
    layers: int = 0
    documents_per_step: int = 0
    shipped: bool = False

    def recipe(self, common: Recipe) -> Recipe:
        """The recipe of this base, where that of ``wordsmith-v1`` is ``common``."""
        names = ("stages", "hidden", "heads", "feed_forward", "layers", "documents_per_step")
        changes = {name: value for name in names if (value := getattr(self, name))}
        return replace(common, seed=common.seed + self.seeds, **changes)

    def folder(self, out: Path) -> Path:
        return out / "base" if self.name == BASE_NAME else out / "bases" / self.name


BASES: dict[str, BaseSpec] = {
    spec.name: spec
    for spec in (
        BaseSpec(BASE_NAME, shipped=True),
        BaseSpec(
            "wordsmith-v2",
            parent=BASE_NAME,
            stages=(Stage(250, SHIFTED, (0.006, 0.0), (1e-3, 0.0)),),
            shipped=True,
        ),
        # The same shape from other weights and other data.
        BaseSpec("wordsmith-other", seeds=100),
        BaseSpec("wordsmith-wide", seeds=200, hidden=320, heads=5, feed_forward=880),
        # About 27 and 100 million parameters, and 95 million tokens: for a GPU.
        BaseSpec("wordsmith-25m", seeds=300, hidden=512, heads=8, feed_forward=1408, layers=8, documents_per_step=2048),
        BaseSpec(
            "wordsmith-100m", seeds=400, hidden=896, heads=14, feed_forward=2432, layers=10, documents_per_step=2048
        ),
    )
}
