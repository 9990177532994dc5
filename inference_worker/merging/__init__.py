"""Merge adapters into a new one: a registry, one file per method, streamed by groups of modules."""

from inference_worker.merging.pipeline import MergeReport, merge_adapters
from inference_worker.merging.registry import METHODS, MergeMethod, describe_methods, parse_options

__all__ = ["METHODS", "MergeMethod", "MergeReport", "describe_methods", "merge_adapters", "parse_options"]
