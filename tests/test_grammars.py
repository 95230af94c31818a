"""Grammars: whatever the logits, what comes out is in the language and comes to an end; and nothing of the language is forbidden."""

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
from fmcourse.prompting import constraints as grammars
from fmcourse.prompting import generate_answers
from fmcourse.prompting.constraints import (
    characters,
    determinize,
    grammar_constraint,
    integer,
    json_object,
    literal,
    one_of,
    optional,
    repeat,
    sequence,
    string,
    token_trie,
)
from fmcourse.tokenizers import BPETokenizer, CharTokenizer, WordPieceTokenizer

END = "<end>"
BPE = BPETokenizer.train(
    "abba abab baab éa bé\n bb aab " * 3 + '{"name": "Ada", "age": 36}',
    290,
    special_tokens=[END, "<other>"],
)
CHARS = CharTokenizer.train("ab é\n.")
TOKENIZERS = {
    "bpe": (BPE, BPE.special_tokens[END]),
    "characters": (CHARS, CHARS.encode(".")[0]),
    "bpe, a line ends": (BPE, BPE.encode("\n")[0]),
}


def spell(tokenizer, ids):
    return b"".join(token_trie(tokenizer).tokens[i] for i in ids)


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


# -- random grammars, with their language written out ---------------------------------------------------------------------


def some_grammar(rng, depth):
    """A random grammar and the set of its texts."""
    kind = rng.choice(
        ["text", "characters"]
        if depth == 0
        else ["one_of", "sequence", "repeated", "optional", "text"]
    )
    if kind == "text":
        said = "".join(rng.choice("aabbé 1\n") for _ in range(rng.randrange(4)))
        return (said if rng.random() < 0.5 else literal(said)), {said}
    if kind == "characters":
        chosen = rng.choice(["ab", "a-b1", "éa", "é", "1"])
        return characters(chosen), set("ab1" if chosen == "a-b1" else chosen)
    parts = [some_grammar(rng, depth - 1) for _ in range(rng.randint(1, 3))]
    made, languages = [part for part, _ in parts], [language for _, language in parts]
    joined = lambda languages: {"".join(pieces) for pieces in itertools.product(*languages)}
    if kind == "one_of":
        return one_of(made), set().union(*languages)
    if kind == "sequence":
        return sequence(*made), joined(languages)
    if kind == "optional":
        return optional(made[0]), languages[0] | {""}
    least = rng.randrange(3)
    most = least + rng.randrange(3)
    return repeat(made[0], least, most), set().union(
        *(joined([languages[0]] * n) for n in range(least, most + 1))
    )


def random_grammars(number, largest=300):
    rng = random.Random(0)
    while number:
        grammar, language = some_grammar(rng, rng.randint(0, 3))
        if len(language) <= largest:
            number -= 1
            yield grammar, {said.encode() for said in language}


@pytest.mark.parametrize("name", TOKENIZERS)
def test_exactly_what_leads_on_to_a_text_of_the_language_is_allowed(name):
    tokenizer, end = TOKENIZERS[name]
    tokens = [b"" if i == end else token for i, token in enumerate(token_trie(tokenizer).tokens)]

    @cache
    def can(rest):
        return not rest or any(
            rest.startswith(token) and can(rest[len(token) :]) for token in tokens if token
        )

    refused = 0
    for seed, (grammar, language) in enumerate(random_grammars(150)):
        spellable = {said for said in language if can(said)}
        if not spellable:
            refused += 1
            with pytest.raises(ValueError, match="this vocabulary cannot spell the grammar"):
                grammar_constraint(tokenizer, grammar, end)
            continue
        allow = grammar_constraint(tokenizer, grammar, end)
        for turn in range(2):
            ids, masks = write_at_random(allow, end, 2 * seed + turn)
            assert spell(tokenizer, ids) in language
            for n, mask in enumerate(masks):
                before = spell(tokenizer, ids[:n])
                rests = {said[len(before) :] for said in language if said.startswith(before)}
                expected = [
                    bool(t) and any(rest.startswith(t) and can(rest[len(t) :]) for rest in rests)
                    for t in tokens
                ]
                expected[end] = b"" in rests
                assert mask.tolist() == expected
    assert refused > 0 or name == "bpe"


