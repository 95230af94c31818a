"""Prompts behind a shared prefix: label scores beside transformers, answers beside one by one.

Run   python -m benchmarks scoring     Takes   about five minutes on one core

Definitions of at most ten words from WordNet, to be classified by topic, after sixteen solved ones;
the label of every topic is one token. Both models have SmolLM2's published weights in 32 bits. The
peer reads whole texts, eight at a time, padded on the right, where causal attention needs no mask,
and computes its head for the last token alone. The first row shows what sharing the prefix saves,
the second how the two compare without it; both must give the same scores. In the last rows the peer
is our own `generate`, prompt after prompt, greedy, and the texts must be the same.
"""

import random
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch.nn.utils.rnn import pad_sequence
from torch.testing import assert_close
from transformers import LlamaForCausalLM

from benchmarks.decoding import NAME, reference
from benchmarks.rows import Row, Work, row, time_work
from fmcourse import pretrained
from fmcourse.data import load
from fmcourse.generation import generate, generate_batch
from fmcourse.models.transformer import Transformer, llama
from fmcourse.prompting import few_shot_prompt, format_query, generate_answers, label_scores
from fmcourse.tokenizers import BPETokenizer

PROMPTS, EXAMPLES, WORDS, TOGETHER = 200, 16, 10, 8
WRITERS, NEW = 16, 12
STYLE = {"input_prefix": "Definition: ", "output_prefix": "Topic:"}


def texts(tokenizer: BPETokenizer, prompts: int, examples: int) -> tuple[str, list[str], list[str]]:
    """The solved ones as one text, the questions, the labels."""
    data, draw = load("topics"), random.Random(0)
    labels = sorted(
        {one.topic for one in data.train if len(tokenizer.encode(f" {one.topic}")) == 1}
    )

    def usable(items: Sequence[Any]) -> list[Any]:
        return [one for one in items if one.topic in labels and len(one.text.split()) <= WORDS]

    solved = draw.sample(usable(data.train), examples)
    asked = draw.sample(usable(data.test), prompts)
    shared = few_shot_prompt([(one.text, one.topic) for one in solved], **STYLE)
    return (
        shared,
        [format_query(one.text, **STYLE) for one in asked],
        [f" {label}" for label in labels],
    )


def theirs(
    model: LlamaForCausalLM,
    tokenizer: BPETokenizer,
    shared: str,
    prompts: Sequence[str],
    labels: Sequence[str],
) -> Work:
    whole = [
        torch.tensor(tokenizer.encode(shared) + tokenizer.encode(prompt)) for prompt in prompts
    ]
    targets = torch.tensor([tokenizer.encode(label)[0] for label in labels])

    def work() -> torch.Tensor:
        scores = []
        with torch.inference_mode():
            for start in range(0, len(whole), TOGETHER):
                rows = whole[start : start + TOGETHER]
                states = model.model(
                    pad_sequence(rows, batch_first=True), use_cache=False
                ).last_hidden_state
                last = states[range(len(rows)), [len(one) - 1 for one in rows]]
                scores.append(model.lm_head(last).log_softmax(-1)[:, targets])
        return torch.cat(scores)

    return work


def scoring_rows(
    model: Transformer, tokenizer: BPETokenizer, prompts: int, examples: int
) -> list[Row]:
    """Prompts scored a second, with the shared text and without it."""
    peer, rows = reference(model), []
    shared, asked, labels = texts(tokenizer, prompts, examples)
    n_shared = len(tokenizer.encode(shared))
    n_each = sum(len(tokenizer.encode(one)) for one in asked) / prompts
    for before, how, target in (
        (shared, f"behind a shared text of {n_shared} tokens", ">= 3"),
        ("", "without a shared text", None),
    ):
        score = partial(label_scores, model, tokenizer, labels=labels, shared=before)
        score(asked[:8])  # both are warm
        theirs(peer, tokenizer, before, asked[:8], labels)()
        ours, scores = time_work(partial(score, asked))
        other, expected = time_work(theirs(peer, tokenizer, before, asked, labels))
        assert_close(scores, expected, rtol=1e-3, atol=1e-2)
        what = f"score {len(labels)} labels, {prompts} prompts of {n_each:.0f} tokens, {how}"
        what += "; peer is transformers"
        rows.append(row(what, prompts / ours, prompts / other, other / ours, "prompts/s", target))
    return rows


def answer_one_by_one(
    model: Transformer, tokenizer: BPETokenizer, shared: str, prompts: Sequence[str], new: int
) -> list[str]:
    """`generate` for each prompt behind the shared text, which is read every time."""
    return [
        generate(
            model,
            tokenizer,
            tokenizer.encode(shared) + tokenizer.encode(prompt),
            max_new_tokens=new,
            temperature=0,
        )
        for prompt in prompts
    ]


def writing_rows(
    model: Transformer, tokenizer: BPETokenizer, prompts: int, examples: int, new: int
) -> list[Row]:
    """Prompts answered a second, all in one call and one by one."""
    shared, asked, _ = texts(tokenizer, prompts, examples)
    answer = partial(generate_answers, model, tokenizer, asked, max_new_tokens=new, stop=())
    in_one_call: list[tuple[str, str, Work]] = [
        (
            "`generate_batch`",
            "",
            partial(generate_batch, model, tokenizer, asked, max_new_tokens=new, temperature=0),
        ),
        ("`generate_answers`", "", answer),
        (
            f"`generate_answers` behind {len(tokenizer.encode(shared))} shared tokens",
            shared,
            partial(answer, shared=shared),
        ),
    ]
    one_by_one = {
        before: time_work(partial(answer_one_by_one, model, tokenizer, before, asked, new))
        for before in ("", shared)
    }
    rows = []
    for name, before, work in in_one_call:
        seconds, answers = time_work(work)
        peer, expected = one_by_one[before]
        if answers != expected:
            raise AssertionError(
                f"{name} writes other texts than `generate` does, so their times cannot be "
                "compared."
            )
        what = f"write {new} tokens after each of {prompts} prompts, {name}; peer is `generate` "
        what += "one by one"
        rows.append(row(what, prompts / seconds, prompts / peer, peer / seconds, "prompts/s"))
    return rows


def main(small: bool = False) -> list[Row]:
    """Prompts a second with their ratios."""
    tokenizer = pretrained.load_tokenizer(NAME)
    if small:
        model = Transformer(llama(width=32, depth=1, heads=2, kv_heads=1, hidden=64)).eval()
        return scoring_rows(model, tokenizer, 3, 2) + writing_rows(model, tokenizer, 2, 2, 2)
    model = pretrained.load(NAME)[0]
    return scoring_rows(model, tokenizer, PROMPTS, EXAMPLES) + writing_rows(
        model, tokenizer, WRITERS, EXAMPLES, NEW
    )
