"""Which class of ``transformers`` builds a base for which of PEFT's tasks, and under which names its modules stand.

The same base is named differently by task: a module of Llama is ``model.layers.0.…`` to a language model and
``layers.0.…`` to a plain feature extractor, and a classifier has a head that the language model lacks.
"""

from __future__ import annotations

from typing import Any

from torch import nn
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForQuestionAnswering,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    PreTrainedConfig,
)
from transformers.models.auto import modeling_auto as auto

from inference_worker.contracts.bases import MASKED_LM
from inference_worker.serving.multi_adapter_linear import linear_modules, linear_shape

Shapes = dict[str, tuple[int, int]]

#: PEFT's task type (and one of ours: PEFT names none for masked models) → class, and the configs that it takes. In the
#: order in which they are tried for a config that does not say what it was saved as.
TASKS: dict[str, tuple[Any, Any]] = {
    "CAUSAL_LM": (AutoModelForCausalLM, auto.MODEL_FOR_CAUSAL_LM_MAPPING),
    "SEQ_2_SEQ_LM": (AutoModelForSeq2SeqLM, auto.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING),
    MASKED_LM: (AutoModelForMaskedLM, auto.MODEL_FOR_MASKED_LM_MAPPING),
    "SEQ_CLS": (AutoModelForSequenceClassification, auto.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING),
    "TOKEN_CLS": (AutoModelForTokenClassification, auto.MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING),
    "QUESTION_ANS": (AutoModelForQuestionAnswering, auto.MODEL_FOR_QUESTION_ANSWERING_MAPPING),
    "FEATURE_EXTRACTION": (AutoModel, auto.MODEL_MAPPING),
}
#: Mixture-of-experts models that called their experts' matrices w1, w2, w3 before they were fused.
_NUMBERED_EXPERTS = frozenset({"mixtral", "phimoe", "minimax", "minimax_m2"})


def tasks_of(config: PreTrainedConfig) -> list[str]:
    """The tasks that this version has a class for, the one that the checkpoint was saved as first; none for a model
    that reads no text."""
    possible = [task for task, (_, mapping) in TASKS.items() if type(config) in mapping]
    if getattr(config.get_text_config(), "vocab_size", None) is None:
        return []
    if config.is_encoder_decoder and "SEQ_2_SEQ_LM" in possible:
        possible.sort(key=lambda task: task != "SEQ_2_SEQ_LM")
    named = config.architectures
    saved_as = {name for name in named if isinstance(name, str)} if isinstance(named, list) else set()
    # A stable sort: without a known architecture the order above decides.
    return sorted(possible, key=lambda task: not saved_as & _class_names(TASKS[task][1], config))


def _class_names(mapping: Any, config: PreTrainedConfig) -> set[str]:
    found = mapping[type(config)]
    return {cls.__name__ for cls in (found if isinstance(found, (tuple, list)) else (found,))}


def adaptable_shapes(model: nn.Module) -> Shapes:
    """(d_out, d_in) of every module that LoRA adapts. As in PEFT's tensors, ``Conv1D`` counts like a linear layer, and
    an embedding has the tokens as inputs."""
    shapes = {name: linear_shape(module) for name, module in linear_modules(model).items()}
    for name, module in model.named_modules():
        if isinstance(module, nn.Embedding):
            shapes[name] = (module.embedding_dim, module.num_embeddings)
    return shapes


def former_names(model: nn.Module, model_type: str) -> Shapes:
    """Modules under the names that older versions of transformers gave them, which adapters keep for ever.

    Experts were linear layers each before they became one tensor; language models inside of others had another path.
    """
    found: Shapes = {}
    for name, module in model.named_modules():
        fused, down = getattr(module, "gate_up_proj", None), getattr(module, "down_proj", None)
        if isinstance(fused, nn.Parameter) and isinstance(down, nn.Parameter) and fused.dim() == down.dim() == 3:
            found |= _experts(name, fused, down, model_type)
    for name, shape in adaptable_shapes(model).items():
        if name.startswith("model.language_model."):
            found[name.replace("model.language_model.", "language_model.model.", 1)] = shape
    return found


def _experts(name: str, fused: nn.Parameter, down: nn.Parameter, model_type: str) -> Shapes:
    """``fused`` is (experts, 2 × inner, width) and ``down`` (experts, width, inner)."""
    count, width, inner = down.shape
    if tuple(fused.shape) != (count, 2 * inner, width):
        return {}  # Some store them transposed and never had layers of their own.
    parent = name.rpartition(".")[0]
    gate, up, lower = "gate_proj", "up_proj", "down_proj"
    if model_type in _NUMBERED_EXPERTS:
        parent = f"{parent.removesuffix('mlp')}block_sparse_moe"
        gate, up, lower = "w1", "w3", "w2"
    shapes: Shapes = {f"{parent}.gate": (count, width)}
    for expert in range(count):
        prefix = f"{parent}.experts.{expert}"
        shapes |= {f"{prefix}.{part}": (inner, width) for part in (gate, up)}
        shapes[f"{prefix}.{lower}"] = (width, inner)
    return shapes
