"""The shipped base and adapters, and evaluations run in place of a worker, as the evaluations' own tests have them."""

from tests.marketplace.evaluations.conftest import _few_probes as _few_probes
from tests.marketplace.evaluations.conftest import base as base
from tests.marketplace.evaluations.conftest import make_shipped as make_shipped
from tests.marketplace.evaluations.conftest import own_store as own_store
from tests.marketplace.evaluations.conftest import run_waiting as run_waiting
