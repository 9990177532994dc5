"""Shapes of previews, sweeps and recipes."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from inference_worker.contracts.merge_preview import MAX_PROMPT, MAX_PROMPTS, MAX_TOKENS
from inference_worker.contracts.merge_sweep import MAX_EXAMPLES, MAX_POINTS
from marketplace.adapters.lineage_graph import DEPTH, MAX_DEPTH
from marketplace.compositions.lab.sweeps import PARENTS
from marketplace.compositions.members import MAX_WEIGHT
from marketplace.compositions.serializers import MergeSettingsSerializer
from marketplace.jobs.models import Job
from marketplace.jobs.serializers import JobSerializer


class PreviewRequestSerializer(MergeSettingsSerializer):
    prompts = serializers.ListField(child=serializers.CharField(max_length=MAX_PROMPT), max_length=MAX_PROMPTS)
    max_tokens = serializers.IntegerField(min_value=1, max_value=MAX_TOKENS, default=64)


class TrialSerializer(JobSerializer):
    """The job of a preview or a sweep."""

    notes = serializers.ListField(
        child=serializers.CharField(), help_text="what to know of its results, such as members of other prompt formats"
    )

    def to_representation(self, instance: Job) -> dict[str, Any]:
        return {**super().to_representation(instance), "notes": instance.subject.get("notes", [])}


class SweepExampleSerializer(serializers.Serializer[Any]):
    prompt = serializers.CharField(max_length=4000)
    expected = serializers.CharField(max_length=4000)


class SweepRequestSerializer(MergeSettingsSerializer):
    """The grid is the product of ``weights``, ``methods`` and ``ranks``; what is left out stays as the settings say."""

    weights = serializers.ListField(
        child=serializers.ListField(child=serializers.FloatField(min_value=-MAX_WEIGHT, max_value=MAX_WEIGHT)),
        required=False,
        default=list,
        max_length=MAX_POINTS,
        help_text="one list per setting, in the members' order",
    )
    methods = serializers.ListField(child=serializers.CharField(), required=False, default=list, max_length=MAX_POINTS)
    ranks = serializers.ListField(
        child=serializers.JSONField(),
        required=False,
        default=list,
        max_length=MAX_POINTS,
        help_text="as output.rank",
    )
    suite = serializers.CharField(
        max_length=100, default=PARENTS, help_text="“parents”: the members' own examples; a suite's id; or testbed:NAME"
    )
    count = serializers.IntegerField(min_value=1, max_value=64, default=8, help_text="per task of a built-in suite")
    examples = SweepExampleSerializer(many=True, required=False, max_length=MAX_EXAMPLES)


class SweepEstimateSerializer(serializers.Serializer[Any]):
    value = serializers.FloatField()
    low = serializers.FloatField()
    high = serializers.FloatField()
    n = serializers.IntegerField()


class SweepDifferenceSerializer(SweepEstimateSerializer):
    wins = serializers.IntegerField(allow_null=True, help_text="examples that the setting alone has right")
    losses = serializers.IntegerField(allow_null=True, help_text="examples that the other alone has right")


class SweepCellSerializer(serializers.Serializer[Any]):
    """One measurement; intervals are 95 %."""

    kind = serializers.CharField(help_text="base, parent, ensemble (of all parents, by mean log-probability) or point")
    position = serializers.IntegerField()
    label = serializers.CharField()
    overall = serializers.DictField(child=SweepEstimateSerializer(), help_text="metric → estimate")
    tasks = serializers.DictField(child=serializers.DictField(child=SweepEstimateSerializer()))
    against_base = SweepDifferenceSerializer(allow_null=True, help_text="exact match minus the base's, by example")
    against_best_parent = SweepDifferenceSerializer(allow_null=True)
    rank = serializers.IntegerField(allow_null=True)
    seconds = serializers.FloatField()
    fault = serializers.CharField(help_text="why a setting could not be measured")
    verdict = serializers.CharField(help_text="such as “no better than the best parent”")
    merge = serializers.JSONField(
        allow_null=True, help_text="a point's settings: weights, method, output, options, seed"
    )


class SweepSerializer(serializers.Serializer[Any]):
    job = serializers.UUIDField()
    state = serializers.CharField()
    total = serializers.IntegerField(help_text="settings in all")
    best = serializers.IntegerField(
        allow_null=True, help_text="position of the highest point so far; its verdict says what that means"
    )
    notes = serializers.ListField(child=serializers.CharField())
    cells = SweepCellSerializer(many=True)


class RecipeRequestSerializer(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=96)
    title = serializers.CharField(max_length=120, required=False, default="", allow_blank=True)
    recipe = serializers.DictField(required=False, help_text="the contents of recipe.json")
    mergekit = serializers.CharField(
        required=False, default="", max_length=100_000, trim_whitespace=False, help_text="or a mergekit file's YAML"
    )
    idempotency_key = serializers.CharField(max_length=100, required=False, allow_null=True, default=None)


class ModuleClustersSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    kind = serializers.CharField()
    layer = serializers.IntegerField(help_text="−1 outside the layers")
    bricks = serializers.IntegerField()
    mixed = serializers.IntegerField(help_text="bricks of several adapters")
    isolated = serializers.IntegerField(help_text="bricks of one unit")
    purity = serializers.FloatField(help_text="by unit; 1: nothing was shared")
    inertia = serializers.FloatField(help_text="share of the units' squared size that was lost")


class ClusterUnitSerializer(serializers.Serializer[Any]):
    adapter = serializers.IntegerField(help_text="position in adapters")
    unit = serializers.IntegerField()
    brick = serializers.IntegerField()
    size = serializers.FloatField()


class ClustersSerializer(serializers.Serializer[Any]):
    adapters = serializers.ListField(child=serializers.CharField())
    summary = serializers.DictField(
        help_text="bricks, mixed, isolated, purity, inertia; shared[i][j]: the share of i's units in a brick with j's"
    )
    modules = ModuleClustersSerializer(many=True)
    units = ClusterUnitSerializer(many=True, help_text="of the chosen module")


class LineageQuerySerializer(serializers.Serializer[Any]):
    depth = serializers.IntegerField(min_value=1, max_value=MAX_DEPTH, default=DEPTH)


class LineageNodeSerializer(serializers.Serializer[Any]):
    """``more`` alone stands where further generations are left out."""

    adapter = serializers.CharField(allow_null=True, required=False, help_text="null: a private adapter")
    commit = serializers.CharField(allow_null=True, required=False)
    deleted = serializers.BooleanField(required=False)
    weight = serializers.FloatField(required=False)
    operation = serializers.CharField(required=False)
    repeated = serializers.BooleanField(required=False, help_text="stands elsewhere with what leads on from it")
    nodes = serializers.ListField(child=serializers.DictField(), required=False, help_text="nodes of the same shape")
    more = serializers.BooleanField()


class LineageSerializer(serializers.Serializer[Any]):
    ancestors = LineageNodeSerializer(many=True)
    descendants = LineageNodeSerializer(many=True)
