"""Which licence a merge carries, and which merges stay private."""

from __future__ import annotations

import pytest

from marketplace.adapters.licences import LICENCES, Obligation, merge_licence, normalise, obligations_of


@pytest.mark.parametrize(
    ("parents", "license"),
    [
        (["mit", "mit"], "mit"),
        (["mit", "apache-2.0"], "apache-2.0"),
        (["cc0-1.0", "mit"], "mit"),
        (["apache-2.0", "cc-by-4.0", "mit"], "cc-by-4.0"),
        (["mit", "cc-by-nc-4.0"], "cc-by-nc-4.0"),
        (["cc-by-sa-4.0", "mit"], "cc-by-sa-4.0"),
        (["cc-by-sa-3.0", "cc-by-sa-4.0"], "cc-by-sa-4.0"),
        (["cc-by-sa-4.0", "gpl-3.0"], "gpl-3.0"),
        (["gpl-3.0", "agpl-3.0", "mit"], "agpl-3.0"),
        (["apache-2.0", "gpl-3.0"], "gpl-3.0"),
        (["cc-by-nc-sa-4.0", "cc-by-nc-4.0"], "cc-by-nc-sa-4.0"),
        (["llama3", "mit"], "llama3"),
        (["llama3", "cc-by-nc-4.0"], "llama3 AND cc-by-nc-4.0"),
        (["llama3.1", "gemma"], "llama3.1 AND gemma"),
        (["llama3 AND cc-by-nc-4.0", "mit"], "llama3 AND cc-by-nc-4.0"),
    ],
)
def test_publishable(parents: list[str], license: str) -> None:
    verdict = merge_licence(parents)
    assert (verdict.license, verdict.publishable, verdict.reason) == (license, True, "")
    assert merge_licence(parents[::-1]).publishable
    union = frozenset().union(*(LICENCES[part].obligations for parent in parents for part in parent.split(" AND ")))
    assert len(verdict.obligations) == len(union)


@pytest.mark.parametrize(
    ("parents", "words"),
    [
        (["cc-by-nd-4.0", "mit"], "NoDerivatives 4.0 does not let adaptations be shared"),
        (["cc-by-nc-nd-4.0", "cc-by-nc-nd-4.0"], "does not let adaptations be shared"),
        (["", "mit"], "none stated"),
        (["other", "mit"], "“other”"),
        (["made-up-1.0"], "“made-up-1.0”"),
        (["cc-by-nc-sa-4.0", "cc-by-sa-4.0"], "each ask that adaptations carry their own terms"),
        (["gpl-2.0", "gpl-3.0"], "each ask"),
        (["apache-2.0", "gpl-2.0"], "allows no further conditions"),
        (["cc-by-sa-4.0", "cc-by-nc-4.0"], "NonCommercial 4.0 has some"),
        (["gpl-3.0", "llama3"], "Llama 3 Community License has some"),
    ],
)
def test_stays_private(parents: list[str], words: str) -> None:
    verdict = merge_licence(parents)
    assert not verdict.publishable
    assert words in verdict.reason
    assert "stays private" in verdict.reason


def test_table_is_consistent() -> None:
    for licence in LICENCES.values():
        assert licence.id == normalise(licence.id)
        assert len(licence.id) <= 60
        for other in licence.becomes:
            assert Obligation.SHARE_ALIKE in LICENCES[other].obligations
        # A licence alone keeps itself.
        alone = merge_licence([licence.id])
        assert alone.publishable is (Obligation.NO_DERIVATIVES not in licence.obligations)
        if alone.publishable:
            assert alone.license == licence.id


def test_obligations_in_words() -> None:
    assert obligations_of("cc-by-nc-4.0") == ("Name the authors and keep their notices.", "No commercial use.")
    assert obligations_of("mit", "llama3")[-1].startswith("Pass on the licence's limits")
    assert "No licence is stated" in obligations_of("")[0]
    assert "“strange”" in obligations_of("strange")[0]
