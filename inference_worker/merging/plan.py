"""The plan of a merge: everything that arguments, configs and headers decide, before any tensor is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from inference_worker.adapter_format.reader import AdapterReader
from inference_worker.adapter_format.writer import ModulePlan
from inference_worker.contracts.common import Contract
from inference_worker.contracts.merge_checks import check_ranks
from inference_worker.contracts.merge_output import MemberWeights, MergeOutput
from inference_worker.merging.compatibility import Member, check_members, choose_members, module_names
from inference_worker.merging.loading import plan_groups, present
from inference_worker.merging.output import Goal, goal_of
from inference_worker.merging.registry import MergeMethod, find_method, parse_options


@dataclass(frozen=True)
class MergePlan:
    """``names`` are the result's modules in their order, ``groups`` the same in the pieces that are worked on."""

    members: list[Member]
    method: MergeMethod
    options: Contract
    output: MergeOutput
    seed: int
    names: list[str]
    groups: list[list[str]]

    @property
    def biased(self) -> bool:
        """Whether any adapter has biases of its updates (lora_bias)."""
        return any(member.reader.config.lora_bias for member in self.members)

    def goal(self, module: str, ranks: Sequence[int]) -> Goal:
        """The rank wished for a module whose adapters have ``ranks``."""
        return goal_of(self.output.rank_of(module), self.method.info, tuple(ranks))

    def module_plans(self) -> list[ModulePlan]:
        """What the writer makes room for."""
        return [self._module_plan(name) for name in self.names]

    def _module_plan(self, name: str) -> ModulePlan:
        infos = [info for _, info in present(self.members, name)]
        ranks = [info.rank for info in infos]
        return ModulePlan(
            name=name,
            rank=self.goal(name, ranks).bound(sum(ranks)),
            d_in=infos[0].d_in,
            d_out=infos[0].d_out,
            kind=infos[0].kind,
            bias=self.biased and infos[0].kind == "linear",
            magnitude=any(info.magnitude is not None for info in infos),
        )


def make_plan(
    readers: Sequence[AdapterReader],
    weights: Sequence[float],
    layer_weights: Sequence[MemberWeights],
    method: str,
    options: Mapping[str, Any],
    output: MergeOutput,
    seed: int,
) -> MergePlan:
    """Check everything that headers, configs and arguments tell. Raises ``BadInput`` and ``Refused``."""
    chosen = find_method(method)
    parsed = parse_options(chosen, options)
    check_ranks(output, chosen.info)
    members = choose_members(readers, weights, layer_weights, output)
    check_members(members, chosen.info, parsed)
    names = module_names(members)
    return MergePlan(members, chosen, parsed, output, seed, names, plan_groups(members, names))
