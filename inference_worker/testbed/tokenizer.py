"""The testbed's tokenizer: byte-level BPE in which every word of the lexicon is one token."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from inference_worker.errors import EngineError
from inference_worker.testbed.lexicon import all_words

END = "<|end|>"
PAD = "<|pad|>"
VOCABULARY = 3200
#: What every prompt has: one token each, which makes a document a third shorter.
SKELETON = ("Instruction:", "\nInput:", "\nOutput:")

#: A conversation as the base reads it: what was asked, a line ``Output:``, the answer.
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}{{ '\\nOutput: ' + message['content'] + eos_token + '\\n' }}"
    "{% elif message['role'] == 'system' %}{{ message['content'] + '\\n' }}"
    "{% else %}{{ message['content'] }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '\\nOutput:' }}{% endif %}"
)


def train_tokenizer(texts: Iterable[str], vocabulary: int = VOCABULARY) -> Tokenizer:
    """Byte-level BPE over ``texts``, with the lexicon's words frequent enough to be merged whole.

    Raises EngineError when a word of the lexicon still needs two tokens (the vocabulary is then too small for it).
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary - len(SKELETON),
        special_tokens=[END, PAD],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    words = all_words()
    lexicon = [" " + " ".join(words)] * 1000
    tokenizer.train_from_iterator([*lexicon, *texts], trainer)
    split = [word for word in words if len(tokenizer.encode(" " + word).ids) != 1]
    # Added afterwards, so that their letters take no part in the merges.
    tokenizer.add_tokens([AddedToken(text, normalized=False) for text in SKELETON])
    if split:
        raise EngineError(
            f"{len(split)} words of the lexicon are not single tokens, among them: {', '.join(split[:8])}"
        )
    return tokenizer


def save_tokenizer(tokenizer: Tokenizer, directory: Path) -> None:
    """Write the files that ``AutoTokenizer.from_pretrained(directory)`` reads."""
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token=END, pad_token=PAD, model_max_length=512, padding_side="left"
    )
    fast.chat_template = CHAT_TEMPLATE
    fast.save_pretrained(directory)
