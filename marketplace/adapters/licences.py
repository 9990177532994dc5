"""What licences ask of those who share or merge adapters, and the licence that a merge may carry.

Identifiers are SPDX's in lower case, and the model hubs' own for model licences. The table states obligations for
sorting and warning; the licence's text decides.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum


class Obligation(StrEnum):
    ATTRIBUTION = "attribution"
    SHARE_ALIKE = "share_alike"
    NON_COMMERCIAL = "non_commercial"
    NO_DERIVATIVES = "no_derivatives"
    USE_RESTRICTIONS = "use_restrictions"


A, SA, NC, ND, USE = Obligation

WORDS: dict[Obligation, str] = {
    A: "Name the authors and keep their notices.",
    SA: "Share adaptations under the same licence.",
    NC: "No commercial use.",
    ND: "Adaptations, merges among them, may not be shared.",
    USE: "Pass on the licence's limits on use, and keep to them.",
}


@dataclass(frozen=True)
class Licence:
    """``strictness`` orders licences of equal obligations: the higher one covers the lower (Apache-2.0 adds a patent
    clause and the statement of changes to what MIT asks). ``becomes`` names share-alike licences under which an
    adaptation may be put instead."""

    id: str
    title: str
    obligations: frozenset[Obligation]
    strictness: int = 1
    becomes: frozenset[str] = frozenset()


def _licence(
    id: str, title: str, *obligations: Obligation, strictness: int = 1, becomes: Sequence[str] = ()
) -> Licence:
    return Licence(id, title, frozenset(obligations), strictness, frozenset(becomes))


_TABLE = [
    # No conditions.
    _licence("cc0-1.0", "Creative Commons Zero 1.0", strictness=0),
    _licence("unlicense", "The Unlicense", strictness=0),
    _licence("0bsd", "BSD Zero Clause", strictness=0),
    _licence("mit-0", "MIT No Attribution", strictness=0),
    _licence("wtfpl", "WTFPL 2", strictness=0),
    _licence("pddl", "Public Domain Dedication and License 1.0", strictness=0),
    # Permissive with attribution.
    _licence("mit", "MIT", A, strictness=1),
    _licence("isc", "ISC", A, strictness=1),
    _licence("zlib", "zlib", A, strictness=1),
    _licence("postgresql", "PostgreSQL", A, strictness=1),
    _licence("bsl-1.0", "Boost Software License 1.0", A, strictness=1),
    _licence("cdla-permissive-2.0", "Community Data License Agreement, permissive 2.0", A, strictness=1),
    _licence("bsd-2-clause", "BSD 2-Clause", A, strictness=2),
    _licence("bsd-3-clause", "BSD 3-Clause", A, strictness=3),
    _licence("odc-by", "Open Data Commons Attribution 1.0", A, strictness=3),
    _licence("cdla-permissive-1.0", "Community Data License Agreement, permissive 1.0", A, strictness=3),
    _licence("afl-3.0", "Academic Free License 3.0", A, strictness=4),
    _licence("artistic-2.0", "Artistic License 2.0", A, strictness=4),
    _licence("ecl-2.0", "Educational Community License 2.0", A, strictness=4),
    _licence("apache-2.0", "Apache 2.0", A, strictness=5),
    _licence("cc-by-2.0", "Creative Commons Attribution 2.0", A, strictness=6),
    _licence("cc-by-3.0", "Creative Commons Attribution 3.0", A, strictness=7),
    _licence("cc-by-4.0", "Creative Commons Attribution 4.0", A, strictness=8),
    # Share alike.
    _licence("mpl-2.0", "Mozilla Public License 2.0", A, SA, becomes=["lgpl-3.0", "gpl-3.0", "agpl-3.0", "gpl-2.0"]),
    _licence("lgpl-2.1", "GNU LGPL 2.1", A, SA, becomes=["gpl-2.0"]),
    _licence("lgpl-3.0", "GNU LGPL 3.0", A, SA, becomes=["gpl-3.0", "agpl-3.0"]),
    _licence("gpl-2.0", "GNU GPL 2.0", A, SA),
    _licence("gpl-3.0", "GNU GPL 3.0", A, SA, becomes=["agpl-3.0"]),
    _licence("agpl-3.0", "GNU AGPL 3.0", A, SA),
    _licence("epl-2.0", "Eclipse Public License 2.0", A, SA),
    _licence("eupl-1.2", "European Union Public Licence 1.2", A, SA, becomes=["gpl-2.0", "gpl-3.0", "agpl-3.0"]),
    _licence("osl-3.0", "Open Software License 3.0", A, SA),
    _licence("odbl", "Open Database License 1.0", A, SA),
    _licence("cdla-sharing-1.0", "Community Data License Agreement, sharing 1.0", A, SA),
    _licence("cc-by-sa-3.0", "Creative Commons Attribution-ShareAlike 3.0", A, SA, becomes=["cc-by-sa-4.0"]),
    _licence("cc-by-sa-4.0", "Creative Commons Attribution-ShareAlike 4.0", A, SA, becomes=["gpl-3.0"]),
    # Non-commercial.
    _licence("cc-by-nc-2.0", "Creative Commons Attribution-NonCommercial 2.0", A, NC, strictness=6),
    _licence("cc-by-nc-3.0", "Creative Commons Attribution-NonCommercial 3.0", A, NC, strictness=7),
    _licence("cc-by-nc-4.0", "Creative Commons Attribution-NonCommercial 4.0", A, NC, strictness=8),
    _licence("apple-amlr", "Apple Machine Learning Research Model", A, NC, strictness=9),
    _licence(
        "cc-by-nc-sa-3.0",
        "Creative Commons Attribution-NonCommercial-ShareAlike 3.0",
        A,
        NC,
        SA,
        becomes=["cc-by-nc-sa-4.0"],
    ),
    _licence("cc-by-nc-sa-4.0", "Creative Commons Attribution-NonCommercial-ShareAlike 4.0", A, NC, SA),
    # No derivatives.
    _licence("cc-by-nd-4.0", "Creative Commons Attribution-NoDerivatives 4.0", A, ND),
    _licence("cc-by-nc-nd-3.0", "Creative Commons Attribution-NonCommercial-NoDerivatives 3.0", A, NC, ND),
    _licence("cc-by-nc-nd-4.0", "Creative Commons Attribution-NonCommercial-NoDerivatives 4.0", A, NC, ND),
    # Model licences with limits on use.
    _licence("openrail", "OpenRAIL", A, USE),
    _licence("openrail++", "OpenRAIL++", A, USE),
    _licence("creativeml-openrail-m", "CreativeML OpenRAIL-M", A, USE),
    _licence("bigscience-openrail-m", "BigScience OpenRAIL-M", A, USE),
    _licence("bigscience-bloom-rail-1.0", "BigScience BLOOM RAIL 1.0", A, USE),
    _licence("bigcode-openrail-m", "BigCode OpenRAIL-M", A, USE),
    _licence("llama2", "Llama 2 Community License", A, USE),
    _licence("llama3", "Llama 3 Community License", A, USE),
    _licence("llama3.1", "Llama 3.1 Community License", A, USE),
    _licence("llama3.2", "Llama 3.2 Community License", A, USE),
    _licence("llama3.3", "Llama 3.3 Community License", A, USE),
    _licence("llama4", "Llama 4 Community License", A, USE),
    _licence("gemma", "Gemma Terms of Use", A, USE),
]

LICENCES: dict[str, Licence] = {licence.id: licence for licence in _TABLE}
#: Longest licence expression that an adapter's row holds.
MAX_LENGTH = 60
#: What a form offers beside the table.
OTHER = "other"


@dataclass(frozen=True)
class LicenceVerdict:
    """The licence of a merge. ``publishable`` False keeps it private, ``reason`` says why; ``obligations`` are
    sentences for people."""

    license: str
    publishable: bool
    reason: str
    obligations: tuple[str, ...]


def choices() -> list[tuple[str, str]]:
    """(identifier, title) for forms, the unstated one last."""
    return [(licence.id, licence.title) for licence in _TABLE] + [(OTHER, "Another licence")]


def normalise(license: str) -> str:
    """Lower case, single spaces, ``AND`` in capitals; unknown identifiers are kept."""
    parts = [" ".join(part.split()).lower() for part in license.replace(" and ", " AND ").split(" AND ")]
    return " AND ".join(part for part in parts if part)


def parts_of(license: str) -> list[str]:
    """The identifiers in an SPDX ``AND`` expression."""
    return [part for part in normalise(license).split(" AND ") if part]


def obligations_of(license: str, base_license: str = "") -> tuple[str, ...]:
    """Sentences on what sharing asks under ``license`` and the base's own licence; unknown ones say so."""
    known = [LICENCES[part] for part in (*parts_of(license), *parts_of(base_license)) if part in LICENCES]
    unknown = [part for part in (*parts_of(license), *parts_of(base_license)) if part not in LICENCES]
    sentences = _sentences(known)
    if not license:
        sentences += ("No licence is stated: ask the author before you share it.",)
    return sentences + tuple(f"Read the terms of “{part}”; they are not in the table." for part in unknown)


