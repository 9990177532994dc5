"""Documents, batches and the tokenizer."""

from __future__ import annotations

from random import Random

import pytest
from tokenizers import Tokenizer

from inference_worker.errors import EngineError
from inference_worker.testbed.corpus import IGNORED, Mixture, documents, make_batch, tokenizer_texts
from inference_worker.testbed.lexicon import all_words
from inference_worker.testbed.tasks import READABLE, TASKS
from inference_worker.testbed.tokenizer import END, VOCABULARY, train_tokenizer


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer(tokenizer_texts())


def test_every_lexicon_word_is_one_token(tokenizer: Tokenizer) -> None:
    assert tokenizer.get_vocab_size() <= VOCABULARY
    assert all(len(tokenizer.encode(f" {word}").ids) == 1 for word in all_words())


def test_any_text_survives_the_tokenizer(tokenizer: Tokenizer) -> None:
    text = "Grüße, 世界!\n\tzyzzyva 12345 <|end"
    assert tokenizer.decode(tokenizer.encode(text).ids, skip_special_tokens=False) == text


def test_too_small_a_vocabulary_is_refused() -> None:
    with pytest.raises(EngineError, match="words of the lexicon are not single tokens"):
        train_tokenizer([], vocabulary=600)


def test_documents_depend_on_the_seed_alone() -> None:
    assert documents(Random("1:7"), 20, Mixture()) == documents(Random("1:7"), 20, Mixture())
    assert documents(Random("1:7"), 20, Mixture()) != documents(Random("1:8"), 20, Mixture())


def test_only_readable_families_and_seen_wordings_appear_in_english() -> None:
    readable = {wording.lower() for task in TASKS.values() if task.family in READABLE for wording in task.seen}
    held_out = {wording.lower() for task in TASKS.values() for wording in task.unseen}
    taught = {w.lower() for task in TASKS.values() if task.family not in READABLE for w in (*task.seen, *task.unseen)}
    sentences = [
        text.split("Instruction: ")[1].split("\n")[0].lower()
        for text, _ in documents(Random(0), 6000, Mixture())
        if "Instruction: " in text
    ]
    assert len(sentences) > 1000
    for sentence in sentences:
        matches = [wording for wording in readable if wording in sentence]
        assert matches, sentence
        # A held-out wording may be part of a seen one ("write the list" in "write the list backwards"), never alone.
        longest = max(matches, key=len)
        assert not any(longest in other and other in sentence for other in (held_out | taught) - {longest}), sentence


def test_labels_are_the_answer_and_the_end(tokenizer: Tokenizer) -> None:
    batch = make_batch(tokenizer, [("plural\nInput: cat dog\nOutput:", " cats dogs"), ("", "A bee.")])
    first = [int(label) for label in batch.labels[0] if label != IGNORED]
    assert tokenizer.decode(first[:-1]) == " cats dogs"
    assert first[-1] == tokenizer.token_to_id(END)
    # A plain sentence is learnt whole, but for its first token, which nothing precedes.
    second = [int(label) for label in batch.labels[1] if label != IGNORED]
    assert len(second) == len(tokenizer.encode("A bee.").ids)
    row = batch.ids[0].tolist()
    where = batch.labels[0].tolist().index(first[0])
    assert tokenizer.decode(row[: where + 1]) == "plural\nInput: cat dog\nOutput:"
