"""Constrained decoding: whatever the logits, what is written has the form and comes to an end."""

import itertools
import json
import random
import re
from functools import cache

import pytest
import torch
from helpers import randomize

from fmcourse import pretrained
from fmcourse.generation import generate
from fmcourse.models.transformer import Transformer, gpt2
from fmcourse.prompting import generate_answers
from fmcourse.prompting.constraints import END as ENDS
from fmcourse.prompting.constraints import grammar_constraint, json_object, one_of, string
from fmcourse.prompting.forms import line, nothing, number, sequence, switch
from fmcourse.tokenizers import BPETokenizer, CharTokenizer, WordPieceTokenizer

END = "<end>"
BPE = BPETokenizer.train(
    "abba abab baab éa bé\n bb aab " * 3 + '{"name": "Ada", "age": 36}',
    290,
    special_tokens=[END, "<other>"],
)
CHARS = CharTokenizer.train("ab é\n.")
JSON_CHARS = CharTokenizer.train('ab é\n."{}:,')
TOKENIZERS = {
    "bpe": (BPE, BPE.special_tokens[END]),
    "characters": (CHARS, CHARS.encode(".")[0]),
    "characters of JSON": (JSON_CHARS, JSON_CHARS.encode(".")[0]),
    "bpe, a line ends": (BPE, BPE.encode("\n")[0]),
}


def spell(tokenizer, ids):
    return b"".join(map(tokenizer.token_bytes, ids))


def write_at_random(allow, end, seed, most=500, of=None):
    """What random logits write, and the masks on the way; ends with `end`."""
    generator, ids, masks = torch.Generator().manual_seed(seed), [], []
    for _ in range(most):
        masks.append(allow(ids))
        logits = torch.randn(len(masks[-1]), generator=generator) + (0 if of is None else of)
        token = int(logits.masked_fill(~masks[-1], -torch.inf).argmax())
        if token == end:
            return ids, masks
        ids.append(token)
    raise AssertionError(f"no end after {most} tokens")


# -- random forms, with their language written out -------------------------------------------------


def random_text(rng):
    return "".join(rng.choice("aabbé 1\n") for _ in range(rng.randrange(5)))


def random_form(rng, depth):
    """A random form and the set of its texts."""
    if depth == 0:
        texts = [random_text(rng) for _ in range(rng.randint(1, 4))]
        return one_of(texts), set(texts)
    names = rng.sample(["a", "bé", 'a "b"'], rng.randrange(3))
    values = [random_value(rng, depth) for _ in names]
    spelled = [json.dumps(name, ensure_ascii=False) + ": " for name in names]
    texts = {
        "{" + ", ".join(map("".join, zip(spelled, chosen, strict=True))) + "}"
        for chosen in itertools.product(*(language for _, language in values))
    }
    forms = [form for form, _ in values]
    return json_object(dict(zip(names, forms, strict=True))), texts


def random_value(rng, depth):
    """An object, or a choice in quotes: where a value ends must be seen at its last byte."""
    if depth > 1 and rng.random() < 0.5:
        return random_form(rng, depth - 1)
    choices = [json.dumps(random_text(rng), ensure_ascii=False) for _ in range(rng.randint(1, 3))]
    return one_of(choices), set(choices)


def random_forms(number):
    rng = random.Random(0)
    for _ in range(number):
        form, language = random_form(rng, rng.choice([0, 0, 1, 2]))
        yield form, {text.encode() for text in language}


@pytest.mark.slow
@pytest.mark.parametrize("name", TOKENIZERS)
def test_exactly_what_leads_on_to_a_text_of_the_language_is_allowed(name):
    tokenizer, end = TOKENIZERS[name]
    tokens = [b"" if i == end else tokenizer.token_bytes(i) for i in range(tokenizer.vocab_size)]

    @cache
    def can_spell(rest):
        return not rest or any(
            rest.startswith(token) and can_spell(rest[len(token) :]) for token in tokens if token
        )

    refused = 0
    for seed, (form, language) in enumerate(random_forms(100)):
        if not any(map(can_spell, language)):
            refused += 1
            with pytest.raises(ValueError, match="this vocabulary cannot spell any text of this"):
                grammar_constraint(tokenizer, form, end)
            continue
        allow = grammar_constraint(tokenizer, form, end)
        for draw in range(2):
            ids, masks = write_at_random(allow, end, 2 * seed + draw)
            assert spell(tokenizer, ids) in language
            for n, mask in enumerate(masks):
                before = spell(tokenizer, ids[:n])
                rests = {text[len(before) :] for text in language if text.startswith(before)}
                expected = [
                    bool(t)
                    and any(rest.startswith(t) and can_spell(rest[len(t) :]) for rest in rests)
                    for t in tokens
                ]
                expected[end] = b"" in rests
                assert mask.tolist() == expected
    assert refused > 0 or name == "bpe"


