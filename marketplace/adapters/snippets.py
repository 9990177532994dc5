"""Code that people copy from an adapter's page."""

from __future__ import annotations

from dataclasses import dataclass
from textwrap import dedent

from django.conf import settings
from django.contrib.auth.models import AnonymousUser

from marketplace import policy
from marketplace.adapters.cards.card import model_class
from marketplace.adapters.cards.loading import base_lines, shipped_base
from marketplace.adapters.models import Adapter


@dataclass(frozen=True)
class Snippet:
    title: str
    code: str


def snippets_for(adapter: Adapter) -> list[Snippet]:
    """Fetch it, load it in PEFT, ask it here where it writes text. What not everybody may have needs a token."""
    summary = adapter.current.artifact.summary if adapter.current else {}
    loader = model_class(str(summary.get("task_type", "")))
    site = settings.SITE_URL
    full_name, name = adapter.full_name, adapter.name
    everybody = policy.may_use(AnonymousUser(), adapter)
    header = "" if everybody else ' -H "Authorization: Bearer $BRICKYARD_TOKEN"'
    fetch = f"""\
        curl -fL{header} -o {name}.zip \\
          {site}/api/v1/adapters/{full_name}/archive/main.zip
        unzip -j {name}.zip -d {name}"""
    load = [
        "from peft import PeftModel",
        f"from transformers import {loader}\n",
        base_lines(_base_for_others(adapter), loader),
        f'model = PeftModel.from_pretrained(base, "{name}")',
    ]
    ask = f"""\
        curl -f{header} {site}/api/v1/generations/ \\
          -H "Content-Type: application/json" \\
          -d '{{"prompt": "…", "stream": false, "members": [{{"adapter": "{full_name}"}}]}}'"""
    snippets = [Snippet("Download", dedent(fetch)), Snippet("Load with PEFT", "\n".join(load))]
    return [*snippets, Snippet("Ask over REST", dedent(ask))] if summary.get("generates", True) else snippets


def _base_for_others(adapter: Adapter) -> str:
    """What somebody elsewhere loads the base by: a repository, or a base that Brickyard's own repository ships; never
    another directory of this machine."""
    source = adapter.base.source if adapter.base else ""
    if source and not source.startswith(("/", ".", "~")):
        return source
    return shipped_base(source) or adapter.base_name or "the-base-it-was-trained-on"
