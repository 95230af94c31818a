"""Saved tokenizers: the ids of the reference library, or a refusal that names what is not computed.

Every tokenizer here is small, and made and saved by the library that made the published ones.
"""

import json
from functools import cache

import pytest
from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
)
from transformers import AutoTokenizer, BertTokenizer, GPT2Tokenizer

from fmcourse.pretrained import read_tokenizer
from fmcourse.tokenizers import BPETokenizer, WordPieceTokenizer

TEXT = "It's the CAFÉ in 1984: déjà vu, ½ price; it’s 12345 猫 ﬁne\n\n  We'll SEE. ÅÉ\t[MASK] x"
BERT_TOKENS = [
    *["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "in", "CAFÉ", "cafe", "café", "CAFE"],
    *["it", "It", "see", "SEE", "We", "we", "déjà", "deja", "vu", "##s", "##É", "s", "x", "猫"],
    *["de", "##ja", "##jà", "dé", "'", ",", ".", ";", ":", "’", "ÅÉ", "åé", "ae", "AE", "mask"],
]
LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


@cache
def trained() -> BPETokenizer:
    return BPETokenizer.train(TEXT * 3 + TEXT.lower() * 3, 330, ["<|endoftext|>"])


def byte_level(**change) -> Tokenizer:
    """GPT-2's steps, but for what is changed."""
    ours = trained()
    merges = [tuple(merge.split(" ")) for merge in ours.merges]
    made = Tokenizer(models.BPE(ours.vocab, merges, **change.pop("model", {})))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens(["<|endoftext|>"])
    for stage, step in change.items():
        setattr(made, stage, step)
    return made


def bert(**change) -> Tokenizer:
    """BERT's steps, but for what is changed."""
    vocab = {token: i for i, token in enumerate(BERT_TOKENS)}
    made = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]", **change.pop("model", {})))
    made.normalizer = normalizers.BertNormalizer()
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    made.add_special_tokens(BERT_TOKENS[:5])
    for stage, step in change.items():
        setattr(made, stage, step)
    return made


