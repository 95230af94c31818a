"""Classification heads: the reference library's logits, and padding that changes nothing."""

import pytest
import torch
from helpers import ids_for, model_of, randomize
from torch.nn import functional as F
from torch.testing import assert_close
from transformers import BertForQuestionAnswering, BertForTokenClassification

from fmcourse import pretrained
from fmcourse.models.heads import SequenceClassifier, TokenClassifier, mean_pool, pad_batch
from fmcourse.models.transformer import Transformer, bert
from fmcourse.objectives import answer_span, classification
from fmcourse.training import fit

REAL = torch.arange(21) < torch.tensor([[21], [13], [5]])
TYPES = (torch.arange(21) > 3).long().expand(3, 21)


def pair(kind, num_classes, tmp_path):
    """Ours and the reference's, with the same weights, all drawn at random."""
    ours, ids = randomize(TokenClassifier(model_of("bert bare"), num_classes)), ids_for("bert bare")
    pretrained.to_hf(ours.encoder, tmp_path)
    theirs = kind.from_pretrained(tmp_path, num_labels=num_classes).eval()
    last = theirs.classifier if hasattr(theirs, "classifier") else theirs.qa_outputs
    last.load_state_dict(ours.classifier.state_dict())
    return ours, theirs, ids


@pytest.mark.parametrize("num_classes", [1, 2, 7])
def test_token_logits_are_the_reference_librarys(num_classes, tmp_path):
    ours, theirs, ids = pair(BertForTokenClassification, num_classes, tmp_path)
    tags = torch.randint(
        num_classes, ids.shape, generator=torch.Generator().manual_seed(2)
    ).masked_fill(~REAL, -100)
    with torch.no_grad():
        given = theirs(ids, attention_mask=REAL.long(), labels=tags)
        assert_close(ours(ids, REAL)[REAL], given.logits[REAL], atol=1e-4, rtol=1e-4)
        assert_close(
            classification(ours, (ids, REAL, tags)).value, given.loss, atol=1e-4, rtol=1e-4
        )


def test_answer_span_logits_are_the_reference_librarys(tmp_path):
    ours, theirs, ids = pair(BertForQuestionAnswering, 2, tmp_path)
    first, last, whole = torch.tensor([3, 0, 20]), torch.tensor([3, 7, 20]), torch.ones_like(REAL)
    with torch.no_grad():
        given = theirs(ids, attention_mask=REAL.long(), token_type_ids=TYPES)
        wanted = torch.stack([given.start_logits, given.end_logits], -1)
        assert_close(ours(ids, REAL, TYPES)[REAL], wanted[REAL], atol=1e-4, rtol=1e-4)
        loss = theirs(ids, token_type_ids=TYPES, start_positions=first, end_positions=last).loss
        assert_close(
            answer_span(ours, (ids, whole, TYPES, first, last)).value, loss, atol=1e-4, rtol=1e-4
        )


def test_padding_changes_no_logit():
    model, ids = randomize(SequenceClassifier(model_of("bert bare"), 4)), ids_for("bert bare")
    changed = torch.where(REAL, ids, (ids + 7) % 41)
    with torch.no_grad():
        assert_close(model(ids, REAL), model(changed, REAL))
        assert_close(model(ids, REAL)[2], model(ids[2:, :5])[0], atol=1e-5, rtol=1e-4)
    assert_close(
        mean_pool(torch.ones(2, 3, 4), torch.zeros(2, 3, dtype=torch.bool)), torch.zeros(2, 4)
    )


def test_the_loss_of_a_span_is_that_of_the_rows_whose_answer_was_not_cut_off():
    model, ids = randomize(TokenClassifier(model_of("bert bare"), 2)), ids_for("bert bare")
    first, last = torch.tensor([4, -100, 1]), torch.tensor([9, -100, 4])
    loss, alone = (
        answer_span(model, batch)
        for batch in (
            (ids, REAL, TYPES, first, last),
            tuple(part[[0, 2]] for part in (ids, REAL, TYPES, first, last)),
        )
    )
    assert_close(loss.value, alone.value)
    assert loss.tokens == 2


def test_labels_out_of_range_and_batches_without_labels_are_refused():
    model, ids = SequenceClassifier(model_of("bert bare"), 3), ids_for("bert bare")
    for wrong in ([0, 1, 3], [0, -1, 2], [-100, -100, -100]):
        with pytest.raises(ValueError, match=r"give at least one, in 0 to 2, and -100"):
            classification(model, (ids, REAL, torch.tensor(wrong)))
    reader = TokenClassifier(model_of("bert bare"), 2)
    for first, last in (([0, 13, 2], [2, 14, 4]), ([-100] * 3, [-100] * 3)):
        with pytest.raises(
            ValueError, match="that lies inside, and -100 for those that were cut off"
        ):
            answer_span(reader, (ids, REAL, TYPES, torch.tensor(first), torch.tensor(last)))
    with pytest.raises(ValueError, match="num_classes=0"):
        TokenClassifier(model_of("bert bare"), 0)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["text", "token", "span"])
def test_overfits_one_batch(kind):
    torch.manual_seed(0)
    encoder = Transformer(bert(vocab_size=41, context=21, width=24, depth=2, heads=2, head="none"))
    ids = ids_for("bert bare")
    if kind == "span":
        model, objective = TokenClassifier(encoder, 2), answer_span
        batch = (ids, REAL, TYPES, torch.tensor([4, 2, 1]), torch.tensor([9, 2, 4]))
    else:
        model, objective = (
            (SequenceClassifier if kind == "text" else TokenClassifier)(encoder, 3),
            classification,
        )
        batch = (
            ids,
            REAL,
            torch.tensor([0, 2, 1]) if kind == "text" else (ids % 3).masked_fill(~REAL, -100),
        )
    history = fit(model, objective, [batch], steps=80, seed=0, progress=False)
    assert history.losses[-1] < history.losses[0] / 20


def test_only_the_classifier_is_trained_if_the_encoder_is_frozen():
    model = SequenceClassifier(model_of("bert bare").requires_grad_(False), 3)
    before = {name: weight.clone() for name, weight in model.named_parameters()}
    fit(
        model,
        classification,
        [(ids_for("bert bare"), REAL, torch.tensor([0, 1, 2]))],
        steps=3,
        seed=0,
        progress=False,
    )
    changed = {
        name for name, weight in model.named_parameters() if not torch.equal(weight, before[name])
    }
    assert changed == {"classifier.weight", "classifier.bias"}


def test_mean_pooling_is_that_of_sentence_embeddings():
    model, ids = model_of("bert bare"), ids_for("bert bare")
    states = model.states(ids, REAL[:, None])
    by_hand = torch.stack([states[row, : REAL[row].sum()].mean(0) for row in range(3)])
    assert_close(F.normalize(mean_pool(states, REAL), dim=-1), F.normalize(by_hand, dim=-1))


def test_the_padding_mask_is_false_at_padding_alone():
    ids, padding_mask = pad_batch([[4, 5, 6], [7], [8, 9]])
    assert ids.tolist() == [[4, 5, 6], [7, 0, 0], [8, 9, 0]] and padding_mask.sum(1).tolist() == [
        3,
        1,
        2,
    ]
    with pytest.raises(ValueError, match="texts is empty"):
        pad_batch([])
