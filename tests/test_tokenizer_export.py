"""Exported folders: other libraries give the same ids, the same text and the same end."""

import json

import pytest
import torch
from helpers import model_of, randomize
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from fmcourse import pretrained
from fmcourse.generation import apply_chat_template, chat, generate
from fmcourse.generation.chat_template import DEFAULT_SYSTEM_PROMPT
from fmcourse.models.transformer import Transformer, bert, gpt2, llama
from fmcourse.pretrained.tokenizer_export import tokenizer_json
from fmcourse.tokenizers import BPETokenizer, CharTokenizer, WordPieceTokenizer

MARKS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
TEXT = "It's 1984, they'll say: über 12½  kilos\n\n\tof 猫 and 🙂 café-au-lait\r\n" * 3
HARD = [
    TEXT,
    "",
    " ",
    "  two  spaces, and 007 at the end  ",
    "\u2028\u00a0\x00\x1c",
    "e\u0301 \u0661\u0662 x² Ⅷ",
    "<|im_end|>",
]
WORDS = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "it",
    "'",
    "s",
    "cafe",
    "##s",
    "猫",
    "1",
    ",",
]
MAKE = {
    "gpt2": lambda: BPETokenizer.train(TEXT, 300, MARKS),
    "digits": lambda: BPETokenizer.train(TEXT, 300, split="digits"),
    "characters": lambda: CharTokenizer.train(TEXT + "".join(HARD)),
    "words": lambda: WordPieceTokenizer(WORDS),
}
SHAPE = {"context": 32, "width": 24, "depth": 2, "heads": 4}
SHAPES = {
    "gpt2": gpt2,
    "llama": lambda **shape: llama(kv_heads=2, hidden=40, rope_base=1e4, tied=False, **shape),
}


def fields(tokenizer):
    return {name: getattr(tokenizer, name) for name in tokenizer.saved_fields}


def model_for(shape: str, tokenizer, seed: int = 0) -> Transformer:
    config = SHAPES[shape](vocab_size=tokenizer.vocab_size, **SHAPE)
    return randomize(Transformer(config), std=0.5, seed=seed)


def theirs_in(folder):
    """What transformers opens the folder as."""
    return AutoModelForCausalLM.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(
        folder
    )


# -- ids ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MAKE)
def test_the_library_gives_the_same_ids_and_the_same_text(name):
    ours = MAKE[name]()
    theirs = Tokenizer.from_str(json.dumps(tokenizer_json(ours)))
    assert theirs.get_vocab_size() == ours.vocab_size
    for text in HARD:
        if name != "gpt2" or text not in MARKS:  # there, this is no ordinary text
            ids = ours.encode(text)
            assert theirs.encode(text).ids == ids
            assert theirs.decode(ids, skip_special_tokens=False) == ours.decode(ids)


@given(st.text(alphabet="ab cé1½'s\n\t猫🙂_-²", max_size=30))
def test_any_text_has_the_same_ids(text):
    for ours, theirs in PAIRS:
        assert theirs.encode(text).ids == ours.encode(text)


PAIRS = [
    (ours, Tokenizer.from_str(json.dumps(tokenizer_json(ours))))
    for ours in (MAKE["gpt2"](), MAKE["digits"](), CharTokenizer("ab cé1½'s\n\t猫🙂_-²"))
]


@pytest.mark.parametrize(("name", "text"), [("gpt2", "a<|im_end|>b"), ("words", "It [MASK] s")])
def test_special_tokens_are_read_where_ours_are_allowed_to_be(name, text):
    ours = MAKE[name]()
    theirs = Tokenizer.from_str(json.dumps(tokenizer_json(ours)))
    assert theirs.encode(text).ids == ours.encode(text, allow_special=True)
    theirs.encode_special_tokens = True  # transformers' split_special_tokens=True
    assert theirs.encode(text).ids == ours.encode(text)


def test_a_pair_of_texts_has_the_same_ids_and_token_types():
    ours = MAKE["words"]()
    theirs = Tokenizer.from_str(json.dumps(tokenizer_json(ours))).encode("it", "cafés")
    assert (theirs.ids, theirs.type_ids) == ours.encode_pair("it", "cafés")


def test_every_digit_stands_alone_even_where_a_merge_would_join_two():
    ours = BPETokenizer({"1": 0, "2": 1, "12": 2}, ["1 2"], split="digits")
    theirs = Tokenizer.from_str(json.dumps(tokenizer_json(ours)))
    assert theirs.encode("1212").ids == ours.encode("1212") == [0, 1, 0, 1]


def test_an_unknown_character_is_an_error_there_too():
    theirs = Tokenizer.from_str(json.dumps(tokenizer_json(CharTokenizer("abc"))))
    with pytest.raises(Exception, match="UNK"):
        theirs.encode("abd")


