"""A merge that is killed in the middle leaves nothing, not even its folder; killed while files get their names, no
recipe beside weights that it did not make."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from reference.random_factors import write_random

from inference_worker.adapter_format import open_directory
from inference_worker.merging import merge_adapters

ROOT = Path(__file__).parents[3]
CODE = """
import os, signal, sys
from inference_worker.adapter_format import open_directory
from inference_worker.merging import loading, merge_adapters

loading.GROUP_BYTES = 4000  # a group per module
kind, limit, out, *parents = sys.argv[1:]

def progress(fraction, message):
    if fraction >= float(limit):
        assert not os.path.exists(os.path.join(out, "adapter_model.safetensors"))
        os.kill(os.getpid(), getattr(signal, kind))

readers = [open_directory(parent) for parent in parents]
merge_adapters(readers, [1.0] * len(readers), "svd", out, progress=progress, threads=2)
"""


@pytest.mark.parametrize("kind", ["SIGKILL", "SIGTERM"])
@pytest.mark.parametrize("limit", ["0.4", "0.98"])
@pytest.mark.parametrize("there", [False, True])
def test_nothing_is_left(kind: str, limit: str, there: bool, tmp_path: Path) -> None:
    for seed in range(2):
        write_random(tmp_path / f"p{seed}", seed).close()
    out = tmp_path / "new" / "out"
    if there:
        out.mkdir(parents=True)
    line = [sys.executable, "-c", CODE, kind, limit, str(out), str(tmp_path / "p0"), str(tmp_path / "p1")]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (-getattr(signal, kind), "")
    assert sorted(path.name for path in tmp_path.iterdir()) == (["new", "p0", "p1"] if there else ["p0", "p1"])
    assert [path.name for path in tmp_path.rglob("new/**/*")] == (["out"] if there else [])


PUBLISH = """
import json, os, signal, sys
from inference_worker.adapter_format import open_directory
from inference_worker.adapter_format.new_file import NewFile
from inference_worker.merging import merge_adapters

def merge(out, limit, parents):
    given = []
    publish = NewFile.publish

    def give(self, name):
        if len(given) == limit:
            os.kill(os.getpid(), signal.SIGKILL)
        given.append(name)
        publish(self, name)

    NewFile.publish = give
    merge_adapters([open_directory(parent) for parent in parents], [1.0, -0.5], "svd", out)

for out, limit in json.loads(sys.argv[1]):
    child = os.fork()
    if child == 0:
        merge(out, limit, sys.argv[2:])
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == (0 if limit > 3 else -signal.SIGKILL)
"""


def test_a_recipe_never_stands_beside_others_weights(tmp_path: Path) -> None:
    """Killed before each of the four names is given, in an empty folder and over an earlier merge."""
    for seed in range(2):
        write_random(tmp_path / f"p{seed}", seed).close()
    parents = [tmp_path / "p0", tmp_path / "p1"]
    readers = [open_directory(parent) for parent in parents]
    merge_adapters(readers, [0.3, 1.0], "cat", tmp_path / "old")
    old = content(tmp_path / "old")
    cases = [(tmp_path / "new", 4)]
    for limit in range(4):
        cases += [(tmp_path / f"empty{limit}", limit), (tmp_path / f"over{limit}", limit)]
        shutil.copytree(tmp_path / "old", tmp_path / f"over{limit}")
    plan = json.dumps([(str(out), limit) for out, limit in cases])
    line = [sys.executable, "-c", PUBLISH, plan, *map(str, parents)]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    new = content(tmp_path / "new")
    assert set(new) == set(old)
    assert all(new[name] != old[name] for name in old)
    for out, _ in cases:
        found = {name: data for name, data in content(out).items() if not name.startswith(".partial-")}
        assert all(data in (old[name], new[name]) for name, data in found.items())
        if "recipe.json" in found:
            whole = old if found["recipe.json"] == old["recipe.json"] else new
            assert {name: whole[name] for name in found} == found
            assert {"adapter_config.json", "adapter_model.safetensors"} < set(found)
        if out.name == "over0":
            assert found["adapter_model.safetensors"] == old["adapter_model.safetensors"]


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}