def test_near_the_limit_only_what_still_leads_to_the_end_is_allowed():
    end = BPE.special_tokens[END]
    loops = [
        (repeat(one_of(["ab", "ba "])), rb"(ab|ba )*"),
        (sequence(repeat(characters("a-c"), 3), "; done"), rb"[abc]{3,}; done"),
        (sequence("x", string(100)), rb'x".*"'),
    ]
    for (grammar, pattern), within, seed in itertools.product(loops, (9, 10, 17), range(4)):
        wish = torch.zeros(BPE.vocab_size)
        wish[end] = -100  # it never wants to end
        ids, _ = write_at_random(grammar_constraint(BPE, grammar, end, within), end, seed, of=wish)
        assert len(ids) <= within and re.fullmatch(pattern, spell(BPE, ids), re.DOTALL)


def test_the_limit_counts_tokens_not_bytes():
    tokenizer = BPETokenizer.train("abcdefgh abcdefgh abcdefgh", 280, special_tokens=[END])
    end = tokenizer.special_tokens[END]
    least = len(tokenizer.encode("abcdefgh"))
    assert least == 1 and write_at_random(
        grammar_constraint(tokenizer, literal("abcdefgh"), end, max_tokens=1), end, 0
    )[0] == tokenizer.encode("abcdefgh")
    with pytest.raises(
        ValueError, match="max_tokens=0 is too little: the shortest text of this grammar may need 1"
    ):
        grammar_constraint(tokenizer, literal("abcdefgh"), end, max_tokens=0)


# -- JSON and its parts, with the real vocabulary -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real():
    tokenizer = pretrained.load_tokenizer("smollm2-135m-instruct")
    return tokenizer, tokenizer.special_tokens["<|im_end|>"]


PATTERNS = [
    (integer(), r"-?(0|[1-9][0-9]{0,8})"),
    (integer(2), r"-?(0|[1-9][0-9]?)"),
    (repeat(characters("a-zé ."), 2, 30), r"[a-zé .]{2,30}"),
    (
        sequence("Answer: ", one_of(["yes", "no", "not yet"]), optional(".")),
        r"Answer: (yes|no|not yet)\.?",
    ),
    (repeat(characters("+-"), 1, 3), r"[+-]{1,3}"),
    (sequence(repeat(characters("А-я"), 1, 9), "!"), r"[А-я]{1,9}!"),
]


@pytest.mark.parametrize(("grammar", "pattern"), PATTERNS, ids=[pattern for _, pattern in PATTERNS])
def test_what_is_written_matches_the_expression(real, grammar, pattern):
    allow = grammar_constraint(real[0], grammar, real[1])
    texts = [real[0].decode(write_at_random(allow, real[1], seed)[0]) for seed in range(12)]
    assert all(re.fullmatch(pattern, said) for said in texts) and len(set(texts)) > 2


def test_json_parses_whatever_the_logits_are(real):
    person = {"name": string(12), "née": one_of(["null", string(4)]), "age": integer(3)}
    grammar = json_object({**person, 'a "friend"': json_object(person), "none": json_object({})})
    allow, special = (
        grammar_constraint(real[0], grammar, real[1], max_tokens=120),
        list(real[0].special_tokens.values()),
    )
    tricky = torch.zeros(len(allow([])))
    for i, token in enumerate(real[0].tokens):  # pull towards what would break it
        tricky[i] = 3.0 * any(
            bad in token for bad in (b'"', b"\\", b"\n", b"}", b"\x00", b"\xed", b"\xf4")
        )
    for seed in range(12):
        ids, masks = write_at_random(allow, real[1], seed, of=tricky * (seed % 2))
        made = json.loads(spell(real[0], ids).decode("utf-8", errors="strict"))
        assert list(made) == ["name", "née", "age", 'a "friend"', "none"] and list(
            made['a "friend"']
        ) == list(person)
        assert (
            len(made["name"]) <= 12
            and type(made["age"]) is int
            and made["none"] == {}
            and len(ids) <= 120
        )
        assert not any(mask[i] for mask in masks for i in special if i != real[1])