def _sentences(licences: Iterable[Licence]) -> tuple[str, ...]:
    union = frozenset().union(*(licence.obligations for licence in licences))
    return tuple(WORDS[obligation] for obligation in Obligation if obligation in union)


def merge_licence(licences: Sequence[str]) -> LicenceVerdict:
    """The licence of a merge of adapters under ``licences``: the union of their obligations.

    No derivatives, an unstated or unknown licence, or conditions that exclude each other keep the merge private; the
    reason says which.
    """
    identifiers = list(dict.fromkeys(part for license in licences for part in parts_of(license) or [""]))
    unknown = [part for part in identifiers if part not in LICENCES]
    known = [LICENCES[part] for part in identifiers if part in LICENCES]
    obligations = _sentences(known)

    def private(reason: str) -> LicenceVerdict:
        return LicenceVerdict(OTHER, False, reason, obligations)

    if unknown:
        words = ", ".join(f"“{part}”" for part in unknown if part) or "none stated"
        return private(f"The terms of a parent's licence are not known ({words}), so the merge stays private.")
    forbidding = [licence.title for licence in known if ND in licence.obligations]
    if forbidding:
        return private(f"{' and '.join(forbidding)} does not let adaptations be shared, so the merge stays private.")
    if any(SA in licence.obligations for licence in known):
        license, reason = _share_alike(known)
    else:
        license, reason = _union(known), ""
    if reason:
        return private(reason)
    if len(license) > MAX_LENGTH:
        return private("The merge would carry too many different licences at once, so it stays private.")
    return LicenceVerdict(license, True, "", obligations)