# -- there and back -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MAKE)
def test_a_model_and_its_tokenizer_come_back(name, tmp_path):
    tokenizer = MAKE[name]()
    shape = bert if name == "words" else gpt2
    model = randomize(Transformer(shape(vocab_size=tokenizer.vocab_size, **SHAPE)))
    pretrained.to_hf(model, tmp_path / "ours", tokenizer)
    # Through transformers, too, which writes the files anew.
    AutoTokenizer.from_pretrained(tmp_path / "ours").save_pretrained(tmp_path / "theirs")
    pretrained.to_hf(model, tmp_path / "theirs")
    for folder in ("ours", "theirs"):
        again, read = pretrained.from_hf(tmp_path / folder)
        assert again.config == model.config
        assert torch.equal(again.embed.tokens.weight, model.embed.tokens.weight)
        assert type(read) is type(tokenizer) and fields(read) == fields(tokenizer)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pre_tokenizer": {"type": "Whitespace"}}, "a WordLevel tokenizer with the pre_tokenizer"),
        ({"normalizer": {"type": "Lowercase"}}, "it has normalizer {'type': 'Lowercase'}"),
        ({"model": {"type": "WordLevel", "vocab": {"a": 0, "bc": 1}}}, "token 'bc' among charac"),
    ],
)
def test_words_of_another_library_are_not_read_as_characters(change, message, tmp_path):
    pretrained.to_hf(model_of("gpt2"), tmp_path)
    saved = tokenizer_json(CharTokenizer("abc")) | change
    (tmp_path / "tokenizer.json").write_text(json.dumps(saved))
    with pytest.raises(ValueError, match=message):
        pretrained.from_hf(tmp_path)


def test_a_cased_vocabulary_stays_cased(tmp_path):
    tokenizer = WordPieceTokenizer([*WORDS, "It", "É"], lowercase=False)
    pretrained.to_hf(
        Transformer(bert(vocab_size=tokenizer.vocab_size, **SHAPE)), tmp_path, tokenizer
    )
    theirs, (_, again) = AutoTokenizer.from_pretrained(tmp_path), pretrained.from_hf(tmp_path)
    assert theirs("It it É").input_ids == again.encode("It it É") == tokenizer.encode("It it É")


# -- text and its end -----------------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES)
def test_a_model_of_characters_writes_our_text_and_no_character_ends_it(shape, tmp_path):
    tokenizer = CharTokenizer("\nabcdefgh ")  # 0, 1 and 2 are what other libraries end a text with
    model = model_for(shape, tokenizer)
    model.embed.tokens.weight.data[3:] *= 0.1  # so that these are written
    pretrained.to_hf(model, tmp_path, tokenizer)
    theirs, reader = theirs_in(tmp_path)
    for prompt in ("a", "h\nbcd", " \n"):
        ids = theirs.generate(**reader(prompt, return_tensors="pt"), max_new_tokens=20)[0]
        text = generate(model, tokenizer, prompt, max_new_tokens=20, temperature=0)
        assert reader.decode(ids) == prompt + text
        assert ids.tolist() == tokenizer.encode(prompt + text)
    assert {0, 1, 2} & set(ids[:-1].tolist())  # a text that could have been ended


def with_end(shape: str, stop: str, *, after: int) -> tuple[Transformer, BPETokenizer]:
    """A model, and a tokenizer in which the token it writes at that place is the special `stop`."""
    letters = BPETokenizer.train("x", 256)
    model = model_for(shape, letters, seed=1)
    ids = letters.encode("To be")
    with torch.no_grad():
        while len(ids) < 5 + after or ids[-1] in ids[:-1]:
            ids.append(int(model(torch.tensor([ids]))[0, -1].argmax()))
    names = {i: name for name, i in letters.vocab.items()} | {ids[-1]: stop}
    return model, BPETokenizer({names[i]: i for i in range(256)}, [], special_tokens=[stop])


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("name", "stop"), [("<|endoftext|>", None), ("<end>", ["<end>"])])
def test_a_text_ends_where_ours_ends(shape, name, stop, tmp_path):
    model, tokenizer = with_end(shape, name, after=4)
    pretrained.to_hf(model, tmp_path, tokenizer, stop=stop)
    theirs, reader = theirs_in(tmp_path)
    ids = theirs.generate(**reader("To be", return_tensors="pt"), max_new_tokens=25)[0].tolist()
    text = generate(model, tokenizer, "To be", max_new_tokens=25, temperature=0, stop=[name])
    assert ids[-1] == tokenizer.special_tokens[name] == reader.eos_token_id
    # A token to pad with in a batch, but none that training elsewhere would leave as it is.
    assert reader.pad_token_id == ids[-1]
    assert theirs.get_input_embeddings().padding_idx is None
    assert len(ids) < 30 and ids.count(ids[-1]) == 1
    assert reader.decode(ids, skip_special_tokens=True) == "To be" + text
    # Rows of unequal length, which need a token to pad with.
    reader.padding_side = "left"
    batch = theirs.generate(
        **reader(["To be", "be"], padding=True, return_tensors="pt"), max_new_tokens=25
    )
    assert reader.batch_decode(batch, skip_special_tokens=True) == [
        prompt + generate(model, tokenizer, prompt, max_new_tokens=25, temperature=0, stop=[name])
        for prompt in ("To be", "be")
    ]


