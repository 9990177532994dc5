"""Measured pairs."""

from __future__ import annotations

from django.db import models
from django.utils import timezone

from inference_worker.contracts.composability import PairMeasures


class PairMeasure(models.Model):
    """What two artefacts have in common. Artefacts never change, so it stays true as long as both exist.

    ``measures`` is a dumped ``contracts.composability.PairMeasures`` without its ``layers``, which stand apart:
    ranking reads hundreds of pairs and no layer.
    """

    first = models.ForeignKey("adapters.Artifact", on_delete=models.CASCADE, related_name="+")
    second = models.ForeignKey("adapters.Artifact", on_delete=models.CASCADE, related_name="+")
    version = models.PositiveSmallIntegerField()
    measures = models.JSONField()
    layers = models.JSONField(default=list)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["first", "second"], name="compositions_pair_once"),
            models.CheckConstraint(condition=models.Q(first__lt=models.F("second")), name="compositions_pair_order"),
        ]

    def __str__(self) -> str:
        return f"{self.first_id} with {self.second_id}"

    @property
    def contract(self) -> PairMeasures:
        """With its layers."""
        return PairMeasures.model_validate({**self.measures, "layers": self.layers})
