"""Fetch adapters from the outside world: guarded addresses, limits, transfers that go on where they broke off."""

from inference_worker.fetching.settings import FetchSettings

__all__ = ["FetchSettings"]