def test_a_character_can_end_a_text(tmp_path):
    tokenizer = CharTokenizer("\nabcdefgh ")
    pretrained.to_hf(model_for("llama", tokenizer), tmp_path, tokenizer, stop=["\n"])
    assert GenerationConfig.from_pretrained(tmp_path).eos_token_id == 0
    reader = AutoTokenizer.from_pretrained(tmp_path)
    assert reader.decode(reader("a\nb").input_ids, skip_special_tokens=True) == "a\nb"


@pytest.mark.parametrize("name", ["gpt2", "llama", "qwen2"])
def test_without_a_tokenizer_no_token_ends_a_text(name, tmp_path):
    pretrained.to_hf(model_of(name), tmp_path)
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path)
    for config in (theirs.config, theirs.generation_config):
        assert config.bos_token_id is config.eos_token_id is config.pad_token_id is None


# -- chat -----------------------------------------------------------------------------------------

DIALOGUES = [
    [{"role": "user", "content": "Hello, 1984 times!"}],
    [{"role": "system", "content": " Be brief.\n"}, {"role": "user", "content": "It's\n\nme "}],
    [
        {"role": "user", "content": "über"},
        {"role": "assistant", "content": ""},
        {"role": "user", "content": "café"},
    ],
]


def test_the_chat_template_gives_our_ids(tmp_path):
    tokenizer = BPETokenizer.train(TEXT + DEFAULT_SYSTEM_PROMPT, 400, MARKS, split="digits")
    pretrained.to_hf(model_for("llama", tokenizer), tmp_path, tokenizer)
    reader = AutoTokenizer.from_pretrained(tmp_path)
    for dialogue in DIALOGUES:
        ids = reader.apply_chat_template(dialogue, add_generation_prompt=True, return_dict=False)
        assert ids == apply_chat_template(tokenizer, dialogue)
    assert (reader.bos_token, reader.eos_token) == ("<|im_start|>", "<|im_end|>")
    assert GenerationConfig.from_pretrained(tmp_path).eos_token_id == [
        tokenizer.special_tokens[name] for name in ("<|im_end|>", "<|endoftext|>")
    ]


@pytest.mark.slow
def test_smollm2_answers_the_same_elsewhere_and_ends_its_turn(tmp_path):
    model, tokenizer = pretrained.load("smollm2-135m-instruct")
    pretrained.to_hf(model, tmp_path, tokenizer)
    theirs, reader = theirs_in(tmp_path)
    for question in ("What is the capital of France?", "What is 2 + 2?"):
        dialogue = [{"role": "user", "content": question}]
        given = reader.apply_chat_template(
            dialogue, add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
        prompt = given["input_ids"][0].tolist()
        assert prompt == apply_chat_template(tokenizer, dialogue)
        ids = theirs.generate(**given, max_new_tokens=60)[0, len(prompt) :].tolist()
        assert ids[-1] == 2 and len(ids) < 60  # <|im_end|>
        answer = chat(model, tokenizer, dialogue, max_new_tokens=60)
        assert reader.decode(ids, skip_special_tokens=True) == answer
    _, again = pretrained.from_hf(tmp_path)
    assert fields(again) == fields(tokenizer)


# -- errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tokenizer", "stop", "message"),
    [
        (CharTokenizer.train("abcdefghijklmnopqrst"), None, "has 20 tokens and the model 17; pass"),
        (CharTokenizer("abc"), ["ab"], "stop='ab' is 2 tokens, and other libraries end a text"),
        (CharTokenizer("abc"), "a", "stop='a' is one text; pass a list"),
    ],
)
def test_what_no_folder_can_say_is_refused_before_anything_is_written(
    tokenizer, stop, message, tmp_path
):
    with pytest.raises(ValueError, match=message):
        pretrained.to_hf(model_of("gpt2 untied"), tmp_path, tokenizer, stop=stop)
    assert not any(tmp_path.iterdir())


def test_an_unknown_tokenizer_is_refused(tmp_path):
    with pytest.raises(TypeError, match="a dict has no form that other libraries read"):
        pretrained.to_hf(model_of("gpt2"), tmp_path, {})
