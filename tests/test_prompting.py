"""Prompting: the reference library's scores, whatever is read once, together, or in another order.

What a batch of prompts does is tested in both of its layouts: rows padded on the left (the clear
version) and texts packed into one row (the fast one).
"""

import copy
import math

import pytest
import torch
from helpers import CAUSAL, SHAPES, ByteTokenizer, model_of, randomize
from torch.testing import assert_close
from transformers import LlamaConfig, LlamaForCausalLM

from fmcourse import fast, pretrained
from fmcourse.fast import prefix_batches
from fmcourse.generation import generate
from fmcourse.models.transformer import Transformer, bert, gpt2
from fmcourse.prompting import (
    batch_calibrate,
    calibrate,
    few_shot_prompt,
    fingerprint,
    format_query,
    generate_answers,
    label_scores,
    read_prefix,
)

PROMPTS = ["hot", "a", "more", "wet", "cold and dry", "zz"]
LABELS = ["x", "up", "down", "dower"]  # of one, two, four and five tokens; two of them begin alike
SHARED = "shared text: "


@pytest.fixture(params=["packed", "padded"])
def layout(request):
    with fast.enabled() if request.param == "packed" else fast.disabled():
        yield request.param


in_both_layouts = pytest.mark.usefixtures("layout")


def wide(name):
    """A model of that shape with room for texts."""
    torch.manual_seed(0)
    return randomize(
        Transformer(
            SHAPES[name].__class__(**{**vars(SHAPES[name]), "context": 64, "vocab_size": 256})
        )
    )


def one_by_one(log_p, tokenizer, shared, prompts, labels):
    """log p of each label from a full pass over each text; `log_p` is (1, T) ids -> (T, V)."""
    scores = torch.zeros(len(prompts), len(labels))
    for row, prompt in enumerate(prompts):
        for column, label in enumerate(labels):
            before, end = (
                tokenizer.encode(shared) + tokenizer.encode(prompt),
                tokenizer.encode(label),
            )
            nats = log_p(torch.tensor([(before + end)[:-1]]))[len(before) - 1 :]
            scores[row, column] = nats.gather(1, torch.tensor(end)[:, None]).sum()
    return scores


def reference(theirs):
    @torch.no_grad()
    def log_p(ids):
        return theirs(ids).logits[0].float().log_softmax(-1)

    return log_p


def ours(model):
    @torch.no_grad()
    def log_p(ids):
        return model(ids)[0].log_softmax(-1)

    return log_p


# -- scores ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def llamas(tmp_path_factory):
    """A model made by the reference library, and the same in our class."""
    folder = tmp_path_factory.mktemp("llama")
    config = LlamaConfig(
        vocab_size=256,
        hidden_size=48,
        intermediate_size=80,
        num_hidden_layers=2,
        num_attention_heads=6,
        num_key_value_heads=2,
        max_position_embeddings=64,
        tie_word_embeddings=False,
    )
    theirs = randomize(LlamaForCausalLM(config))
    theirs.save_pretrained(folder)
    return theirs, pretrained.from_hf(folder)[0]


@in_both_layouts
@pytest.mark.parametrize("shared", ["", SHARED])
@pytest.mark.parametrize("batch", [1, 2, 32])
def test_scores_are_the_references(llamas, shared, batch):
    theirs, model = llamas
    scores = label_scores(model, ByteTokenizer(), PROMPTS, LABELS, shared=shared, batch=batch)
    assert scores.shape == (6, 4) and scores.max() < 0
    assert_close(
        scores,
        one_by_one(reference(theirs), ByteTokenizer(), shared, PROMPTS, LABELS),
        rtol=1e-4,
        atol=1e-4,
    )


@in_both_layouts
@pytest.mark.parametrize("name", CAUSAL)
def test_every_causal_model_can_be_asked(name):
    model = wide(name)
    scores = label_scores(model, ByteTokenizer(), PROMPTS, LABELS, shared=SHARED)
    assert_close(
        scores,
        one_by_one(ours(model), ByteTokenizer(), SHARED, PROMPTS, LABELS),
        rtol=1e-4,
        atol=1e-4,
    )


