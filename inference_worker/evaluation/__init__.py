"""Evaluation: any composition on any suite, through the engine that serves."""

from inference_worker.evaluation.harness import Member, evaluate
from inference_worker.evaluation.suite import Example, Suite, read_suite

__all__ = ["Example", "Member", "Suite", "evaluate", "read_suite"]