def save(made: Tokenizer, folder, **config):
    made.save(str(folder / "tokenizer.json"))
    if config:
        (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder


# -- BERT -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("lowercase", [True, False])
@pytest.mark.parametrize("strip_accents", [None, True, False])
def test_capitals_and_accents_are_kept_where_the_file_says_so(lowercase, strip_accents, tmp_path):
    made = bert(
        normalizer=normalizers.BertNormalizer(lowercase=lowercase, strip_accents=strip_accents)
    )
    ours, expected = read_tokenizer(save(made, tmp_path)), made.encode(TEXT)
    assert ours.encode_with_offsets(TEXT, allow_special=True) == (expected.ids, expected.offsets)
    assert ours.encode(TEXT, allow_special=True) == expected.ids
    ours.save(tmp_path / "ours.json")
    assert WordPieceTokenizer.load(tmp_path / "ours.json").encode(TEXT) == ours.encode(TEXT)


@pytest.mark.parametrize("settings", [{}, {"do_lower_case": False}, {"strip_accents": False}])
def test_what_transformers_saves_of_bert_needs_no_vocab_txt(settings, tmp_path):
    vocab = {token: i for i, token in enumerate(BERT_TOKENS)}
    theirs = BertTokenizer(vocab=vocab, **settings)
    theirs.save_pretrained(tmp_path)
    assert not (tmp_path / "vocab.txt").exists()
    assert read_tokenizer(tmp_path).encode(TEXT, allow_special=True) == theirs(TEXT)["input_ids"]


@pytest.mark.parametrize("settings", [{}, {"do_lower_case": False}, {"strip_accents": False}])
def test_a_vocab_txt_is_read_as_its_config_says(settings, tmp_path):
    (tmp_path / "vocab.txt").write_text("\n".join(BERT_TOKENS) + "\n")
    config = {"tokenizer_class": "BertTokenizer", **settings}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    theirs = AutoTokenizer.from_pretrained(tmp_path)
    assert read_tokenizer(tmp_path).encode(TEXT, allow_special=True) == theirs(TEXT)["input_ids"]


def test_of_two_files_the_newer_form_is_read(tmp_path):
    (tmp_path / "vocab.txt").write_text("\n".join([*BERT_TOKENS[:5], *BERT_TOKENS[:4:-1]]) + "\n")
    made = bert()
    assert read_tokenizer(save(made, tmp_path)).encode("the café") == made.encode("the café").ids


def test_files_that_disagree_about_capitals_are_refused(tmp_path):
    with pytest.raises(ValueError, match="lowercase=True, .* do_lower_case=False"):
        read_tokenizer(save(bert(), tmp_path, do_lower_case=False))
    read_tokenizer(save(bert(), tmp_path, do_lower_case=True, strip_accents=True))  # the same


def test_a_pad_token_that_was_added_later_is_read(tmp_path):
    tokens = [token for token in BERT_TOKENS if token != "[PAD]"]
    theirs = BertTokenizer(vocab={token: i for i, token in enumerate(tokens)})
    theirs.save_pretrained(tmp_path)
    ours = read_tokenizer(tmp_path)
    assert ours.special_tokens["[PAD]"] == theirs.pad_token_id == len(tokens)
    assert ours.encode(TEXT) == theirs(TEXT.replace("[MASK]", "[ MASK ]"))["input_ids"]


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"normalizer": normalizers.Lowercase()}, "normalizer .*'Lowercase'"),
        ({"normalizer": None}, "normalizer None"),
        (
            {"normalizer": normalizers.BertNormalizer(handle_chinese_chars=False)},
            "handle_chinese_chars=False",
        ),
        ({"normalizer": normalizers.BertNormalizer(clean_text=False)}, "clean_text=False"),
        ({"pre_tokenizer": pre_tokenizers.Whitespace()}, "pre_tokenizer .*'Whitespace'"),
        ({"model": {"max_input_chars_per_word": 7}}, "max_input_chars_per_word=7"),
        ({"model": {"continuing_subword_prefix": "@@"}}, "continuing_subword_prefix='@@'"),
        ({"post_processor": None}, "post_processor None"),
        (
            {
                "post_processor": processors.TemplateProcessing(
                    single="[CLS] $A", special_tokens=[("[CLS]", 2)]
                )
            },
            r"makes of a text: \[CLS\] A; our class makes \[CLS\] A \[SEP\]",
        ),
        (
            {
                "post_processor": processors.TemplateProcessing(
                    single="[CLS] $A [SEP]",
                    pair="[CLS] $A [SEP] $B [SEP]",
                    special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
                )
            },
            r"B:0 \[SEP\]:0; our class makes .* B:1 \[SEP\]:1",
        ),
        (
            {"post_processor": processors.BertProcessing(("[SEP]", 3), ("[PAD]", 0))},
            r"\['\[PAD\]', '\[SEP\]'\]",
        ),
    ],
)
def test_a_step_that_our_wordpiece_does_not_compute_is_refused(change, names, tmp_path):
    with pytest.raises(ValueError, match=f"tokenizer.json: .*{names}"):
        read_tokenizer(save(bert(**change), tmp_path))


def test_words_added_to_bert_are_refused(tmp_path):
    made = bert()
    made.add_tokens(["deepnet"])
    with pytest.raises(ValueError, match="added token 'deepnet' has special=False"):
        read_tokenizer(save(made, tmp_path))
    made = bert()
    made.add_special_tokens(["<e1>"])
    with pytest.raises(ValueError, match="has an added token '<e1>'"):
        read_tokenizer(save(made, tmp_path))


