"""Merge weights from examples: searched without gradients (LoraHub) or learnt layer by layer (LoRA Soups)."""

from inference_worker.fitting.examples import Answers, read_answers
from inference_worker.fitting.lora_soup import learn_weights
from inference_worker.fitting.lorahub import search_weights
from inference_worker.fitting.result import Fitted
from inference_worker.fitting.weighted_sum import WeightedSum

__all__ = ["Answers", "Fitted", "WeightedSum", "learn_weights", "read_answers", "search_weights"]
