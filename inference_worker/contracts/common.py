"""What several contracts share."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]

Severity = Literal["error", "warning", "info"]


class Contract(BaseModel):
    """Base of every contract: immutable, unknown keys rejected by name."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class Problem(Contract):
    """One finding about a user's data. It is data, not an exception.

    ``code`` is stable (``nonfinite_values``), ``place`` says where (a file, a tensor's name, a config key),
    ``message`` says what is wrong and ``remedy`` what to do about it, both in sentences for people.
    """

    code: str
    severity: Severity
    place: str = ""
    message: str
    remedy: str = ""


class AdapterFiles(Contract):
    """The two blobs that make an adapter's artefact, and the name people know it by (``owner/name``)."""

    label: str
    config: Sha256
    weights: Sha256


class BaseFiles(Contract):
    """Where a worker finds a base model.

    ``source`` is a hub repository id or a directory that the operator configured; ``revision`` pins a repository.
    """

    name: str
    source: str
    revision: str | None = None


class PromptFormat(Contract):
    """How a prompt is put to a model: the base's chat template or plain text with ``{prompt}`` in ``template``."""

    kind: Literal["chat", "plain"] = "plain"
    template: str = "{prompt}"
    system: str = ""
    stop: tuple[str, ...] = ()

    def render(self, prompt: str) -> str:
        """The plain text of ``prompt``; only meaningful for ``kind == "plain"``. The first ``{prompt}`` is filled in:
        filling several would let a short template multiply a long prompt."""
        return self.template.replace("{prompt}", prompt, 1)


class OutputFile(Contract):
    """A file that a job wrote into the blob store."""

    path: str
    sha256: Sha256
    git_sha1: str
    size: int = Field(ge=0)