def in_language(table, complete, said):
    at = 1
    for byte in said:
        at = table[at][byte]
    return complete[at]


def parses(said):
    try:
        return isinstance(json.loads(said.decode()), str)
    except ValueError:
        return False


def test_the_inside_of_a_string_is_what_json_and_utf8_allow():
    table, complete = determinize(string(2))
    edges = [
        *b'az"\\\n\x00\x1f\x20\x7f',
        0x80,
        0x8F,
        0x90,
        0x9F,
        0xA0,
        0xBF,
        0xC0,
        0xC1,
        0xC2,
        0xDF,
    ]
    edges += [0xE0, 0xE1, 0xEC, 0xED, 0xEE, 0xEF, 0xF0, 0xF1, 0xF3, 0xF4, 0xF5, 0xFF]
    inside = [bytes([a]) for a in range(256)] + [
        bytes(pair) for pair in itertools.product(range(256), repeat=2)
    ]
    inside += [bytes(three) for three in itertools.product(edges, repeat=3)]
    inside += [bytes([a, b, c, 0x85]) for a, b, c in itertools.product(edges, repeat=3)] + [b""]
    accepted = 0
    for one in inside:
        said = b'"' + one + b'"'
        expected = parses(said) and len(json.loads(said)) <= 2
        assert in_language(table, complete, said) == expected, said
        accepted += expected
    assert accepted > 10_000
    assert in_language(*determinize(string(0)), b'""') and not in_language(
        *determinize(string(0)), b'"a"'
    )


# -- in a model -----------------------------------------------------------------------------------------------------------


def test_models_write_it_one_by_one_and_in_a_batch():
    torch.manual_seed(0)
    model = randomize(
        Transformer(gpt2(vocab_size=BPE.vocab_size, context=64, width=16, depth=1, heads=2))
    )
    allow = grammar_constraint(
        BPE,
        json_object({"name": string(5), "age": integer(2)}),
        BPE.special_tokens[END],
        max_tokens=40,
    )
    settings = {"max_new_tokens": 41, "stop": (END,), "constraint": allow}
    for seed in range(3):
        made = json.loads(generate(model, BPE, "ab", seed=seed, **settings))
        assert list(made) == ["name", "age"]
    alone = [
        generate(model, BPE, prompt, temperature=0, **settings) for prompt in ("ab", "ba b", "é")
    ]
    assert generate_answers(model, BPE, ["ab", "ba b", "é"], **settings) == alone
    assert all(json.loads(said) for said in alone)


def test_the_same_ids_get_the_same_mask_whatever_was_asked_before():
    end = BPE.special_tokens[END]
    grammar = json_object({"name": string(5)})
    used = grammar_constraint(BPE, grammar, end)
    paths = [write_at_random(used, end, seed)[0] for seed in range(4)]
    for ids in (path[:n] for path in reversed(paths) for n in reversed(range(len(path)))):
        assert torch.equal(used(ids), grammar_constraint(BPE, grammar, end)(ids))
        used(ids)[:] = True  # the mask is the caller's own


def test_after_the_end_there_is_only_the_end():
    end = BPE.special_tokens[END]
    allow = grammar_constraint(BPE, literal("a"), end)
    ids = BPE.encode("a")
    for ended in (ids, [*ids, end], [*ids, end, end]):
        assert allow(ended).nonzero().flatten().tolist() == [end]


