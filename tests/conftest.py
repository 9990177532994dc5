"""How Hypothesis chooses: the same examples in every run, however slow the machine.

``pytest --hypothesis-profile=default`` looks for new ones.
"""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile("steady", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("steady")
