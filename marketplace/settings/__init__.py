"""Settings, all from the environment; what is not set takes the safe value."""

from marketplace.settings.base import *  # noqa: F403
from marketplace.settings.jobs import *  # noqa: F403
from marketplace.settings.limits import *  # noqa: F403
from marketplace.settings.rest import *  # noqa: F403