@pytest.mark.parametrize(
    "config",
    [
        {"tokenizer_class": "BertJapaneseTokenizer"},
        {"tokenize_chinese_chars": False},
        {"do_basic_tokenize": False},
        {"never_split": ["CAFÉ"]},
        {"cls_token": "<s>"},
        {"mask_token": {"content": "<mask>", "lstrip": True}},
    ],
)
def test_a_setting_beside_vocab_txt_is_refused(config, tmp_path):
    (tmp_path / "vocab.txt").write_text("\n".join(BERT_TOKENS) + "\n")
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=f"vocab.txt: .*{next(iter(config))}="):
        read_tokenizer(tmp_path)


# -- byte-level BPE -------------------------------------------------------------------------------


def sequence(*steps):
    return pre_tokenizers.Sequence(list(steps))


BYTES = {"add_prefix_space": False}
DIGITS = pre_tokenizers.Digits(individual_digits=True)


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"pre_tokenizer": sequence(DIGITS, pre_tokenizers.ByteLevel(**BYTES))},
        {"pre_tokenizer": sequence(sequence(DIGITS), pre_tokenizers.ByteLevel(**BYTES))},
        {"post_processor": processors.ByteLevel(trim_offsets=False)},
        {"decoder": None},
    ],
)
def test_the_steps_of_gpt2_and_smollm2_have_the_ids_of_the_reference(change, tmp_path):
    made = byte_level(**change)
    text = f"{TEXT}<|endoftext|>"
    ours = read_tokenizer(save(made, tmp_path))
    assert ours.encode(text, allow_special=True) == made.encode(text).ids


def test_what_transformers_saves_of_gpt2_has_its_ids_added_pad_too(tmp_path):
    merges = [tuple(merge.split(" ")) for merge in trained().merges]
    theirs = GPT2Tokenizer(vocab=trained().vocab, merges=merges)
    theirs.add_special_tokens({"pad_token": "[PAD]"})
    theirs.save_pretrained(tmp_path)
    ours = read_tokenizer(tmp_path)
    assert ours.special_tokens == {"<|endoftext|>": 329, "[PAD]": 330}
    assert ours.encode(f"{TEXT}[PAD]", allow_special=True) == theirs(f"{TEXT}[PAD]")["input_ids"]


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"normalizer": normalizers.Lowercase()}, "normalizer .*'Lowercase'"),
        ({"normalizer": normalizers.NFKC()}, "normalizer .*'NFKC'"),
        (
            {"normalizer": normalizers.Sequence([normalizers.NFC(), normalizers.Strip()])},
            "normalizer .*'NFC'",
        ),
        ({"pre_tokenizer": pre_tokenizers.ByteLevel()}, "add_prefix_space=True"),
        (
            {"pre_tokenizer": pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)},
            "use_regex=False",
        ),
        (
            {
                "pre_tokenizer": sequence(
                    pre_tokenizers.Split(Regex(LLAMA3), "isolated"),
                    pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
                )
            },
            "pre_tokenizer .*'Split'",
        ),
        (
            {
                "pre_tokenizer": sequence(
                    pre_tokenizers.Digits(individual_digits=False),
                    pre_tokenizers.ByteLevel(**BYTES),
                )
            },
            "individual_digits=False",
        ),
        (
            {"pre_tokenizer": sequence(pre_tokenizers.ByteLevel(**BYTES), DIGITS)},
            r"pre_tokenizer \['ByteLevel', 'Digits'\]",
        ),
        ({"model": {"ignore_merges": True}}, "ignore_merges=True"),
        ({"model": {"dropout": 0.1}}, "dropout=0.1"),
        ({"model": {"end_of_word_suffix": "Ġ"}}, "end_of_word_suffix='Ġ'"),
        (
            {
                "post_processor": processors.TemplateProcessing(
                    single="<|endoftext|> $A", special_tokens=[("<|endoftext|>", 329)]
                )
            },
            r"makes of a text: <\|endoftext\|> A; our class makes A",
        ),
        (
            {"post_processor": processors.RobertaProcessing(("a", 0), ("b", 1))},
            "post_processor .*'RobertaProcessing'",
        ),
        ({"decoder": decoders.WordPiece()}, "decoder .*'WordPiece'"),
    ],
)
def test_a_step_that_our_byte_level_bpe_does_not_compute_is_refused(change, names, tmp_path):
    if "end_of_word_suffix" in change.get("model", {}):
        made = byte_level()
        saved = json.loads(made.to_str())
        saved["model"] |= change["model"]
        (tmp_path / "tokenizer.json").write_text(json.dumps(saved))
    else:
        save(byte_level(**change), tmp_path)
    with pytest.raises(ValueError, match=f"tokenizer.json: .*{names}"):
        read_tokenizer(tmp_path)