def _share_alike(licences: Sequence[Licence]) -> tuple[str, str]:
    """(licence, "") when one of the share-alike licences can cover all, else ("", reason)."""
    sharing = [licence for licence in licences if SA in licence.obligations]
    for target in sharing:
        if not all(licence.id == target.id or target.id in licence.becomes for licence in sharing):
            continue
        fault = _not_coverable(target, licences)
        return ("", fault) if fault else (target.id, "")
    titles = " and ".join(licence.title for licence in sharing)
    return "", f"{titles} each ask that adaptations carry their own terms, so the merge stays private."


def _not_coverable(target: Licence, licences: Sequence[Licence]) -> str:
    """Why a condition of one of ``licences`` may not stand under share-alike ``target``; empty when all may."""
    for licence in licences:
        extra = licence.obligations - target.obligations
        if extra or (licence.id == "apache-2.0" and target.id == "gpl-2.0"):
            return (
                f"{target.title} allows no further conditions, and {licence.title} has some, "
                "so the merge stays private."
            )
    return ""


def _union(licences: Sequence[Licence]) -> str:
    """The fewest identifiers whose obligations cover all: the strictest one where it does, else an AND expression."""
    limited = [licence for licence in licences if USE in licence.obligations]
    others = sorted(
        (licence for licence in licences if licence not in limited),
        key=lambda licence: (len(licence.obligations), licence.strictness),
        reverse=True,
    )
    # Every licence with limits on use has a text of its own that must be passed on.
    chosen = limited[:]
    covered = frozenset().union(*(licence.obligations for licence in chosen))
    for licence in others:
        if not chosen or not licence.obligations <= covered:
            chosen.append(licence)
            covered |= licence.obligations
    return " AND ".join(licence.id for licence in chosen)
