"""Make a merge again from its recipe: the same adapters, the same bytes."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from inference_worker.adapter_format.faults import raise_for_errors
from inference_worker.adapter_format.names import CONFIG_NAME, WEIGHTS_NAME
from inference_worker.adapter_format.reader import file_sha256, missing_files, open_directory
from inference_worker.contracts.common import AdapterFiles
from inference_worker.contracts.merge_recipe import MergeRecipe, check_parents
from inference_worker.errors import BadInput
from inference_worker.merging.pipeline import MergeReport, Progress, merge_adapters, silent
from inference_worker.merging.recipe import versions


@dataclass(frozen=True)
class Replay:
    """What was written, and sentences about versions that differ from the recipe's."""

    report: MergeReport
    warnings: tuple[str, ...]


def replay_recipe(
    recipe: MergeRecipe,
    folders: Sequence[Path],
    out_dir: Path,
    *,
    threads: int | None = None,
    progress: Progress = silent,
) -> Replay:
    """Merge the adapters in ``folders``, in any order, as ``recipe`` says.

    Raises ``BadInput`` naming the parent if the files of ``folders`` are not those of the recipe, and what
    ``merge_adapters`` raises.
    """
    chosen = match_parents(recipe, folders)
    with ExitStack() as stack:
        pairs = zip(chosen, recipe.parents, strict=True)
        readers = [stack.enter_context(open_directory(folder, parent.label)) for folder, parent in pairs]
        request = recipe.to_request()
        report = merge_adapters(
            readers,
            request.weights,
            request.method,
            out_dir,
            output=request.output,
            layer_weights=request.layer_weights,
            seed=request.seed,
            options=request.options,
            digests=[{"config": parent.config, "weights": parent.weights} for parent in recipe.parents],
            threads=threads,
            progress=progress,
        )
    return Replay(report, tuple(recipe.differences(versions())))


def match_parents(recipe: MergeRecipe, folders: Sequence[Path]) -> list[Path]:
    """The folder of every parent, in the recipe's order, found by digests. A folder may serve several parents."""
    known: dict[tuple[str, str], Path] = {}
    files: dict[Path, AdapterFiles] = {}
    for folder in folders:
        found = files_of(folder)
        files[folder] = found
        known.setdefault((found.config, found.weights), folder)
    fitting = [known.get((parent.config, parent.weights)) for parent in recipe.parents]
    spare = iter([folder for folder in folders if folder not in fitting])
    chosen = [folder or next(spare, None) for folder in fitting]
    check_parents(recipe, [files[folder] for folder in chosen if folder is not None])
    return [folder for folder in chosen if folder is not None]


def files_of(folder: Path) -> AdapterFiles:
    """The digests of the adapter in ``folder``. Raises ``BadInput`` if a file is missing."""
    raise_for_errors(str(folder), missing_files(folder))
    return AdapterFiles(
        label=folder.name, config=file_sha256(folder / CONFIG_NAME), weights=file_sha256(folder / WEIGHTS_NAME)
    )


def find_folders(recipe: MergeRecipe, places: Sequence[Path]) -> list[Path]:
    """Folders named like the recipe's parents below one of ``places``. Raises ``BadInput`` naming those not found."""
    found = []
    for parent in recipe.parents:
        label = Path(parent.label)
        safe = bool(parent.label) and not label.is_absolute() and ".." not in label.parts
        candidates = [place / name for place in places for name in (parent.label, label.name)] if safe else []
        folder = next((folder for folder in candidates if (folder / WEIGHTS_NAME).is_file()), None)
        if folder is None:
            name = parent.label or f"weights {parent.weights[:12]}…"
            message = f"No folder of the recipe's parent {name} is here; name the parents' folders behind the recipe"
            raise BadInput(message, code="other_parent", extra={"parent": parent.label})
        found.append(folder)
    return found
