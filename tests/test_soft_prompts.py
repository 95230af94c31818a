"""Soft prompts: tokens at first, then what was trained; the model is frozen; parity with peft."""

import copy

import pytest
import torch
from helpers import model_of, randomize
from peft import PromptTuningConfig, get_peft_model
from torch import nn
from torch.testing import assert_close
from transformers import LlamaForCausalLM

from fmcourse.adaptation.soft_prompts import SoftPrompt
from fmcourse.models.config import gpt2, llama
from fmcourse.models.transformer import Transformer
from fmcourse.objectives import next_token
from fmcourse.pretrained import to_hf
from fmcourse.prompting import fingerprint, label_scores
from fmcourse.training import fit
from fmcourse.training.optimizers import OptimizerConfig

SMALL = {"vocab_size": 50, "context": 16, "width": 16, "depth": 2, "heads": 4}
ids = torch.randint(50, (3, 7), generator=torch.Generator().manual_seed(0))


def small(kind=llama, **more) -> Transformer:
    return randomize(
        Transformer(kind(**SMALL, **({"kv_heads": 2} if kind is llama else {}) | more))
    )


def random_prompt(model: Transformer, n: int = 4) -> SoftPrompt:
    soft = SoftPrompt(model, n)
    nn.init.normal_(soft.embeddings, std=0.5, generator=torch.Generator().manual_seed(1))
    return soft


@pytest.mark.parametrize("kind", [llama, gpt2])
@pytest.mark.parametrize("n", [1, 5])
def test_vectors_that_are_token_embeddings_act_as_those_tokens(kind, n):
    model, start = small(kind), [7, 3, 40, 3, 11][:n]
    words = torch.tensor(start).expand(3, n)
    assert_close(SoftPrompt(model, n, start)(ids), model(torch.cat([words, ids], 1))[:, n:])


def test_initial_tokens_are_repeated_or_cut():
    words = (model := small()).embed.tokens.weight
    assert torch.equal(SoftPrompt(model, 5, [7, 3]).embeddings, words[[7, 3, 7, 3, 7]])
    assert torch.equal(SoftPrompt(model, 1, [7, 3]).embeddings, words[[7]])


def test_without_initial_tokens_random_ones_are_taken_and_can_be_repeated():
    model, same = small(), []
    for _ in range(2):
        torch.manual_seed(3)
        same.append(SoftPrompt(model, 6).embeddings)
    assert torch.equal(*same) and all(
        any(torch.equal(v, word) for word in model.embed.tokens.weight) for v in same[0]
    )


def test_equals_peft_prompt_tuning(tmp_path):
    model = small(kv_heads=2, hidden=24)
    to_hf(model, tmp_path)
    theirs = LlamaForCausalLM.from_pretrained(tmp_path)
    theirs = get_peft_model(
        theirs, PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4)
    ).eval()
    soft = random_prompt(model)
    with torch.no_grad():
        theirs.prompt_encoder["default"].embedding.weight.copy_(soft.embeddings)
    logits = theirs(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
    assert_close(soft(ids), logits[:, -ids.shape[1] :], atol=1e-5, rtol=1e-5)
    soft(ids).square().sum().backward()
    logits[:, -ids.shape[1] :].square().sum().backward()
    gradient = theirs.prompt_encoder["default"].embedding.weight.grad
    assert_close(soft.embeddings.grad, gradient, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", ["gpt2", "llama", "llama one key"])
def test_the_cache_holds_the_prompt(name):
    soft = random_prompt(model_of(name))
    text = ids % soft.config.vocab_size
    cache = soft.new_cache(batch=3, capacity=7)
    assert cache.length == 4
    first, cache = soft.model.extend(text[:, :3], cache)
    rest, cache = soft.model.extend(text[:, 3:], cache)
    assert_close(torch.cat([first, rest], 1), soft(text), atol=1e-5, rtol=1e-5)


def test_labels_are_scored_behind_it(tmp_path):
    class Numbers:
        encode = staticmethod(lambda text: [int(part) for part in text.split()])

    soft = random_prompt(small())
    scores = label_scores(
        soft.model, Numbers, ["5 6", "1 2 3"], ["8", "9 10"], shared=soft.new_cache()
    )
    p_short, p = (soft(torch.tensor([row])).log_softmax(-1)[0] for row in ([5, 6], [5, 6, 9, 10]))
    expected = [[p_short[1, 8], p[1, 9] + p[2, 10]]]
    assert_close(scores[:1], torch.tensor(expected), atol=1e-5, rtol=1e-5)


def test_training_changes_the_vectors_and_nothing_else():
    soft = SoftPrompt(small(), 5, [1])
    before, first = fingerprint(soft.model), soft.embeddings.detach().clone()
    batch = ids.clone()
    history = fit(
        soft,
        next_token,
        [batch],
        steps=120,
        seed=0,
        optimizer=OptimizerConfig(matrix_optimizer="adamw", lr=0.3),
        progress=False,
    )
    assert history.losses[-1] < history.losses[0] - 0.05 and fingerprint(soft.model) == before
    assert (soft.embeddings != first).any(1).all()


def test_the_model_without_the_prompt_answers_as_before():
    model = small()
    expected = copy.deepcopy(model)(ids)
    random_prompt(model)
    assert torch.equal(model(ids), expected)


@pytest.mark.parametrize(
    ("n", "start", "words"),
    [
        (0, None, "n=0 vectors before a text of at most 16 tokens; give 1 to 15"),
        (16, None, "n=16 vectors"),
        (2, [], "at least one id"),
        (2, [50], "each from 0 to 49"),
        (2, [-1], "each from 0 to 49"),
    ],
)
def test_wrong_arguments_are_named(n, start, words):
    with pytest.raises(ValueError, match=words):
        SoftPrompt(small(), n, start)


def test_a_model_that_is_not_causal_and_a_text_that_is_too_long_are_refused():
    with pytest.raises(ValueError, match="not causal; give a causal one"):
        SoftPrompt(model_of("bert"), 2)
    with pytest.raises(ValueError, match="17 positions are more than context=16|context"):
        SoftPrompt(small(), 10)(ids)