@pytest.mark.slow
@in_both_layouts
def test_scores_of_the_real_model_are_the_references(tmp_path):
    model, tokenizer = pretrained.load("smollm2-135m-instruct")
    pretrained.to_hf(model, tmp_path)
    theirs = LlamaForCausalLM.from_pretrained(tmp_path).eval()
    shared = few_shot_prompt([("hot", "cold"), ("up", "down")], separator=" ")
    prompts, labels = (
        [format_query(word, separator=" ") for word in ("wet", "expensive")],
        [" dry", " cheap", " inexpensive soap"],
    )
    scores = label_scores(model, tokenizer, prompts, labels, shared=shared)
    assert_close(
        scores,
        one_by_one(reference(theirs), tokenizer, shared, prompts, labels),
        rtol=1e-4,
        atol=1e-3,
    )
    assert scores.argmax(1).tolist() == [0, 1]


@in_both_layouts
def test_the_order_of_rows_and_of_labels_does_not_matter():
    model = wide("llama")
    scores = label_scores(model, ByteTokenizer(), PROMPTS, LABELS, shared=SHARED)
    back = label_scores(model, ByteTokenizer(), PROMPTS[::-1], LABELS[::-1], shared=SHARED)
    assert_close(back, scores.flip(0, 1), rtol=1e-5, atol=1e-5)
    alone = torch.cat(
        [
            label_scores(model, ByteTokenizer(), [prompt], LABELS, shared=SHARED)
            for prompt in PROMPTS
        ]
    )
    assert_close(alone, scores, rtol=1e-5, atol=1e-5)


def test_padded_and_packed_batches_give_the_same_scores_and_answers():
    for name in CAUSAL:
        model, results = wide(name), []
        for switch in (fast.enabled, fast.disabled):
            with switch():
                scores = label_scores(model, ByteTokenizer(), PROMPTS, LABELS, shared=SHARED)
                answers = generate_answers(model, Letters(), PROMPTS, shared=SHARED, stop=())
            results.append((scores, answers))
        (packed, packed_answers), (padded, padded_answers) = results
        assert_close(packed, padded, rtol=0, atol=1e-4)
        assert packed_answers == padded_answers


@pytest.mark.parametrize("name", ["gpt2", "llama", "modern"])
def test_the_switch_chooses_the_layout(name, monkeypatch):
    used = []
    read = prefix_batches.read_packed
    monkeypatch.setattr(
        prefix_batches, "read_packed", lambda *given: used.append("packed") or read(*given)
    )
    for switch, expected in ((fast.enabled, {"packed"}), (fast.disabled, set())):
        used.clear()
        with switch():
            label_scores(wide(name), ByteTokenizer(), PROMPTS, LABELS)
            generate_answers(wide(name), ByteTokenizer(), PROMPTS)
        assert set(used) == expected


def pack_bounds(lengths, batch):
    return [(rows.start, rows.stop) for rows in prefix_batches.pack_batches(lengths, batch)]


def test_a_pack_has_so_many_prompts_and_tokens_at_most(monkeypatch):
    monkeypatch.setattr(prefix_batches, "MAX_PACKED_TOKENS", 10)
    assert pack_bounds([3, 3, 3, 3], 2) == [(0, 2), (2, 4)]
    assert pack_bounds([5, 5, 1, 30, 9], 9) == [(0, 2), (2, 3), (3, 4), (4, 5)]
    assert pack_bounds([], 3) == []
    model = wide("llama")
    few = label_scores(model, ByteTokenizer(), PROMPTS, LABELS, shared=SHARED)
    monkeypatch.undo()
    assert_close(
        few,
        label_scores(model, ByteTokenizer(), PROMPTS, LABELS, shared=SHARED),
        rtol=1e-5,
        atol=1e-5,
    )


def positions_read(model, work):
    """How many tokens the model read while it worked."""
    seen = []
    handle = model.stack.blocks[0].register_forward_pre_hook(
        lambda _, given: seen.append(given[0].shape[:2].numel())
    )
    work()
    handle.remove()
    return sum(seen)


