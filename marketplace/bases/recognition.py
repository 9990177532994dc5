"""Which base a config or a card means by the name that it writes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from django.db.models import Q
from django.db.models.functions import Lower

from marketplace.bases.models import Base, BaseAlias
from marketplace.bases.shipped import known_bases, last_parts

MAX_NAME = 1000
#: Endings of re-uploads that hold the same model in another number format.
_COPIES = re.compile(
    r"([-_.](unsloth|bnb|[2-8][-_]?bits?|int[48]|fp16|f16|bf16|fp32|hf|gptq|awq|gguf|exl2|mlx|nf4|fp8|w4a16|w8a8|g128|"
    r"dynamic|sharded|safetensors|quantized))+\Z",
    re.IGNORECASE,
)
_HUB_ADDRESS = re.compile(r"\A(https?://)?(www\.)?(huggingface\.co|hf\.co)/", re.IGNORECASE)
_HUB_CACHE = re.compile(r"(?:^|/)models--([^/]+?)--([^/]+?)(?:/|\Z)")
_HUB_ID = re.compile(r"\A[a-z0-9][\w.-]*(/[a-z0-9][\w.-]*)?\Z")
_PATH = re.compile(r"\A([a-z]:)?/|\A\.{0,2}/|\A~|\A[a-z]:/|\A(content|workspace|mnt|data|home|root|kaggle|models?)/")
#: Folders that say what lies in them and not which model it is.
_PLACES = re.compile(
    r"\A(checkpoint[-_]?\d+|epoch[-_]?\d+|step[-_]?\d+|[0-9a-f]{32,64}|v?\d{1,2}|snapshots?|main|model|models|base|"
    r"base[-_]model|pretrained|weights|hf|transformers|pytorch|safetensors|default|final|output|outputs|merged|tmp|\.+)\Z"
)


@dataclass(frozen=True)
class Recognition:
    """What a name means. ``canonical`` is the hub's id of a known base, which this site may not hold (``base`` None).

    ``certain`` is False for what was concluded from the last part of a path: shapes have to agree.
    """

    name: str
    base: Base | None = None
    canonical: str = ""
    certain: bool = False

    @property
    def is_copy(self) -> bool:
        """Whether it is another name for what it means."""
        own = {self.base.name.lower(), self.base.source.lower()} if self.base else {self.canonical.lower()}
        return plain_name(self.name) not in own


def plain_name(name: str) -> str:
    """A name in lower case, with slashes only, without the hub's address."""
    text = name[:MAX_NAME].replace("\0", "").strip().replace("\\", "/").lower()
    text = _HUB_ADDRESS.sub("", text) if _HUB_ADDRESS.match(text) else text
    text = re.sub(r"/(tree|blob|resolve)/.*\Z", "", text) if text.count("/") > 2 else text
    return text.rstrip("/")


def is_path(name: str) -> bool:
    """Whether a name is a folder's path rather than a hub's id."""
    plain = plain_name(name)
    return bool(_PATH.match(plain)) or plain.count("/") > 1


def spellings(name: str) -> list[tuple[str, bool]]:
    """The names in lower case under which the base may be known, the surest first, each with whether it is certain."""
    found = dict.fromkeys(_certain_spellings(name), True)
    for guess in _guesses(name):
        found.setdefault(guess, False)
    return [(spelling, certain) for spelling, certain in found.items() if spelling and not _PLACES.match(spelling)]


def _certain_spellings(name: str) -> Iterator[str]:
    plain = plain_name(name)
    yield plain  # A registered directory is known by its whole path.
    cached = _HUB_CACHE.search(plain)
    if cached:
        yield f"{cached[1]}/{cached[2]}"
    elif _HUB_ID.match(plain) and not is_path(name):
        yield _COPIES.sub("", plain)


def _guesses(name: str) -> Iterator[str]:
    """From a path: its last telling part, also as ``owner_name``, without the endings of copies."""
    parts = [part for part in plain_name(name).split("/") if part and not _PLACES.match(part)]
    if not parts:
        return
    last = parts[-1]
    yield from (last, _COPIES.sub("", last))
    for separator in ("_", "--"):
        owner, found, rest = last.partition(separator)
        if found and rest:
            yield from (f"{owner}/{rest}", _COPIES.sub("", f"{owner}/{rest}"), rest)
    if len(parts) > 1:
        yield from ("/".join(parts[-2:]), _COPIES.sub("", "/".join(parts[-2:])))


def recognise(name: str) -> Recognition:
    """Three questions to the database, however many spellings there are."""
    wanted = spellings(name)
    if not wanted:
        return Recognition(name)
    texts = [spelling for spelling, _ in wanted]
    aliases = {row.alias: row for row in BaseAlias.objects.filter(alias__in=texts, active=True).select_related("base")}
    bases = _by_names([*texts, *(row.canonical.lower() for row in aliases.values())])
    for spelling, certain in wanted:
        if base := bases.get(spelling):
            return Recognition(name, base, base.name, certain)
        if row := aliases.get(spelling):
            return Recognition(name, row.base or bases.get(row.canonical.lower()), row.canonical, certain)
        if known := known_bases().get(spelling):
            return Recognition(name, None, known.name, certain)
    return _by_last_part(name, texts)


def _by_names(names: list[str]) -> dict[str, Base]:
    """Registered bases by their names and sources in lower case; the first registered one of a source."""
    asked = Base.objects.annotate(low=Lower("name"), low_source=Lower("source")).select_related("parent")
    found: dict[str, Base] = {}
    rows = list(asked.filter(Q(low__in=names) | Q(low_source__in=names)).order_by("pk"))
    for base in rows:
        found.setdefault(base.name.lower(), base)
    for base in rows:
        found.setdefault(base.source.lower(), base)
    return found


def _by_last_part(name: str, texts: list[str]) -> Recognition:
    """The only base, registered or well-known, whose own name ends with what ``name`` ends with."""
    lasts = {text.rpartition("/")[2] for text in texts}
    ends = Q()
    for last in lasts:
        ends |= Q(name__iendswith=f"/{last}") | Q(source__iendswith=f"/{last}")
    found = list(Base.objects.filter(ends).select_related("parent").order_by("pk")[:2])
    if len(found) == 1:
        return Recognition(name, found[0], found[0].name)
    if not found:
        for text in texts:
            if known := last_parts().get(text.rpartition("/")[2]):
                base = Base.objects.filter(name__iexact=known).select_related("parent").first()
                return Recognition(name, base, known)
    return Recognition(name)
