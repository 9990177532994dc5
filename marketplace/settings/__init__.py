"""Settings, all from the environment; what is not set takes the safe value."""

from marketplace.settings.base import *  # noqa: F403
