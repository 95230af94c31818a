"""The field's words that a reader of papers needs are defined, each in a lesson of its subject."""

import json

import pytest

from fmcourse.course.terms import GLOSSARY, normal_form
from tools.lessons import ROOT, all_lessons

# By subject: each term must be defined in one of these lessons. Subjects whose lessons are still
# written to the earlier standard (09 to 15) join the list with them.
TERMS = {
    "data and training": [
        *("corpus", "batch", "epoch", "training set", "validation set", "test set", "overfitting"),
        *("generalization", "hyperparameter", "learning rate", "learning-rate schedule", "warm-up"),
        *("gradient clipping", "weight decay", "regularization", "logits", "softmax", "entropy"),
        *("cross-entropy", "perplexity", "data leakage"),
    ],
    "writing": [
        *("autoregressive", "teacher forcing", "greedy decoding", "sampling", "temperature"),
        *("top-k sampling", "top-p sampling", "beam search", "KV cache"),
    ],
    "Transformer": [
        *("self-attention", "cross-attention", "scaled dot-product attention", "query", "key"),
        *("multi-head attention", "value", "causal mask", "padding mask", "positional encoding"),
        *("RoPE", "residual connection", "layer normalization", "RMSNorm", "encoder", "decoder"),
        *("feed-forward network", "encoder-decoder", "embedding", "weight tying"),
    ],
    "tokenizers": [
        *("subword", "byte-pair encoding", "WordPiece", "Unigram", "SentencePiece", "byte-level"),
        *("pre-tokenization", "tokenizer"),
    ],
    "self-supervision": [
        *("pretraining", "fine-tuning", "transfer learning", "self-supervised learning"),
        *("pretext task", "representation", "linear probe", "contrastive learning", "InfoNCE"),
        *("positive pair", "negative pair", "augmentation", "projection head", "ablation"),
        *("masked language modelling", "span corruption", "masked autoencoder"),
    ],
    "what one does with it": [
        *("downstream task", "named-entity recognition", "extractive question answering"),
        *("information extraction", "semantic search", "recall@k", "foundation model"),
        *("homogenization", "emergence", "scaling law", "compute-optimal", "FLOP", "RLHF"),
    ],
}


def known_forms() -> set[str]:
    glossary = json.loads((ROOT / "lessons" / GLOSSARY).read_text(encoding="utf-8"))
    return {normal_form(term) for term in glossary}


@pytest.mark.parametrize("subject", TERMS)
def test_every_term_of_a_subject_is_defined_in_a_lesson(subject):
    known = known_forms()
    missing = [term for term in TERMS[subject] if normal_form(term) not in known]
    assert not missing, f"no lesson defines {', '.join(missing)}"


def test_lessons_00_to_07_are_written_to_the_present_standard():
    for lesson in all_lessons():
        if lesson.number < "08":
            assert lesson.header().terms is not None, f"{lesson.name} lists no terms"
