"""The playground's form: columns, one prompt, sampling."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from django.http import QueryDict

from marketplace.adapters.models import Adapter
from marketplace.compositions.members import find_adapter
from marketplace.compositions.mix_selectors import PREFIX, find_mix
from marketplace.compositions.models import Composition
from marketplace.core.errors import AppError

MAX_ADAPTERS = 3


@dataclass(frozen=True)
class Setting:
    """One sampling parameter as a field."""

    name: str
    label: str
    help: str
    default: str
    step: str
    low: float
    high: float
    whole: bool


SETTINGS = (
    Setting("max_tokens", "Most tokens", "1 to 512", "48", "1", 1, 512, True),
    Setting("temperature", "Temperature", "0 is greedy", "0", "0.1", 0, 5, False),
    Setting("top_p", "Top p", "1 is off", "1", "0.05", 0.05, 1, False),
    Setting("top_k", "Top k", "0 is off", "0", "1", 0, 1000, True),
    Setting("repetition_penalty", "Repetition penalty", "1 is off", "1", "0.05", 0.05, 5, False),
    Setting("seed", "Seed", "empty is random", "", "1", 0, 2**31 - 1, True),
)


@dataclass
class PlaygroundForm:
    """``values`` holds what was written per setting; ``faults`` maps fields to sentences."""

    adapters: list[Adapter]
    base: str
    prompt: str
    values: dict[str, str]
    faults: dict[str, list[str]] = field(default_factory=dict)
    mixes: list[Composition] = field(default_factory=list)

    @property
    def room(self) -> int:
        """How many more columns fit beside the base."""
        return MAX_ADAPTERS - len(self.adapters) - len(self.mixes)

    @property
    def mixed(self) -> list[Adapter]:
        """The adapters in the mixes."""
        return [row.adapter for mix in self.mixes for row in mix.members.all() if row.adapter is not None]

    def sampling(self) -> dict[str, Any]:
        """The service's ``sampling``; what is no number or out of range is a fault."""
        found: dict[str, Any] = {}
        for setting in SETTINGS:
            text = self.values[setting.name].strip().replace(",", ".")
            if not text:
                continue
            try:
                number = int(text) if setting.whole else float(text)
            except ValueError:
                self.faults[setting.name] = ["Write a number."]
                continue
            if not setting.low <= number <= setting.high:
                self.faults[setting.name] = [f"Give a number from {setting.low:g} to {setting.high:g}."]
                continue
            found[setting.name] = number
        return found

    def fault(self, error: AppError) -> None:
        fields = error.extra.get("fields")
        if not isinstance(fields, dict) or not fields:
            fields = {"": [error.message]}
        for name, sentences in fields.items():
            self.faults.setdefault(name, []).extend(str(sentence) for sentence in sentences)


def read_form(user: Any, data: QueryDict) -> PlaygroundForm:
    """``with`` (repeated owner/name or mix/owner/name), ``add``, ``drop``, ``base``, ``prompt`` and the sampling
    parameters."""
    names = [name.strip() for name in data.getlist("with") if name.strip()]
    if data.get("add"):
        names.append(data["add"])
    faults: dict[str, list[str]] = {}
    adapters: list[Adapter] = []
    mixes: list[Composition] = []
    for name in dict.fromkeys(names):
        if name == data.get("drop"):
            continue
        try:
            if name.startswith(PREFIX):
                mixes.append(find_mix(user=user, full_name=name))
            else:
                adapters.append(find_adapter(user=user, full_name=name))
        except AppError as error:
            faults.setdefault("members", []).append(error.message)
    if len(adapters) + len(mixes) > MAX_ADAPTERS:
        faults.setdefault("members", []).append(f"There is room for {MAX_ADAPTERS} adapters or mixes beside the base.")
        adapters = adapters[:MAX_ADAPTERS]
        mixes = mixes[: MAX_ADAPTERS - len(adapters)]
    return PlaygroundForm(
        adapters=adapters,
        mixes=mixes,
        base=data.get("base", ""),
        prompt=data.get("prompt", "").replace("\r\n", "\n"),
        values={setting.name: data.get(setting.name, setting.default) for setting in SETTINGS},
        faults=faults,
    )