@pytest.mark.slow
def test_near_the_limit_only_what_still_leads_to_the_end_is_allowed():
    end = BPE.special_tokens[END]
    for within, seed in itertools.product((9, 10, 17), range(4)):
        wish = torch.zeros(BPE.vocab_size)
        wish[end] = -100  # it never wants to end
        wish[BPE.encode('"')[0]] = -100
        allow = grammar_constraint(BPE, string(100), end, within)
        ids, _ = write_at_random(allow, end, seed, of=wish)
        assert len(ids) <= within and re.fullmatch(rb'".*"', spell(BPE, ids), re.DOTALL)


@pytest.mark.parametrize("free", [string(None), sequence(one_of(["a"]), line(None))])
@pytest.mark.parametrize("within", [9, 17])
def test_a_text_of_any_length_ends_within_the_limit(free, within):
    end = BPE.encode("\n")[0]
    wish = torch.zeros(BPE.vocab_size)
    wish[[end, *BPE.encode('"')]] = -100  # it never wants to end
    allow = grammar_constraint(BPE, free, end, within)
    for seed in range(4):
        ids, _ = write_at_random(allow, end, seed, of=wish)
        assert within - 2 <= len(ids) <= within and has_form(free({ENDS: None}), spell(BPE, ids))


def test_the_limit_counts_tokens_not_bytes():
    tokenizer = BPETokenizer.train("abcdefgh abcdefgh abcdefgh", 280, special_tokens=[END])
    end = tokenizer.special_tokens[END]
    assert len(tokenizer.encode("abcdefgh")) == 1
    allow = grammar_constraint(tokenizer, one_of(["abcdefgh"]), end, max_tokens=1)
    assert write_at_random(allow, end, 0)[0] == tokenizer.encode("abcdefgh")
    with pytest.raises(
        ValueError, match="max_tokens=0 is too little: the shortest text of this form needs 1"
    ):
        grammar_constraint(tokenizer, one_of(["abcdefgh"]), end, max_tokens=0)


# -- JSON, with the real vocabulary ----------------------------------------------------------------


@pytest.fixture(scope="module")
def real():
    tokenizer = pretrained.load_tokenizer("smollm2-135m-instruct")
    return tokenizer, tokenizer.special_tokens["<|im_end|>"]


@pytest.mark.slow
def test_every_choice_is_written_and_nothing_else(real):
    choices = ["yes", "no", "not yet", "null", "née"]
    allow = grammar_constraint(real[0], one_of(choices), real[1])
    texts = {real[0].decode(write_at_random(allow, real[1], seed)[0]) for seed in range(60)}
    assert texts == set(choices)


@pytest.mark.slow
def test_json_parses_whatever_the_logits_are(real):
    person = {"name": string(12), "née": string(4), "age": one_of(["null", "7", "36"])}
    form = json_object({**person, 'a "friend"': json_object(person), "none": json_object({})})
    allow = grammar_constraint(real[0], form, real[1], max_tokens=120)
    special = set(real[0].special_tokens.values()) - {real[1]}
    tricky = torch.zeros(len(allow([])))
    for i, token in enumerate(real[0].tokens):  # pull towards what would break it
        tricky[i] = 3.0 * any(
            bad in token for bad in (b'"', b"\\", b"\n", b"}", b"\x00", b"\xed", b"\xf4")
        )
    for seed in range(12):
        ids, masks = write_at_random(allow, real[1], seed, of=tricky * (seed % 2))
        made = json.loads(spell(real[0], ids).decode("utf-8", errors="strict"))
        assert list(made) == ["name", "née", "age", 'a "friend"', "none"]
        assert list(made['a "friend"']) == list(person)
        assert len(made["name"]) <= 12 and made["age"] in (None, 7, 36) and made["none"] == {}
        assert len(ids) <= 120
        assert not any(mask[i] for mask in masks for i in special)


def has_form(state, text):
    for byte in text:
        if byte not in state:
            return False
        state = state[byte]
    return ENDS in state


def parses(text):
    try:
        return isinstance(json.loads(text.decode()), str)
    except ValueError:
        return False