# -- what cannot be written -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: one_of([]), r"one_of\(\[\]\) leaves nothing to choose from"),
        (lambda: one_of("yes"), r"one_of\('yes'\) leaves nothing to choose from; give a list"),
        (lambda: characters(""), "allows none at all; name at least one"),
        (lambda: characters("z-a"), "the range z-a runs backwards; write a-z"),
        (lambda: repeat("a", 3, 2), "least=3 and most=2: no number lies between"),
        (lambda: repeat("a", -1), "least=-1"),
        (lambda: integer(0), "least=0 and most=-1"),
        (
            lambda: grammar_constraint(BPE, literal("a"), 999),
            r"end=999 is not in this vocabulary, whose ids run from 0 to 2",
        ),
        (lambda: grammar_constraint(BPE, literal("a"), -1), "end=-1 is not in this vocabulary"),
        (
            lambda: grammar_constraint(CHARS, literal("abc"), 0),
            r"after 'ab' comes one of the bytes b'c'",
        ),
        (
            lambda: grammar_constraint(CHARS, one_of(["b", "bax"]), CHARS.encode("b")[0]),
            r"cannot spell the grammar: after '' comes one of the bytes b'b'",
        ),
        (
            lambda: grammar_constraint(CHARS, sequence(repeat(characters("ab")), "z"), 0),
            r"one of the bytes b'z', and no token leads on",
        ),
        (
            lambda: grammar_constraint(CHARS, json_object({"a": "1"}), 0),
            r"after '' comes one of the bytes b'{'",
        ),
        (lambda: grammar_constraint(BPE, sequence(repeat("a"), "b"), BPE.encode("b")[0]), None),
        (
            lambda: grammar_constraint(
                WordPieceTokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "##b"]),
                literal("a"),
                0,
            ),
            "the tokens of WordPieceTokenizer are no plain bytes",
        ),
        (
            lambda: grammar_constraint(BPE, literal("ab"), 0)(BPE.encode("b")),
            "at position 0 is not what the grammar allows there",
        ),
        (
            lambda: grammar_constraint(BPE, literal("ab"), BPE.special_tokens[END])(
                [BPE.special_tokens[END]]
            ),
            "is not what the grammar allows there",
        ),
        (
            lambda: grammar_constraint(BPE, literal("ab"), 0)([BPE.special_tokens[END]]),
            "at position 0 is not what the grammar allows there",
        ),
    ],
)
def test_bad_input_is_explained(make, message):
    if message is None:  # "ab" as one token leads there although "b" is taken for the end
        assert make()([]).any()
        return
    with pytest.raises(ValueError, match=message):
        make()


def test_a_grammar_that_explodes_is_refused(monkeypatch):
    monkeypatch.setattr(grammars, "MAX_STATES", 200)
    letter = characters("ab")
    with pytest.raises(
        ValueError,
        match="this grammar needs more than 200 sets of states; repeat its parts less often",
    ):
        grammar_constraint(BPE, sequence(repeat(letter), "a", repeat(letter, 20, 20)), 0)


def test_an_object_is_spelt_as_json_dumps_does():
    end, made = BPE.special_tokens[END], {"née": 7, 'the "b"': {}, "c": {"d": "é"}}
    grammar = json_object({"née": "7", 'the "b"': json_object({}), "c": json_object({"d": '"é"'})})
    ids, _ = write_at_random(grammar_constraint(BPE, grammar, end), end, 0)
    assert spell(BPE, ids).decode() == json.dumps(made, ensure_ascii=False)


def test_where_it_fails_is_as_far_as_any_text_comes():
    tokenizer = CharTokenizer('ab"\n')
    with pytest.raises(ValueError, match="""after '""' comes one of the bytes b'z'"""):
        grammar_constraint(tokenizer, sequence(string(3), "z"), 3)


@pytest.mark.parametrize("letters", ["é", "éü", "猫犬"])
def test_a_vocabulary_without_any_single_byte_will_do(letters):
    tokenizer = CharTokenizer(letters + "\n")
    ids, _ = write_at_random(
        grammar_constraint(tokenizer, repeat(characters(letters), 2, 3), len(letters)),
        len(letters),
        0,
    )
    assert re.fullmatch(f"[{letters}]{{2,3}}", tokenizer.decode(ids))