@in_both_layouts
def test_the_shared_text_is_read_once_and_labels_of_one_token_not_at_all():
    model, prompts = wide("llama"), ["abc", "de", "f"]

    def count(labels, shared):
        settings = {"shared": shared, "batch": 1}
        return positions_read(
            model, lambda: label_scores(model, ByteTokenizer(), prompts, labels, **settings)
        )

    assert count(["x", "y"], SHARED) == len(SHARED) + 6
    assert count(["x", "yes"], SHARED) == len(SHARED) + 6 + 3 * 2
    assert count(["x", "y"], read_prefix(model, ByteTokenizer(), SHARED)) == 6


@in_both_layouts
def test_what_was_read_serves_many_calls_and_stays_as_it_is():
    model = wide("modern")
    cache = read_prefix(model, ByteTokenizer(), SHARED)
    before = cache.store.clone(), cache.length
    for prompts in (PROMPTS, PROMPTS[:2]):
        assert_close(
            label_scores(model, ByteTokenizer(), prompts, LABELS, shared=cache),
            label_scores(model, ByteTokenizer(), prompts, LABELS, shared=SHARED),
        )
    assert generate_answers(model, ByteTokenizer(), PROMPTS, shared=cache) == generate_answers(
        model, ByteTokenizer(), PROMPTS, shared=SHARED
    )
    assert torch.equal(cache.store, before[0]) and cache.length == before[1]


@in_both_layouts
def test_texts_may_be_ids_and_no_prompt_is_no_row():
    model, ids = wide("llama"), ByteTokenizer().encode
    assert torch.equal(
        label_scores(model, ByteTokenizer(), list(map(ids, PROMPTS)), LABELS, shared=ids(SHARED)),
        label_scores(model, ByteTokenizer(), PROMPTS, LABELS, shared=SHARED),
    )
    assert (
        label_scores(model, ByteTokenizer(), [], LABELS).shape == (0, 4)
        and generate_answers(model, ByteTokenizer(), []) == []
    )


@in_both_layouts
def test_a_model_in_training_is_evaluated_and_trains_on_afterwards():
    torch.manual_seed(0)
    model = randomize(
        Transformer(gpt2(vocab_size=256, context=64, width=16, depth=2, heads=2, dropout=0.5))
    )
    scores, words = (
        label_scores(model, ByteTokenizer(), PROMPTS, LABELS),
        generate_answers(model, ByteTokenizer(), PROMPTS),
    )
    before = fingerprint(model.train())
    assert (
        torch.equal(label_scores(model, ByteTokenizer(), PROMPTS, LABELS, shared=""), scores)
        and model.training
    )
    assert generate_answers(model, ByteTokenizer(), PROMPTS) == words and model.training
    with pytest.raises(ZeroDivisionError):
        generate_answers(model, ByteTokenizer(), PROMPTS, constraint=lambda ids: 1 / 0)
    assert model.training and fingerprint(model) == before
    weight = torch.zeros(4, requires_grad=True)
    (scores * weight).sum().backward()  # what was scored can be learnt from
    assert_close(weight.grad, scores.sum(0))


# -- answers ---------------------------------------------------------------------------------------


class Letters(ByteTokenizer):
    """A letter for each id, also where the byte is no character."""

    def decode(self, ids):
        return "".join(chr(0x100 + i) for i in ids)


@pytest.mark.slow
@in_both_layouts
@pytest.mark.parametrize("name", CAUSAL)
@pytest.mark.parametrize("shared", ["", SHARED])
def test_answers_are_what_generate_writes_row_by_row(name, shared):
    model, settings = wide(name), {"max_new_tokens": 7}

    def alone(stop):
        return [
            generate(model, Letters(), shared + prompt, temperature=0, stop=stop, **settings)
            for prompt in PROMPTS
        ]

    free = alone(())
    stop = (free[0][3], free[1][:2], free[2][0])
    for chosen, expected in (((), free), (stop, alone(stop))):
        for batch in (1, 4, 32):
            assert (
                generate_answers(
                    model, Letters(), PROMPTS, shared=shared, stop=chosen, batch=batch, **settings
                )
                == expected
            )
    assert expected != free and {len(text) for text in free} == {7}


