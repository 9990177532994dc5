"""What a person types, as one of the two sources that the fetch worker knows. Nothing is asked here."""

from __future__ import annotations

import re
from urllib.parse import unquote, urlsplit

from django.conf import settings

from inference_worker.contracts.fetch import AddressSource, HubSource
from marketplace.core.errors import Invalid

MAX_SOURCE = 2000
_PART = r"[A-Za-z0-9][A-Za-z0-9._-]*"
_ID = re.compile(rf"(?P<repository>{_PART}/{_PART})(?:@(?P<revision>[^\s@?#]{{1,200}}))?")
#: Pages of a hub that lead to files: /owner/name/{tree,blob,resolve,raw}/revision/path
_VIEWS = ("tree", "blob", "resolve", "raw")
_FILES = (".safetensors", ".json", ".md", ".bin", ".pt")
#: Addresses of a hub that are no models.
_OTHERS = frozenset({"datasets", "spaces", "api", "docs", "papers", "collections", "settings", "models", "join"})


def parse_source(text: str) -> HubSource | AddressSource:
    """``owner/name``, ``owner/name@revision``, a page of the hub, or an https address.

    Raises ``Invalid`` with the field ``source``. Whether an address may be asked is the worker's to say.
    """
    text = text.strip()
    if not text or len(text) > MAX_SOURCE or not text.isprintable():
        raise _fault(f"Give an id such as owner/name, or an https address of at most {MAX_SOURCE} characters.")
    if "://" not in text:
        match = _ID.fullmatch(text)
        if match is None:
            raise _fault(f"“{text[:80]}” is neither an id such as owner/name nor an address that starts with https://.")
        return _hub(match["repository"], match["revision"] or "main")
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise _fault(f"{text[:80]} is not an address.") from error
    if parts.scheme not in ("https", "http") or not host:
        raise _fault("Only https addresses are imported from.")
    if "@" in parts.netloc:
        raise _fault("An address must not carry a user name or a password.")
    if parts.scheme == "http" and not {host, f"{host}:{port or 80}"} & set(settings.IMPORT_ALLOWED_HOSTS):
        raise _fault("The address is not encrypted; only https addresses are imported from.")
    if parts.netloc.lower() == urlsplit(settings.IMPORT_HUB_URL).netloc.lower():
        return _of_hub_page(parts.path, text)
    return AddressSource(url=text)


def shown(source: HubSource | AddressSource) -> str:
    """The source for people, without whatever secret an address' query may hold."""
    if isinstance(source, AddressSource):
        return source.url.partition("?")[0].partition("#")[0]
    folder = f"/{source.folder}" if source.folder else ""
    revision = f"@{source.revision}" if source.revision != "main" else ""
    return f"{source.repository}{folder}{revision}"


def name_from(source: HubSource | AddressSource) -> str:
    """A name for the adapter, made of the repository's or the file's."""
    if isinstance(source, HubSource):
        last = source.repository.rpartition("/")[2]
    else:
        pieces = [piece for piece in unquote(urlsplit(source.url).path).split("/") if piece]
        last = pieces[-1] if pieces and not pieces[-1].startswith("adapter_") else "/".join(pieces[-2:-1])
    stem = re.sub(r"\.(zip|safetensors|json)\Z", "", last, flags=re.IGNORECASE)
    return re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-._")[:90] or "imported"


def _of_hub_page(path: str, text: str) -> HubSource | AddressSource:
    pieces = [unquote(piece) for piece in path.split("/") if piece]
    if len(pieces) < 2 or pieces[0] in _OTHERS:
        raise _fault("This page of the hub is no model. Give the address of the model's page.")
    repository, rest = "/".join(pieces[:2]), pieces[2:]
    if not _ID.fullmatch(repository):
        raise _fault("This page of the hub is no model. Give the address of the model's page.")
    if not rest:
        return _hub(repository, "main")
    if rest[0] not in _VIEWS or len(rest) < 2:
        raise _fault("Give the address of the model's page, of one of its folders, or of its weights.")
    folder = rest[2:]
    if folder and folder[-1].lower().endswith(".zip"):
        return AddressSource(url=f"{settings.IMPORT_HUB_URL}{path.replace('/blob/', '/resolve/', 1)}")
    if folder and folder[-1].lower().endswith(_FILES):
        folder = folder[:-1]
    return _hub(repository, rest[1], "/".join(folder))


def _hub(repository: str, revision: str, folder: str = "") -> HubSource:
    if len(repository) > 200 or len(folder) > 300 or ".." in folder.split("/"):
        raise _fault("There is no such folder on a hub.")
    return HubSource(endpoint=settings.IMPORT_HUB_URL, repository=repository, revision=revision, folder=folder)


def _fault(sentence: str) -> Invalid:
    return Invalid(sentence, extra={"fields": {"source": [sentence]}})
