"""Build the testbed: bases, adapters, cards, manifest. Finished parts are kept on the next run."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from inference_worker.errors import BadInput
from inference_worker.testbed.adapters import AdapterRecipe, train_adapter
from inference_worker.testbed.bases import BASES, BaseSpec
from inference_worker.testbed.cards import write_card
from inference_worker.testbed.corpus import tokenizer_texts
from inference_worker.testbed.figures import adapter_figures, base_figures, fresh_words
from inference_worker.testbed.library import ADAPTERS, BASE_NAME, BRACKETS, AdapterSpec
from inference_worker.testbed.manifest import write_manifest
from inference_worker.testbed.pretrain import Recipe, pretrain, read_record
from inference_worker.testbed.record import Record, adapter_record, base_record, require_same
from inference_worker.testbed.saving import load_adapter, load_base, load_tokenizer, save_adapter, save_base
from inference_worker.testbed.tokenizer import train_tokenizer

FIGURES = "figures.json"
META = "meta.json"
#: Figures of a training, which no evaluation gives again.
TRAINING = ("steps", "first_loss", "last_loss", "seconds")
#: Words of ``only`` that mean several parts; ``base`` is the first base.
GROUPS = ("base", "adapters", "brackets")


@dataclass(frozen=True)
class Plan:
    """What to build and how. ``only`` holds names of bases or adapters, or GROUPS; empty means all that ships."""

    out: Path
    recipe: Recipe = field(default_factory=Recipe)
    adapter_recipe: AdapterRecipe = field(default_factory=AdapterRecipe)
    adapters: tuple[AdapterSpec, ...] = ADAPTERS
    brackets: tuple[AdapterSpec, ...] = BRACKETS
    bases: tuple[BaseSpec, ...] = tuple(BASES.values())
    only: tuple[str, ...] = ()
    evaluated: int = 200
    force: bool = False
    #: Where bases are trained; adapters are small enough for the CPU.
    device: str = "cpu"

    @property
    def work(self) -> Path:
        """Where checkpoints stand until the build is done."""
        return self.out.with_name(self.out.name + ".work")

    def check(self) -> None:
        """Raises BadInput for a name in ``only`` that nothing has."""
        known = {base.name for base in self.bases} | {spec.name for spec in (*self.adapters, *self.brackets)}
        unknown = set(self.only) - known - set(GROUPS)
        if unknown:
            raise BadInput(
                f"Nothing in the testbed is called {', '.join(sorted(unknown))}. "
                f"Choose from {', '.join((*GROUPS, *sorted(known)))}."
            )

    def chosen_bases(self) -> list[BaseSpec]:
        if not self.only:
            return [spec for spec in self.bases if spec.shipped]
        return [
            spec for spec in self.bases if spec.name in self.only or (spec.name == BASE_NAME and "base" in self.only)
        ]

    def chosen_adapters(self) -> list[AdapterSpec]:
        groups = (("adapters", self.adapters), ("brackets", self.brackets))
        return [
            spec
            for group, specs in groups
            for spec in specs
            if not self.only or group in self.only or spec.name in self.only
        ]

    def base_folder(self, name: str) -> Path:
        return BASES[name].folder(self.out)

    def adapter_folder(self, spec: AdapterSpec) -> Path:
        group = "brackets" if spec in self.brackets else "adapters"
        return self.out / group / spec.name


def build_testbed(plan: Plan, log: Callable[[str], None] = print) -> dict[str, Any]:
    """Build what ``plan`` names into ``plan.out`` and return the manifest.

    A base is trained only when its folder is not finished, an adapter likewise, unless ``plan.force``. Rebuilding the
    first base removes what was made from it. Raises BadInput for a finished part that another seed, recipe or base
    made.
    """
    plan.check()
    plan.out.mkdir(parents=True, exist_ok=True)
    for base in plan.chosen_bases():
        if plan.force or not finished(plan, base.name):
            build_base(plan, base, log)
        else:
            require_same(base.name, _written(plan.base_folder(base.name) / FIGURES), _base_record(plan, base))
    build_adapters(plan, plan.chosen_adapters(), log)
    return finish(plan)


def finished(plan: Plan, name: str) -> bool:
    return (plan.base_folder(name) / FIGURES).exists()


def _require_base(plan: Plan, name: str) -> None:
    if not finished(plan, name):
        raise BadInput(f"{plan.out} holds no finished {name}: build it first with “--only {name}”.")


def _written(path: Path) -> dict[str, Any]:
    written: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return written


def _base_record(plan: Plan, spec: BaseSpec) -> Record:
    parent = plan.base_folder(spec.parent) if spec.parent else None
    return base_record(spec.recipe(plan.recipe), parent)


def build_base(plan: Plan, spec: BaseSpec, log: Callable[[str], None]) -> None:
    """Train one base and write it as a directory that plain transformers loads, with its figures beside it."""
    plan.work.mkdir(parents=True, exist_ok=True)
    checkpoint = plan.work / f"{spec.name}.ckpt"
    if plan.force:
        checkpoint.unlink(missing_ok=True)
    recipe, start = spec.recipe(plan.recipe), None
    if spec.parent:
        _require_base(plan, spec.parent)
    made = _base_record(plan, spec)
    require_same(f"The checkpoint {checkpoint.name}", read_record(checkpoint), made)
    if spec.parent:
        start = load_base(plan.base_folder(spec.parent)).state_dict()
        tokenizer = load_tokenizer(plan.base_folder(spec.parent))
    else:
        tokenizer = train_tokenizer(tokenizer_texts(), recipe.vocabulary)
    model, training = pretrain(tokenizer, recipe, checkpoint, log, start=start, device=plan.device, made=made)
    if spec.name == BASE_NAME:
        for stale in ("base", "bases", "adapters", "brackets"):
            shutil.rmtree(plan.out / stale, ignore_errors=True)
    folder = plan.base_folder(spec.name)
    save_base(model, tokenizer, folder)
    taught = {name for adapter in plan.adapters for name in adapter.tasks}
    count = max(1, plan.evaluated // 2)
    figures = base_figures(load_base(folder), tokenizer, taught, count, plan.adapter_recipe.lengths)
    text = json.dumps(made | {"figures": training | figures}, indent=2)
    (folder / FIGURES).write_text(text + "\n", "utf-8")


def build_adapters(plan: Plan, chosen: Sequence[AdapterSpec], log: Callable[[str], None]) -> None:
    """Train, evaluate and write the chosen adapters that are not finished yet.

    An adapter may have another seed than its base: its record has the digest of the base's weights.
    """
    for spec in chosen:
        directory = plan.adapter_folder(spec)
        _require_base(plan, spec.base)
        made = adapter_record(spec, plan.adapter_recipe, plan.base_folder(spec.base))
        # meta.json is written last, so that its presence means a finished adapter.
        if (directory / META).exists() and not plan.force:
            require_same(spec.name, _written(directory / META).get("made"), made)
            log(f"{spec.name}: already built")
            continue
        tokenizer = load_tokenizer(plan.base_folder(spec.base))
        model, training = train_adapter(load_base(plan.base_folder(spec.base)), tokenizer, spec, plan.adapter_recipe)
        save_adapter(model, directory)
        figures = measured(plan, spec) | training
        write_card(spec, directory, figures, plan.adapter_recipe.lengths, made)
        log(_line(spec, figures) + f", {figures['seconds']} s")


def measured(plan: Plan, spec: AdapterSpec) -> dict[str, Any]:
    """Figures of a written adapter and of its base without it."""
    base, tokenizer = load_base(plan.base_folder(spec.base)), load_tokenizer(plan.base_folder(spec.base))
    settings = (tokenizer, spec, plan.evaluated, plan.adapter_recipe.lengths)
    alone = adapter_figures(base, *settings, "base_")
    model = load_adapter(base, plan.adapter_folder(spec)).get_base_model()
    return alone | adapter_figures(model, *settings) | {"fresh_words": fresh_words(spec)}


def measure_again(plan: Plan, log: Callable[[str], None] = print, adopt: bool = False) -> dict[str, Any]:
    """Evaluate the chosen adapters that are built once more, without training, and write cards and manifest anew.

    With ``adopt`` an adapter that nobody knows the making of is recorded as made by the plan's recipe.
    """
    plan.check()
    for spec in plan.chosen_adapters():
        directory = plan.adapter_folder(spec)
        if not (directory / META).exists():
            continue
        meta, base = _written(directory / META), plan.base_folder(spec.base)
        made = meta.get("made") or (adapter_record(spec, plan.adapter_recipe, base) if adopt else None)
        figures = measured(plan, spec)
        kept = {name: value for name, value in meta["figures"].items() if name in TRAINING}
        write_card(spec, directory, figures | kept, plan.adapter_recipe.lengths, made)
        log(_line(spec, figures))
    return finish(plan)


def _line(spec: AdapterSpec, figures: dict[str, Any]) -> str:
    shown = {name: "–" if figures[name] is None else f"{figures[name]:.3f}" for name in ("seen", "unseen", "fresh")}
    return (
        f"{spec.name}: seen {shown['seen']}, unseen {shown['unseen']}, held-out words {shown['fresh']} "
        f"(base {figures['base_unseen']:.3f})"
    )


def finish(plan: Plan) -> dict[str, Any]:
    """Write the manifest over everything built so far."""
    figures: dict[str, Any] = {"bases": {}, "adapters": {}, "brackets": {}}
    seeds: dict[str, Any] = {"bases": {}, "adapters": {}, "brackets": {}}
    for base in plan.bases:
        if finished(plan, base.name):
            written = _written(plan.base_folder(base.name) / FIGURES)
            figures["bases"][base.name] = written["figures"]
            seeds["bases"][base.name] = written["recipe"]["seed"]
    for group in ("adapters", "brackets"):
        for path in sorted((plan.out / group).glob(f"*/{META}")):
            written = _written(path)
            figures[group][path.parent.name] = written["figures"]
            seeds[group][path.parent.name] = (written.get("made") or {"recipe": {"seed": None}})["recipe"]["seed"]
    return write_manifest(plan.out, figures, seeds)


def with_seed(plan: Plan, seed: int) -> Plan:
    """The same plan from another seed."""
    return replace(plan, recipe=replace(plan.recipe, seed=seed), adapter_recipe=replace(plan.adapter_recipe, seed=seed))