def test_a_row_that_has_stopped_reads_no_more(layout):
    model, settings = wide("llama"), {"shared": SHARED, "max_new_tokens": 6}

    def count(stop):
        return positions_read(
            model, lambda: generate_answers(model, Letters(), PROMPTS, stop=stop, **settings)
        )

    first = [text[0] for text in generate_answers(model, Letters(), PROMPTS, stop=(), **settings)]
    lengths = list(map(len, PROMPTS))
    at_first = len(SHARED) + (sum(lengths) if layout == "packed" else 6 * max(lengths))
    assert count(()) == at_first + 6 * 5  # the last token is written but not read
    assert count(tuple(first)) == at_first
    assert count((first[0],)) <= at_first + 6 * 5 - 5 * first.count(first[0])


@in_both_layouts
def test_a_constraint_binds_each_row_with_what_was_added_to_it():
    model, seen = wide("modern"), set()

    def rising(ids):
        seen.add(tuple(ids))
        return torch.arange(256) == (ids[-1] + 1 if ids else 65)

    assert generate_answers(
        model, ByteTokenizer(), ["a", "bcd"], max_new_tokens=4, constraint=rising
    ) == [
        "ABCD",
        "ABCD",
    ]
    assert seen == {(), (65,), (65, 66), (65, 66, 67)}


# -- calibration and prompts -----------------------------------------------------------------------


def test_calibration_takes_away_what_the_prompt_alone_prefers():
    scores = torch.tensor([[0.6, 0.1], [0.2, 0.3]]).log()
    assert_close(calibrate(scores[:1], scores[:1]).softmax(-1), torch.full((1, 2), 0.5))
    # Among the labels 3/4 and 1/4, then 1/4 and 3/4: undecided in the mean.
    blank = torch.tensor([[0.3, 0.1], [0.1, 0.3]]).log()
    assert_close(calibrate(scores, blank), scores - math.log(0.5))
    assert_close(calibrate(scores, blank[:1]).exp(), torch.tensor([[0.8, 0.4], [0.2 / 0.75, 1.2]]))
    # How likely any label is at all does not count.
    assert_close(calibrate(scores, blank - 7), calibrate(scores, blank))


def test_batch_calibration_leaves_every_label_equally_likely_in_the_mean():
    scores = torch.randn(50, 3, generator=torch.Generator().manual_seed(0)) + torch.tensor(
        [5.0, 0.0, -2.0]
    )
    assert set(scores.argmax(1).tolist()) == {0}
    result = batch_calibrate(scores)
    assert_close(result - scores, (result - scores)[:1].expand(50, 3))
    assert_close((scores.softmax(-1) * (result - scores).exp()).mean(0), torch.ones(3))
    assert set(result.argmax(1).tolist()) == {0, 1, 2}


@pytest.mark.parametrize("blank", [torch.zeros(0, 2), torch.zeros(1, 3), torch.zeros(2)])
def test_blank_scores_must_be_of_the_same_labels(blank):
    with pytest.raises(
        ValueError, match="at least one input without content, for the same 2 labels"
    ):
        calibrate(torch.zeros(4, 2), blank)


def test_a_few_shots_are_spelt_out():
    shots = [("hot", "cold"), ("up", "down")]
    assert (
        few_shot_prompt(shots) + format_query("wet")
        == "Input: hot\nOutput: cold\nInput: up\nOutput: down\nInput: wet\nOutput:"
    )
    style = {"input_prefix": "", "output_prefix": "->", "separator": " "}
    assert (
        few_shot_prompt(shots, **style, example_separator=";\n") + format_query("wet", **style)
        == "hot -> cold;\nup -> down;\nwet ->"
    )
    assert few_shot_prompt([]) == ""


# -- the fingerprint -------------------------------------------------------------------------------


