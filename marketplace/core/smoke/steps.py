"""The steps: upload → find → merge → try → download → compare. Each returns a sentence or raises ``SmokeFault``."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from marketplace.core.smoke.comparison import compare_logits
from marketplace.core.smoke.site import Site, SmokeFault, wait_for

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
SHIPPED = Path(__file__).resolve().parent.parent.parent.parent / "inference_worker" / "testbed" / "shipped"
#: Two tasks that have little in common, so that a merge that dropped one of them would show.
SOURCES = ("reverse-words", "opposites")
SHARES = (0.7, 0.3)
CHECK_WITHIN = 120.0
MERGE_WITHIN = 300.0


@dataclass
class Smoke:
    """What the steps hand to each other. ``folder`` is emptied by the caller."""

    site: Site
    folder: Path
    mark: str = field(default_factory=lambda: f"smoke-{secrets.token_hex(4)}")
    metas: list[dict[str, Any]] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    merged: dict[str, Any] = field(default_factory=dict)

    def steps(self) -> Iterator[tuple[str, Callable[[], str]]]:
        yield "ready", self.ready
        yield "upload", self.upload
        yield "find", self.find
        yield "merge", self.merge
        yield "try", self.try_it
        yield "download", self.download
        yield "compare logits", self.compare

    def ready(self) -> str:
        state = self.site.get("/readyz", expected=(200, 503))
        if state["status"] == "unavailable":
            words = [part["message"] for part in state["parts"].values() if part["required"] and not part["ok"]]
            raise SmokeFault(" ".join(words))
        missing = ", ".join(state["missing"])
        return f"the site is {state['status']}" + (f", missing: {missing}" if missing else "")

    def upload(self) -> str:
        """Both adapters: files, then the worker's check, then publishing under a name of our own, private."""
        size = 0
        for source in SOURCES:
            folder = SHIPPED / "adapters" / source
            meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
            files = {name: (folder / name).read_bytes() for name in (CONFIG, WEIGHTS)}
            upload = self.site.post_files("/api/v1/uploads/", files)
            read = partial(self.site.get, f"/api/v1/uploads/{upload['id']}/")
            checked = wait_for(read, _checked, CHECK_WITHIN, f"Checking {source}")
            if checked["artifact"]["state"] != "valid":
                raise SmokeFault(f"{source} was refused: {_problems(checked['artifact'])}")
            name = f"{self.mark}-{source}"
            card = {key: meta[key] for key in ("description", "license", "tags", "prompt_format")}
            body = {"upload": upload["id"], "name": name, "title": f"Smoke test: {meta['title']}", **card}
            adapter = self.site.post("/api/v1/adapters/", {**body, "visibility": "private"})
            self.names.append(str(adapter["full_name"]))
            self.metas.append(meta)
            size += sum(len(content) for content in files.values())
        return f"{len(self.names)} adapters, {size / 1e6:.1f} MB"

    def find(self) -> str:
        """By description, with the owner as filter: without it a site with many adapters may rank others first."""
        wanted, meta = self.names[0], self.metas[0]
        query = {"q": meta["description"][:150], "owner": self.site.user}

        def found(page: Any) -> bool:
            return any(row["full_name"] == wanted for row in page["results"])

        page = wait_for(lambda: self.site.get("/api/v1/adapters/", query), found, 30.0, f"Finding {wanted}")
        return f"found by {page['mode'].replace('_', ' ')}"

    def merge(self) -> str:
        members = [{"adapter": name, "weight": share} for name, share in zip(self.names, SHARES, strict=True)]
        body = {"name": f"{self.mark}-merged", "method": "cat", "dtype": "float32", "members": members}
        job = self.site.post("/api/v1/merges/", body)
        ended = wait_for(
            lambda: self.site.get(f"/api/v1/jobs/{job['id']}/"),
            lambda found: found["state"] not in ("queued", "running"),
            MERGE_WITHIN,
            "The merge",
        )
        if ended["state"] != "succeeded":
            raise SmokeFault(f"The merge ended as {ended['state']}: {ended.get('error')}")
        name = f"{self.site.user}/{self.mark}-merged"
        self.names.append(name)
        self.merged = wait_for(
            lambda: self.site.get(f"/api/v1/adapters/{name}/"),
            lambda found: found["state"] not in ("pending", "validating"),
            CHECK_WITHIN,
            "Checking the merge",
        )
        if self.merged["state"] != "valid":
            raise SmokeFault(f"The merge was refused: {_problems(self.merged)}")
        return f"{name}, rank {self.merged['rank']}"

    def try_it(self) -> str:
        prompt = self.metas[0]["examples"][0]["prompt"]
        body = {"prompt": prompt, "members": [{"adapter": self.names[-1], "weight": 1.0}], "stream": False}
        answer = self.site.post("/api/v1/generations/", {**body, "sampling": {"max_tokens": 24}})
        if not answer["completion_tokens"]:
            raise SmokeFault("The generation ended without a token.")
        return f"{answer['completion_tokens']} tokens: {' '.join(answer['text'].split())[:60]}"

    def download(self) -> str:
        """The merge into ``folder``; an uploaded adapter too, which must come back as it went."""
        self._save(self.names[-1], self.merged, self.folder / "merged")
        first = self.site.get(f"/api/v1/adapters/{self.names[0]}/")
        self._save(self.names[0], first, self.folder / "first")
        for name in (CONFIG, WEIGHTS):
            if (self.folder / "first" / name).read_bytes() != (SHIPPED / "adapters" / SOURCES[0] / name).read_bytes():
                raise SmokeFault(f"{name} of {self.names[0]} came back changed.")
        size = sum(file.stat().st_size for file in (self.folder / "merged").iterdir())
        return f"{size / 1e6:.1f} MB, digests hold"

    def _save(self, name: str, adapter: dict[str, Any], folder: Path) -> None:
        folder.mkdir()
        digests = {file["path"]: file["sha256"] for file in adapter["files"]}
        for path in (CONFIG, WEIGHTS):
            content = self.site.get_bytes(f"/api/v1/adapters/{name}/files/{adapter['commit']}/{path}")
            if hashlib.sha256(content).hexdigest() != digests.get(path):
                raise SmokeFault(f"{path} of {name} does not have the digest that the site names.")
            (folder / path).write_bytes(content)

    def compare(self) -> str:
        parents = [(SHIPPED / "adapters" / source, share) for source, share in zip(SOURCES, SHARES, strict=True)]
        prompts = [meta["examples"][0]["prompt"] for meta in self.metas]
        return compare_logits(SHIPPED / "base", self.folder / "merged", parents, prompts)

    def clean_up(self) -> None:
        """Delete what was made; the merge first, whose parents the others are."""
        for name in reversed(self.names):
            self.site.delete(f"/api/v1/adapters/{name}/")


def _checked(upload: dict[str, Any]) -> bool:
    if upload["state"] == "refused":
        raise SmokeFault(f"The upload was refused: {_problems(upload)}")
    return bool(upload["artifact"]) and upload["artifact"]["state"] not in ("pending", "validating")


def _problems(found: dict[str, Any]) -> str:
    return "; ".join(problem["message"] for problem in found["problems"]) or "no reason given"
