"""Secrets that people left in a card or config: keys and tokens by their known shapes.

The shapes are those of the detect-secrets library, without its guesses by entropy (every digest would be one), and a
few of this field. What is found is never repeated in a message: pages and logs would spread it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from detect_secrets.plugins.aws import AWSKeyDetector
from detect_secrets.plugins.azure_storage_key import AzureStorageKeyDetector
from detect_secrets.plugins.base import RegexBasedDetector
from detect_secrets.plugins.basic_auth import BasicAuthDetector
from detect_secrets.plugins.discord import DiscordBotTokenDetector
from detect_secrets.plugins.github_token import GitHubTokenDetector
from detect_secrets.plugins.gitlab_token import GitLabTokenDetector
from detect_secrets.plugins.jwt import JwtTokenDetector
from detect_secrets.plugins.npm import NpmDetector
from detect_secrets.plugins.private_key import PrivateKeyDetector
from detect_secrets.plugins.pypi_token import PypiTokenDetector
from detect_secrets.plugins.sendgrid import SendGridDetector
from detect_secrets.plugins.slack import SlackDetector
from detect_secrets.plugins.stripe import StripeDetector
from detect_secrets.plugins.telegram_token import TelegramBotTokenDetector
from detect_secrets.plugins.twilio import TwilioKeyDetector

from inference_worker.contracts.common import Problem
from marketplace.adapters.uploads.problems import warning

#: More findings than this are not listed; the first ones are reason enough.
MAX_FOUND = 20
#: Longer lines are looked at in pieces of this length that overlap, so that no pattern runs over megabytes.
_PIECE, _OVERLAP = 4000, 400


class _ModelServices(RegexBasedDetector):
    """Tokens of services that trainers use."""

    secret_type = "API token"  # noqa: S105 (a kind of secret, not one)
    denylist = (
        re.compile(r"\bhf_[A-Za-z0-9]{30,}\b"),
        re.compile(r"\bsk-(?:proj|svcacct|admin)-[A-Za-z0-9_-]{20,}"),
        re.compile(r"\bsk-[A-Za-z0-9]{40,}\b"),
        re.compile(r"\bsk-ant-[A-Za-z0-9_-]{20,}"),
        re.compile(r"\bAIza[0-9A-Za-z_-]{35}\b"),
        re.compile(r"\bgithub_pat_[A-Za-z0-9_]{22,}\b"),
        re.compile(r"\bby_[A-Za-z0-9_-]{30,}\b"),
    )


_DETECTORS: tuple[RegexBasedDetector, ...] = (
    _ModelServices(),
    AWSKeyDetector(),
    AzureStorageKeyDetector(),
    BasicAuthDetector(),
    DiscordBotTokenDetector(),
    GitHubTokenDetector(),
    GitLabTokenDetector(),
    JwtTokenDetector(),
    NpmDetector(),
    PrivateKeyDetector(),
    PypiTokenDetector(),
    SendGridDetector(),
    SlackDetector(),
    StripeDetector(),
    TelegramBotTokenDetector(),
    TwilioKeyDetector(),
)


@dataclass(frozen=True)
class Secret:
    """Something that looks like a secret of ``kind`` in ``line`` (from 1)."""

    kind: str
    line: int


def find_secrets(text: str) -> list[Secret]:
    """What in ``text`` looks like a key, token or password, once per line and kind, up to ``MAX_FOUND``."""
    found: dict[Secret, None] = {}
    for first, lines in _blocks(text.splitlines()):
        block = "\n".join(lines)
        suspects = [detector for detector in _DETECTORS if _hits(detector, block)]
        for number, line in enumerate(lines, start=first) if suspects else ():
            for detector in suspects:
                if any(_hits(detector, piece) for piece in _pieces(line)):
                    found[Secret(detector.secret_type, number)] = None
        if len(found) >= MAX_FOUND:
            break
    return list(found)[:MAX_FOUND]


def _hits(detector: RegexBasedDetector, text: str) -> bool:
    return any(True for _ in detector.analyze_string(text))


def _blocks(lines: list[str]) -> Iterator[tuple[int, list[str]]]:
    """Lines in blocks of about one piece's length, each with the number of its first line: most hold nothing, and many
    short lines one by one cost seconds. A line longer than a piece is a block of its own, looked at in pieces."""
    block: list[str] = []
    size, first = 0, 1
    for number, line in enumerate(lines, start=1):
        if block and size + len(line) > _PIECE:
            yield first, block
            block, size, first = [], 0, number
        if len(line) > _PIECE:
            yield from ((number, [piece]) for piece in _pieces(line))
            first = number + 1
            continue
        block.append(line)
        size += len(line) + 1
    if block:
        yield first, block


def _pieces(line: str) -> Iterator[str]:
    for start in range(0, max(1, len(line)), _PIECE - _OVERLAP):
        yield line[start : start + _PIECE]


def secret_problems(text: str, place: str) -> list[Problem]:
    """A warning for each secret in the file ``place``."""
    return [
        warning(
            "secret_found",
            f"{place}, line {secret.line}",
            f"This line holds what looks like a secret ({secret.kind}).",
            "Take it out, and revoke it where it was issued: what was public once counts as known. Earlier versions "
            "keep their files.",
        )
        for secret in find_secrets(text)
    ]
