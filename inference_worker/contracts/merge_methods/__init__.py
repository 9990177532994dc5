"""The merge methods as everybody may know them: names, words, options. Free of torch.

``inference_worker.merging`` binds a tensor function to each; a test holds both tables against each other. One module
per group of methods; their order is the order in which people see them.
"""

from inference_worker.contracts.merge_methods.elementwise import ELEMENTWISE
from inference_worker.contracts.merge_methods.fitted import FITTED
from inference_worker.contracts.merge_methods.info import MergeMethodInfo, NoOptions
from inference_worker.contracts.merge_methods.lego import LEGO, LegoOptions
from inference_worker.contracts.merge_methods.rules import MemberFacts, Refusal
from inference_worker.contracts.merge_methods.spectral import SPECTRAL
from inference_worker.contracts.merge_methods.sums import SUMS, CatOptions

METHODS: dict[str, MergeMethodInfo] = {info.name: info for info in (*LEGO, *SUMS, *ELEMENTWISE, *SPECTRAL, *FITTED)}

__all__ = ["METHODS", "CatOptions", "LegoOptions", "MemberFacts", "MergeMethodInfo", "NoOptions", "Refusal"]