def test_the_fingerprint_sees_a_single_bit_of_any_weight_or_saved_buffer_and_no_derived_table():
    model = wide("llama")
    model.register_buffer("kept", torch.ones(3))
    assert any(name.endswith("cos") for name, _ in model.named_buffers())
    print_ = fingerprint(model)
    assert len(print_) == 64 and fingerprint(copy.deepcopy(model)) == print_
    saved = model.state_dict().keys()
    for name, _ in [*model.named_parameters(), *model.named_buffers()]:
        changed = copy.deepcopy(model)
        with torch.no_grad():
            changed.get_submodule(name.rpartition(".")[0]).__getattr__(
                name.rpartition(".")[2]
            ).view(torch.uint8).view(-1)[-1] ^= 1
        assert (fingerprint(changed) != print_) == (name in saved), name
    assert fingerprint(model.bfloat16()) != print_


def test_the_fingerprint_sees_names_and_shapes():
    a, b = torch.nn.Linear(2, 3, bias=False), torch.nn.Linear(3, 2, bias=False)
    b.weight.data = a.weight.data.view(2, 3)
    assert fingerprint(a) != fingerprint(b)
    assert fingerprint(torch.nn.ModuleDict({"one": a})) != fingerprint(
        torch.nn.ModuleDict({"two": a})
    )


# -- what cannot be asked --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": ["yes"]}, "at least two, for there is nothing to choose"),
        ({"labels": "yes"}, "give a list of at least two"),
        ({"labels": ["yes", "no", ""]}, "label 2 is empty"),
        ({"labels": ["yes", "no", "yes"]}, "labels 0 and 2 are the same, 'yes'; keep one"),
        (
            {"labels": ["no", "up", "us"], "distinct": True},
            "labels 'up' and 'us' begin with the same token, 'u'; choose words that differ",
        ),
        ({"prompts": "a text"}, r"is one text; for one prompt write \['a text'\]"),
        ({"prompts": ["a", ""]}, "the prompt is empty; give at least one token"),
        (
            {"prompts": ["a", "b" * 50]},
            "prompt 1 has 50 tokens; with 13 shared and 2 in the longest label that is more than "
            "context=64. Shorten",
        ),
        ({"shared": "b" * 65}, "65 positions are more than context=64"),
        ({"batch": 0}, "batch=0 must be a whole number of at least 1"),
    ],
)
def test_bad_input_is_explained(changes, message):
    given = {"prompts": PROMPTS, "labels": ["yes", "no"], "shared": SHARED} | changes
    with pytest.raises(ValueError, match=message):
        label_scores(wide("llama"), ByteTokenizer(), **given)


@in_both_layouts
def test_what_just_fits_the_context_is_read():
    model = wide("llama")
    # 13 + 49 + 2 = 64 tokens: the "s" is predicted but never read.
    scores = label_scores(model, ByteTokenizer(), ["b" * 49], ["yes", "no"], shared=SHARED)
    expected = one_by_one(ours(model), ByteTokenizer(), SHARED, ["b" * 49], ["yes", "no"])
    assert_close(scores, expected, rtol=1e-4, atol=1e-4)
    assert (
        len(
            generate_answers(
                model, ByteTokenizer(), ["b" * 45], shared=SHARED, max_new_tokens=6, stop=()
            )
        )
        == 1
    )
    with pytest.raises(
        ValueError,
        match="prompt 0 has 46 tokens; with 13 shared and 6 to be written that is more than "
        "context=64",
    ):
        generate_answers(model, ByteTokenizer(), ["b" * 46], shared=SHARED, max_new_tokens=6)
    with pytest.raises(ValueError, match="max_new_tokens=0"):
        generate_answers(model, ByteTokenizer(), ["b"], max_new_tokens=0)


def test_labels_that_begin_alike_are_scored_where_nobody_forbids_it():
    scores = label_scores(wide("llama"), ByteTokenizer(), ["a"], ["up", "us"])
    assert scores[0, 0] != scores[0, 1]


def test_a_model_that_looks_both_ways_cannot_be_prompted():
    model = model_of("bert")
    with pytest.raises(ValueError, match="does not predict the next token"):
        label_scores(model, ByteTokenizer(71), ["a"], ["x", "y"])
    with pytest.raises(ValueError, match="does not predict the next token"):
        generate_answers(
            Transformer(bert(vocab_size=30, context=8, width=8, depth=1, heads=1, head="none")),
            ByteTokenizer(30),
            ["a"],
        )
