"""Measured shares as people read them, to a tenth of a point. What is shown adds up: a gain is the difference of both
shares as they are shown."""

from __future__ import annotations


def percent(share: float) -> str:
    """``85 %``, ``90.6 %``."""
    return f"{_plain(share)} %"


def percents(low: float, high: float) -> str:
    """``60 to 95.5 %``."""
    return f"{_plain(low)} to {_plain(high)} %"


def points(share: float, *, plus: str = "+") -> str:
    """A difference of shares in points, with its sign: ``+75``, ``−2.4``, ``0``."""
    tenths = _tenths(share)
    return f"{plus if tenths > 0 else '−' if tenths else ''}{_plain(share)}"


def gain(base: float, value: float) -> float:
    """``value`` above ``base``, of 1: 90.6 % and 88.2 % are 2.4 points apart, whatever was cut off of both."""
    return (_tenths(value) - _tenths(base)) / 1000


def _tenths(share: float) -> int:
    return round(1000 * share)


def _plain(share: float) -> str:
    whole, rest = divmod(abs(_tenths(share)), 10)
    return f"{whole}.{rest}" if rest else str(whole)
