"""What a base's page shows of what was read: facts of its config, its modules by kind, its adapters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from marketplace.adapters.selectors import listed_adapters
from marketplace.bases.models import Base
from marketplace.bases.shapes import feature
from marketplace.policy import Person

#: Label → the keys under which configs have it, the usual one first.
_FACTS = {
    "Model type": ("model_type",),
    "Layers": ("num_hidden_layers", "n_layer", "num_layers"),
    "Width": ("hidden_size", "n_embd", "d_model", "dim"),
    "Inner width": ("intermediate_size", "n_inner", "d_ff", "ffn_dim", "hidden_dim"),
    "Attention heads": ("num_attention_heads", "n_head", "num_heads", "n_heads"),
    "Key and value heads": ("num_key_value_heads",),
    "Experts": ("num_local_experts", "num_experts", "n_routed_experts"),
    "Vocabulary": ("vocab_size",),
    "Longest input": ("max_position_embeddings", "n_positions"),
    "Tied embeddings": ("tie_word_embeddings",),
}
_MAX_GROUPS = 60
_SHOWN_ADAPTERS = 12


@dataclass(frozen=True)
class Group:
    """Modules that differ in their layer alone: ``count`` of them, with one shape."""

    name: str
    count: int
    d_out: int
    d_in: int


def facts_of(config: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What people ask first; of a model inside of another one, its own."""
    inner = config.get("text_config")
    places = [config, inner] if isinstance(inner, dict) else [config]
    facts = []
    for label, keys in _FACTS.items():
        values = [place[key] for place in places for key in keys if _is_fact(place.get(key))]
        if values:
            facts.append((label, _words(values[0])))
    return facts


def _is_fact(value: Any) -> bool:
    return isinstance(value, (int, float, str, bool)) and value != ""


def _words(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else str(value)[:100]


def groups_of(shapes: Mapping[str, Sequence[int]]) -> list[Group]:
    """In the order in which the model has them."""
    found: dict[str, Group] = {}
    for name, shape in shapes.items():
        key = feature(name, shape[0], shape[1])
        known = found.get(key)
        found[key] = Group(key.rpartition(" ")[0], known.count + 1 if known else 1, shape[0], shape[1])
    return list(found.values())[:_MAX_GROUPS]


def adapters_of(user: Person, base: Base) -> dict[str, Any]:
    """The newest ones that ``user`` may see in lists, and how many there are."""
    adapters = listed_adapters(user).filter(base=base)
    return {"count": adapters.count(), "newest": list(adapters.order_by("-created_at", "-pk")[:_SHOWN_ADAPTERS])}
