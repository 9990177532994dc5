"""Text that PostgreSQL can hold."""

from marketplace.core.plain_text import has_impossible, storable


def test_only_what_cannot_be_stored_is_replaced() -> None:
    value = {"a\0": ["x\ud800y", ("\udfff",), 1, None, True, 0.5, float("nan"), float("-inf")], "ü🧱": "\n\t\x01"}
    assert storable(value) == {
        "a\ufffd": ["x\ufffdy", ["\ufffd"], 1, None, True, 0.5, None, None],
        "ü🧱": "\n\t\x01",
    }
    assert has_impossible("a\0")
    assert has_impossible("\ud800")
    assert not has_impossible("ü🧱\x01")
