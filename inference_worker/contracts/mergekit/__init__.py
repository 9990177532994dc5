"""mergekit's configuration files, read and written for the merges that both can make. Free of torch.

mergekit merges whole models; the ones here are adapters on one base, which it writes as ``base+adapter``. Sources:
github.com/arcee-ai/mergekit, ``config.py``, ``plan.py``, ``merge_methods/``. What has no counterpart is
refused by name.
"""

from inference_worker.contracts.mergekit.config import MergekitConfig, read_mergekit
from inference_worker.contracts.mergekit.export import to_mergekit
from inference_worker.contracts.mergekit.translate import MergekitMerge, adapters_of, translate

__all__ = ["MergekitConfig", "MergekitMerge", "adapters_of", "read_mergekit", "to_mergekit", "translate"]
