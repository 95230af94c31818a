"""Evaluation mode: on inside the context, and every module's own mode afterwards."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from fmcourse.evaluation import token_nats
from fmcourse.generation import translate
from fmcourse.models.modes import evaluating
from fmcourse.models.seq2seq import EncoderDecoder, vaswani2017
from fmcourse.models.transformer import Transformer, gpt2


def modes(model):
    return [module.training for module in model.modules()]


def mixed_model():
    """In training, but for one part that is frozen in evaluation mode."""
    model = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Dropout(0.5))
    model[1].eval()
    return model


def test_inside_there_is_no_dropout_and_no_gradient():
    model, x = mixed_model(), torch.ones(4, 3)
    with evaluating(model):
        assert not any(modes(model))
        y = model(x)
        assert_close(y, model(x))
        assert not y.requires_grad and torch.is_inference_mode_enabled()
    assert not torch.is_inference_mode_enabled() and torch.is_grad_enabled()


def test_every_module_is_in_its_own_mode_afterwards_also_after_an_error():
    model = mixed_model()
    before = modes(model)
    with evaluating(model):
        pass
    assert modes(model) == before == [True, True, False, True]
    with pytest.raises(ZeroDivisionError), evaluating(model):
        raise ZeroDivisionError
    assert modes(model) == before
    with evaluating(model), evaluating(model):
        pass
    assert modes(model) == before


def randomly(model):
    generator = torch.Generator().manual_seed(0)
    for weight in model.parameters():
        nn.init.normal_(weight, std=0.3, generator=generator)
    return model


def test_a_language_model_in_training_is_scored_without_dropout():
    config = gpt2(vocab_size=31, context=16, width=12, depth=1, heads=2, dropout=0.5)
    model, ids = randomly(Transformer(config)), list(range(30))
    assert_close(token_nats(model.train(), ids), token_nats(model.eval(), ids))
    token_nats(model.train(), ids)
    assert all(modes(model))


@pytest.mark.parametrize("width", [1, 2])
def test_a_translator_in_training_translates_without_dropout(width):
    config = vaswani2017(vocab_size=19, context=12, width=24, depth=1, heads=3, dropout=0.5)
    model, source = randomly(EncoderDecoder(config)), torch.tensor([[3, 4, 5], [6, 7, 0]])
    settings = {"start": 1, "end": 2, "max_new_tokens": 8, "width": width}
    still = translate(model.eval(), source, **settings)
    assert translate(model.train(), source, **settings) == still and all(modes(model))