def test_the_inside_of_a_string_is_what_json_and_utf8_allow():
    two = string(2)({ENDS: None})
    edges = [*b'az"\\\n\x00\x1f\x20\x7f', 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF]
    edges += [0xC0, 0xC1, 0xC2, 0xDF, 0xE0, 0xE1, 0xEC, 0xED, 0xEE, 0xEF]
    edges += [0xF0, 0xF1, 0xF3, 0xF4, 0xF5, 0xFF]
    inside = [bytes([a]) for a in range(256)] + [b""]
    inside += [bytes(pair) for pair in itertools.product(range(256), repeat=2)]
    inside += [bytes(three) for three in itertools.product(edges, repeat=3)]
    inside += [bytes([a, b, c, 0x85]) for a, b, c in itertools.product(edges, repeat=3)]
    accepted = 0
    for one in inside:
        text = b'"' + one + b'"'
        expected = parses(text) and len(json.loads(text)) <= 2
        assert has_form(two, text) == expected, text
        accepted += expected
    assert accepted > 10_000
    empty = string(0)({ENDS: None})
    assert has_form(empty, b'""') and not has_form(empty, b'"a"')


@pytest.mark.parametrize(("digits", "decimals"), [(1, 0), (2, 0), (1, 1), (2, 2), (3, 1)])
def test_a_number_is_what_json_allows_within_its_digits(digits, decimals):
    form = number(digits, decimals)({ENDS: None})
    accepted = 0
    for length in range(1, 6):
        for text in map("".join, itertools.product("-.059", repeat=length)):
            shape = rf"-?(0|[59][059]{{0,{digits - 1}}})(\.[059]{{1,{decimals}}})?"
            if not decimals:
                shape = shape.removesuffix(r"(\.[059]{1,0})?")
            expected = re.fullmatch(shape, text) is not None
            assert has_form(form, text.encode()) == expected, text
            assert not expected or isinstance(json.loads(text), int | float)
            accepted += expected
    assert accepted > 2


def test_a_line_is_any_text_without_a_line_break():
    form = line(3)({ENDS: None})
    for text in ("", "a", "é 猫", '"\\{', "-.-"):
        assert has_form(form, text.encode())
    for text in ("abcd", "a\nb", "\t", "\r", "\x7f", "\0"):
        assert not has_form(form, text.encode())
    assert not has_form(form, b"\xff") and not has_form(form, "é".encode()[:1])


def test_without_a_limit_a_text_may_be_long_and_is_still_json():
    free, words = string(None)({ENDS: None}), line(None)({ENDS: None})
    for text in ("", "a" * 500, 'é\\"猫' * 99):
        assert has_form(free, json.dumps(text, ensure_ascii=False).encode())
        assert has_form(words, text.encode())
    for text in ('"a', 'a"', '"a"b"', '"\n"', '"\\x"', '"a\\"'):
        assert not has_form(free, text.encode())


def test_each_case_of_a_switch_goes_on_in_its_own_way():
    form = switch({"no": nothing, "none": one_of(["!"]), "x": sequence(number(1, 0), string(1))})
    form = sequence(form, one_of([";"]))({ENDS: None})
    for text in ("no;", "none!;", 'x7"a";'):
        assert has_form(form, text.encode())
    for text in ("none;", "no!;", "x;", "x7;", "no"):
        assert not has_form(form, text.encode())


@pytest.mark.parametrize(
    ("form", "sentence"),
    [
        (sequence(number(), one_of(["0"])), "could continue the number, or follow it"),
        (sequence(number(), one_of([".5"])), "could continue the number, or follow it"),
        (sequence(line(), one_of(["."])), "could continue the line, or follow it"),
        (switch({"a": nothing, "ab": nothing}), "could continue a choice, or follow it"),
    ],
)
def test_a_form_that_leaves_open_where_it_ends_is_refused(form, sentence):
    with pytest.raises(ValueError, match=sentence):
        sequence(form, one_of(["b"]))({ENDS: None})


def test_an_object_is_spelled_as_json_dumps_does():
    end, made = BPE.special_tokens[END], {"née": 7, 'the "b"': {}, "c": {"d": "é"}}
    fields = {"née": one_of(["7"]), 'the "b"': json_object({})}
    form = json_object({**fields, "c": json_object({"d": one_of(['"é"'])})})
    ids, _ = write_at_random(grammar_constraint(BPE, form, end), end, 0)
    assert spell(BPE, ids).decode() == json.dumps(made, ensure_ascii=False)


