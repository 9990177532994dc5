"""What a merge of low-rank factors cannot hold, by the feature's name as the inspection reports it. Free of torch.

The worker refuses by this table before any work starts; the marketplace says the same before there is a job.
"""

from __future__ import annotations

#: Features that no merge can represent, even of one adapter, with the reason.
NEVER = {
    "conv": "it changes convolution layers",
    "mutated_base": "loading it changes the base's own weights (PiSSA, OLoRA, CorDA, LoftQ, LoRA-GA); convert it first "
    "with PEFT's path_initial_model_for_weight_conversion",
    "qalora": "its A works on pooled inputs (QA-LoRA)",
    "bdlora": "its factors are block-diagonal (BD-LoRA)",
    "kasa": "it truncates the base's weights (KaSA)",
    "monteclora": "it samples its weights (MonteCLoRA)",
    "arrow": "it is a router of other adapters (Arrow)",
    "megatron": "it belongs to Megatron's parallel layers",
    "target_parameters": "it changes bare parameters of mixture-of-experts layers (target_parameters)",
}
#: Features that pass through only when this adapter is alone, at weight 1, with the reason.
ALONE = {
    "dora": "its magnitudes multiply the whole weight (DoRA), so a sum with other adapters has no such form",
    "activated_lora": "it acts only after its invocation tokens (activated LoRA)",
    "layer_replication": "it replicates layers of the base",
    "tied": "it ties adapters of several layers together (ensure_weight_tying)",
}
#: Whole tensors beside the factors: carried through from one adapter, or from several when their bytes agree.
CARRIED = frozenset({"modules_to_save", "bias", "lora_bias", "trainable_tokens", "embedding", "full_embedding"})