@pytest.mark.parametrize(
    ("added", "says"),
    [
        (AddedToken("price", special=False), "added token 'price' has special=False"),
        (AddedToken("<mask>", lstrip=True, special=True), "added token '<mask>' has lstrip=True"),
        (AddedToken("<m>", single_word=True, special=True), "single_word=True"),
    ],
)
def test_an_added_word_that_our_class_would_not_find_is_refused(added, says, tmp_path):
    made = byte_level()
    (made.add_special_tokens if added.special else made.add_tokens)([added])
    with pytest.raises(ValueError, match=says):
        read_tokenizer(save(made, tmp_path))


@pytest.mark.parametrize(
    "config", [{"add_prefix_space": True}, {"add_bos_token": True}, {"add_eos_token": True}]
)
def test_a_config_beside_it_is_read_too(config, tmp_path):
    with pytest.raises(ValueError, match=f"{next(iter(config))}=True"):
        read_tokenizer(save(byte_level(), tmp_path, **config))


# -- other kinds, and damage ----------------------------------------------------------------------


def test_a_tokenizer_of_another_kind_is_refused_by_its_name(tmp_path):
    unigram = Tokenizer(models.Unigram([("a", -1.0), ("b", -2.0)], 0))
    with pytest.raises(ValueError, match="a Unigram tokenizer .* SentencePiece"):
        read_tokenizer(save(unigram, tmp_path))
    metaspace = Tokenizer(models.BPE({"▁": 0, "a": 1}, [], byte_fallback=True))
    metaspace.pre_tokenizer = pre_tokenizers.Metaspace()
    with pytest.raises(ValueError, match=r"a BPE tokenizer .*\['Metaspace'\].* SentencePiece"):
        read_tokenizer(save(metaspace, tmp_path))
    with pytest.raises(ValueError, match="a WordLevel tokenizer"):
        read_tokenizer(save(Tokenizer(models.WordLevel({"a": 0}, unk_token="a")), tmp_path))


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("tokenizer.model", "tokenizer.model is a SentencePiece tokenizer"),
        ("spiece.model", "is a SentencePiece tokenizer"),
        ("merges.txt", "no tokenizer.json"),
    ],
)
def test_files_that_we_do_not_read_are_named(name, says, tmp_path):
    assert read_tokenizer(tmp_path) is None
    (tmp_path / name).write_bytes(b"\x0a\x0e")
    with pytest.raises(ValueError, match=says):
        read_tokenizer(tmp_path)


@pytest.mark.parametrize(
    ("contents", "says"),
    [
        ("{", "is damaged or cut short"),
        ("[]", "holds a list, not an object"),
        ("{}", "is damaged or cut short .*'model'"),
        ('{"model": {"type": "BPE"}, "pre_tokenizer": {"type": "ByteLevel"}}', "'vocab'"),
        ("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "git lfs pull"),
        (
            '{"model": {"type": "BPE", "vocab": {"a": 0, "b": 7}, "merges": []}, '
            '"pre_tokenizer": {"type": "ByteLevel"}}',
            "tokenizer.json: the ids of vocab must be 0 to 1",
        ),
    ],
)
def test_a_damaged_file_is_one_sentence(contents, says, tmp_path):
    (tmp_path / "tokenizer.json").write_text(contents)
    with pytest.raises(ValueError, match=says):
        read_tokenizer(tmp_path)
