"""The models before the Transformer: causal, equal to torch's LSTM, and able to learn."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.testing import assert_close

from fmcourse.evaluation import token_nats
from fmcourse.models.recurrent import LSTMLM, LMConfig, WindowLM
from fmcourse.objectives import next_token
from fmcourse.training import fit
from fmcourse.training.optimizers import OptimizerConfig

SHAPE = LMConfig(vocab_size=7, context=4, width=5, hidden=6, depth=2)
IDS = torch.randint(7, (2, 9), generator=torch.Generator().manual_seed(0))
BOTH = pytest.mark.parametrize("kind", [WindowLM, LSTMLM])


def test_the_lstm_follows_the_formula_of_its_docstring():
    torch.manual_seed(0)
    model = LSTMLM(LMConfig(vocab_size=7, width=5, hidden=6))
    for weight in model.parameters():
        nn.init.normal_(weight, std=0.5)
    inner, h = model.lstm, torch.zeros(2, 6)
    c, logits = torch.zeros(2, 6), []
    for x in model.embed(IDS).unbind(1):
        i, f, g, o = (
            F.linear(x, inner.weight_ih_l0, inner.bias_ih_l0)
            + F.linear(h, inner.weight_hh_l0, inner.bias_hh_l0)
        ).chunk(4, -1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
        logits.append(model.head(h))
    assert_close(model(IDS), torch.stack(logits, 1))


@BOTH
def test_later_tokens_do_not_change_earlier_logits(kind):
    torch.manual_seed(0)
    model, changed = kind(SHAPE), IDS.clone()
    changed[:, 5] = (changed[:, 5] + 1) % 7
    before, after = model(IDS), model(changed)
    assert before.shape == (2, 9, 7)
    assert_close(before[:, :5], after[:, :5])
    assert not torch.allclose(before[:, 5], after[:, 5])


def test_a_window_ignores_what_lies_before_it_and_an_lstm_does_not():
    torch.manual_seed(0)
    changed = IDS.clone()
    changed[:, 0] = (changed[:, 0] + 1) % 7
    window, memory = WindowLM(SHAPE), LSTMLM(SHAPE)
    assert_close(
        window(IDS)[:, 4:], window(changed)[:, 4:]
    )  # of position 4 the window holds 1 to 4
    assert not torch.allclose(window(IDS)[:, 3], window(changed)[:, 3])
    assert not torch.allclose(memory(IDS)[:, 8], memory(changed)[:, 8], atol=1e-7)


def test_the_window_holds_the_embeddings_in_order():
    torch.manual_seed(0)
    model = WindowLM(SHAPE)
    x = torch.cat([model.embed(IDS[0, t]) for t in range(2, 6)])  # oldest first
    assert_close(model(IDS)[0, 5], model.head(torch.tanh(model.hidden(x))) + model.direct(x))


@pytest.mark.slow
@BOTH
def test_overfits_one_batch(kind):
    torch.manual_seed(0)
    history = fit(
        kind(SHAPE),
        next_token,
        [IDS[:, :6]],
        steps=300,
        optimizer=OptimizerConfig(lr=1e-2),
        progress=False,
    )
    assert history.losses[-1] < history.losses[0] / 10


@BOTH
def test_scoring_works_as_for_a_transformer(kind):
    nats = token_nats(kind(SHAPE), IDS[0])
    assert nats.shape == (9,) and nats.isfinite().all()


def test_a_new_lstm_keeps_its_cell():
    model = LSTMLM(SHAPE)
    assert all(getattr(model.lstm, f"bias_ih_l{layer}")[6:12].eq(1).all() for layer in range(2))


@BOTH
@pytest.mark.parametrize("ids", [IDS[0], IDS.float()])
def test_ids_of_another_shape_are_one_clear_error(kind, ids):
    with pytest.raises(ValueError, match=r"give whole numbers \(B, T\)"):
        kind(SHAPE)(ids)


def test_a_size_of_zero_is_named():
    with pytest.raises(ValueError, match="hidden=0 must be at least 1"):
        LMConfig(vocab_size=7, hidden=0)
