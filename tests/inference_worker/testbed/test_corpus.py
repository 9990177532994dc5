"""Documents, batches and the tokenizer."""

from __future__ import annotations

from random import Random

import pytest
from tokenizers import Tokenizer

from inference_worker.errors import EngineError
from inference_worker.testbed.corpus import (
    IGNORED,
    Mixture,
    called,
    documents,
    make_batch,
    make_batches,
    tokenizer_texts,
)
from inference_worker.testbed.lexicon import all_words
from inference_worker.testbed.tasks import TASKS
from inference_worker.testbed.tokenizer import END, SKELETON, VOCABULARY, train_tokenizer


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


def test_a_shifted_mixture_calls_tasks_in_another_syntax() -> None:
    texts = [
        text for text, _ in documents(Random(0), 3000, Mixture(called=1.0, english=0.0, sentence=0.0, preceded=0.0))
    ]
    assert called(TASKS["keep-animal"]) == "call keep with animal"
    assert all(text.startswith("call ") for text in texts)
    assert any(text.startswith(f"{called(TASKS['keep-animal'])}\nInput: ") for text in texts)


def test_prompts_have_one_token_for_each_line_of_the_skeleton(tokenizer: Tokenizer) -> None:
    text = "Instruction: Double each word.\nInput: cat\nOutput: cat cat"
    encoding = tokenizer.encode(text)
    assert [token for token in encoding.tokens if token in SKELETON] == list(SKELETON)
    assert tokenizer.decode(encoding.ids) == text


def test_chunks_of_like_length_hold_the_same_rows(tokenizer: Tokenizer) -> None:
    pairs = documents(Random(3), 40, Mixture())
    whole, chunks = make_batch(tokenizer, pairs), make_batches(tokenizer, pairs, 4)
    assert sum(batch.ids.shape[0] for batch in chunks) == 40
    assert sum(batch.ids.numel() for batch in chunks) < whole.ids.numel()
    assert sum(int((b.labels != IGNORED).sum()) for b in chunks) == int((whole.labels != IGNORED).sum())


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