# -- in a model ------------------------------------------------------------------------------------


def test_models_write_it_one_by_one_and_in_a_batch():
    torch.manual_seed(0)
    model = randomize(
        Transformer(gpt2(vocab_size=BPE.vocab_size, context=64, width=16, depth=1, heads=2))
    )
    form = json_object({"name": string(5), "age": one_of(["null", "36"])})
    allow = grammar_constraint(BPE, form, BPE.special_tokens[END], max_tokens=40)
    settings = {"max_new_tokens": 41, "stop": (END,), "constraint": allow}
    for seed in range(3):
        made = json.loads(generate(model, BPE, "ab", seed=seed, **settings))
        assert list(made) == ["name", "age"]
    alone = [
        generate(model, BPE, prompt, temperature=0, **settings) for prompt in ("ab", "ba b", "é")
    ]
    assert generate_answers(model, BPE, ["ab", "ba b", "é"], **settings) == alone
    assert all(json.loads(text) for text in alone)


def test_the_same_ids_get_the_same_mask_whatever_was_asked_before():
    end = BPE.special_tokens[END]
    form = json_object({"name": string(5)})
    used = grammar_constraint(BPE, form, end)
    paths = [write_at_random(used, end, seed)[0] for seed in range(4)]
    for ids in (path[:n] for path in reversed(paths) for n in reversed(range(len(path)))):
        assert torch.equal(used(ids), grammar_constraint(BPE, form, end)(ids))
        used(ids)[:] = True  # the mask is the caller's own


def test_after_the_end_there_is_only_the_end():
    end = BPE.special_tokens[END]
    allow = grammar_constraint(BPE, one_of(["a"]), end)
    ids = BPE.encode("a")
    for ended in (ids, [*ids, end], [*ids, end, end]):
        assert allow(ended).nonzero().flatten().tolist() == [end]


@pytest.mark.parametrize("letters", ["é", "éü", "猫犬"])
def test_a_vocabulary_without_any_single_byte_will_do(letters):
    tokenizer, end = CharTokenizer(letters + "\n"), len(letters)
    choices = [first + second for first in letters for second in letters]
    ids, _ = write_at_random(grammar_constraint(tokenizer, one_of(choices), end), end, 0)
    assert tokenizer.decode(ids) in choices


# -- what cannot be written ------------------------------------------------------------------------

NO_BYTES = WordPieceTokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "##b"])
NEVER = "this vocabulary cannot spell any text of this form"
NOT_ALLOWED = "at position 0 is not what the form allows there"


@pytest.mark.parametrize(
    ("tokenizer", "form", "end", "message"),
    [
        (BPE, one_of(["a"]), 999, "id 999 .* is not in this vocabulary"),
        (BPE, one_of(["a"]), -1, "id -1 .* is not in this vocabulary"),
        (CHARS, one_of(["abc"]), 0, NEVER),
        (CHARS, one_of(["b", "bax"]), CHARS.encode("b")[0], NEVER),
        (CHARS, json_object({"a": one_of(["1"])}), 0, NEVER),
        (CharTokenizer('ab"\n'), json_object({"a": string(3)}), 3, NEVER),
        (NO_BYTES, one_of(["a"]), 0, "the tokens of WordPieceTokenizer are no plain bytes"),
        (BPE, json_object({"a": one_of(["1", "1}"])}), 0, "could continue a choice, or follow it"),
    ],
)
def test_what_a_vocabulary_cannot_spell_is_refused(tokenizer, form, end, message):
    with pytest.raises(ValueError, match=message):
        grammar_constraint(tokenizer, form, end)


def test_one_token_may_spell_what_its_bytes_cannot():
    # "b" alone ends the text, but "ab" is one token.
    assert grammar_constraint(BPE, one_of(["ab"]), BPE.encode("b")[0])([]).any()


@pytest.mark.parametrize("end", [0, BPE.special_tokens[END]])
@pytest.mark.parametrize("ids", [BPE.encode("b"), [BPE.special_tokens[END]], BPE.encode("é")])
def test_tokens_that_the_form_does_not_allow_are_named(end, ids):
    with pytest.raises(ValueError, match=NOT_ALLOWED):
        grammar_constraint(BPE, one_of(["ab"]), end)(ids)


@pytest.mark.parametrize("texts", [[], "yes"])
def test_a_choice_needs_a_list_of_texts(texts):
    with pytest.raises(ValueError, match="leaves nothing to choose from; give a list"):
        one_of(texts)
