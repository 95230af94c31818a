"""Tokenizers in folders as the library transformers writes them.

A tokenizer.json names every step: normalizer, pre-tokenizer, model, post-processor, and the tokens
that were added later. Each step that our classes do not compute is refused by its name, because
other ids for the same text make a model answer nonsense without an error.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from fmcourse.files import damage, read_json
from fmcourse.pretrained.families import check_config
from fmcourse.pretrained.tokenizer_export import EACH_CHARACTER, AnyTokenizer
from fmcourse.tokenizers import BPETokenizer, CharTokenizer, WordPieceTokenizer
from fmcourse.tokenizers.wordpiece import LONGEST_WORD, SPECIAL_TOKENS

# What BERT puts around one text, and around two: (token or text, token type).
BERT_SINGLE = [("[CLS]", 0), ("A", 0), ("[SEP]", 0)]
BERT_PAIR = [*BERT_SINGLE, ("B", 1), ("[SEP]", 1)]
BERT_TOKENIZERS = (
    "BertTokenizer",
    "BertTokenizerFast",
    "DistilBertTokenizer",
    "DistilBertTokenizerFast",
    "ElectraTokenizer",
    "ElectraTokenizerFast",
    None,
)


def read_tokenizer(folder: str | Path) -> AnyTokenizer | None:
    """The folder's tokenizer; None if it holds none.

    Raises: ValueError naming the file, and the step or setting that our classes do not compute.
    """
    path = Path(folder) / "tokenizer_config.json"
    config = read_json(path) if path.is_file() else {}
    path = path.with_name("tokenizer.json")
    saved = read_json(path) if path.is_file() else None
    if saved is None:
        path = path.with_name("vocab.txt")
    try:
        if saved is not None:
            return read_tokenizer_json(saved, config)
        if path.is_file():
            return read_vocab_txt(path, config)
    except (KeyError, TypeError, AttributeError, IndexError) as error:  # a part is not there
        raise ValueError(damage(path, f"as a tokenizer: {error!r}")) from None
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    refuse_other_files(Path(folder))
    return None


def refuse_other_files(folder: Path) -> None:
    """Raises: ValueError if the folder holds a tokenizer in files that we do not read."""
    if models := sorted(folder.glob("*.model")):
        raise ValueError(
            f"{models[0]} is a SentencePiece tokenizer, which our classes do not compute; they "
            "read byte-level BPE and BERT's WordPiece."
        )
    if (folder / "merges.txt").is_file():
        raise ValueError(
            f"{folder} has merges.txt and no tokenizer.json, which alone says how words are split; "
            "load the tokenizer with transformers and save it again."
        )


def read_tokenizer_json(saved: dict, config: dict) -> AnyTokenizer:
    kind = saved["model"].get("type")
    if kind == "WordPiece":
        return read_wordpiece(saved, config)
    if kind == "WordLevel" and saved.get("pre_tokenizer") == EACH_CHARACTER:
        return read_characters(saved)
    steps = kinds_of(flatten_steps(saved.get("pre_tokenizer"), "pretokenizers"))
    if kind in ("BPE", None) and "ByteLevel" in steps:  # old files do not say BPE
        return read_byte_level(saved, config)
    origin = ", as SentencePiece makes them" if kind in ("BPE", "Unigram") else ""
    raise ValueError(
        f"a {kind} tokenizer with the pre_tokenizer {steps}{origin}; our classes compute "
        "byte-level BPE and BERT's WordPiece."
    )


# -- steps -----------------------------------------------------------------------------------------


def flatten_steps(step: dict | None, inner: str) -> list[dict]:
    """The steps of one stage in their order; a "Sequence" holds its own under the name `inner`."""
    if step is None:
        return []
    if step["type"] != "Sequence":
        return [step]
    return [simple for part in step[inner] for simple in flatten_steps(part, inner)]


def kinds_of(steps: Iterable[dict]) -> list[str]:
    return [step["type"] for step in steps]


def check_steps(stage: str, steps: list[dict], *accepted: list[str]) -> None:
    """Raises: ValueError unless the kinds of these steps are one of the `accepted` lists."""
    if kinds_of(steps) in accepted:
        return
    known = {kind for kinds in accepted for kind in kinds}
    strange = next((step for step in steps if step["type"] not in known), kinds_of(steps) or None)
    raise ValueError(
        f"it has {stage} {strange}; our class computes {accepted[0] or 'none'} and would give "
        "other ids, so it is not loaded."
    )


def template_parts(template: list[dict]) -> list[tuple[str, int]]:
    """What a template puts one after another: (special token, or A and B for texts; token type)."""
    return [(part["id"], part["type_id"]) for entry in template for part in entry.values()]


def check_template(given: list[dict], ours: list[tuple[str, int]]) -> None:
    """Raises: ValueError if a post-processor puts other tokens around a text than our class."""
    if (parts := template_parts(given)) != ours:
        # With token types only where they are all that differs.
        is_type = [name for name, _ in parts] == [name for name, _ in ours]
        names = [
            " ".join(f"{name}:{kind}" if is_type else name for name, kind in template)
            for template in (parts, ours)
        ]
        raise ValueError(
            f"it has a post_processor that makes of a text: {names[0]}; our class makes "
            f"{names[1]}, so it is not loaded."
        )


def with_added_tokens(
    vocab: dict[str, int], saved: dict, config: dict, **accepted: tuple
) -> tuple[dict[str, int], list[str]]:
    """The vocabulary with the tokens that were added later, and the names of the special ones.

    Args:
        accepted: what the settings of an added token may be, as for `check_config`.
    Raises: ValueError for an added token that our class does not find in a text as theirs does.
    """
    older = [{"id": int(i), **token} for i, token in config.get("added_tokens_decoder", {}).items()]
    vocab, special = dict(vocab), {}  # a dict keeps the order
    for token in [*saved.get("added_tokens", []), *older]:
        name = token["content"]
        check_config(
            token,
            f"added token {name!r}",
            lstrip=(False,),  # True: spaces before it are swallowed
            rstrip=(False,),
            single_word=(False,),
            special=(True,),  # False: an ordinary word that is found in every text
            **accepted,
        )
        vocab.setdefault(name, token["id"])  # a token of the vocabulary keeps its id there
        special[name] = None
    return vocab, list(special)


# -- byte-level BPE: GPT-2, SmolLM2 ----------------------------------------------------------------


def read_byte_level(saved: dict, config: dict) -> BPETokenizer:
    model = saved["model"]
    check_steps("normalizer", flatten_steps(saved.get("normalizer"), "normalizers"), [])
    words = flatten_steps(saved["pre_tokenizer"], "pretokenizers")
    check_steps("pre_tokenizer", words, ["ByteLevel"], ["Digits", "ByteLevel"])
    check_config(words[-1], "tokenizer", add_prefix_space=(False,), use_regex=(True,))
    check_config(words[0], "tokenizer", individual_digits=(True,))
    check_config(
        model,
        "tokenizer",
        continuing_subword_prefix=("", None),
        end_of_word_suffix=("", None),
        ignore_merges=(False,),  # True: a word of the vocabulary is one token, whatever the merges
        dropout=(None, 0.0),
    )
    check_config(
        config,  # its class would write these over the other file's
        "tokenizer",
        add_prefix_space=(False, None),
        add_bos_token=(False, None),
        add_eos_token=(False, None),
    )
    after = flatten_steps(saved.get("post_processor"), "processors")
    for step in after:
        if "single" in step:
            check_template(step["single"], [("A", 0)])
        else:
            check_steps("post_processor", [step], ["ByteLevel"])  # it moves offsets alone
    check_steps("decoder", flatten_steps(saved.get("decoder"), "decoders"), ["ByteLevel"], [])
    vocab, special = with_added_tokens(model["vocab"], saved, config)
    # Newer files write a merge as a pair, older ones as one string with a space.
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]]
    split = "digits" if len(words) == 2 else "gpt2"
    return BPETokenizer(vocab, merges, split=split, special_tokens=special)


# -- characters: what `to_hf` writes of a CharTokenizer --------------------------------------------


def read_characters(saved: dict) -> CharTokenizer:
    check_steps("normalizer", flatten_steps(saved.get("normalizer"), "normalizers"), [])
    vocab = saved["model"]["vocab"]
    tokens = sorted(vocab, key=vocab.get)
    if long := [token for token in tokens if len(token) != 1]:
        raise ValueError(f"it has the token {long[0]!r} among characters, which our class has not.")
    return CharTokenizer("".join(tokens))


# -- WordPiece: BERT -------------------------------------------------------------------------------


def read_wordpiece(saved: dict, config: dict) -> WordPieceTokenizer:
    model, normalizer = saved["model"], flatten_steps(saved.get("normalizer"), "normalizers")
    check_steps("normalizer", normalizer, ["BertNormalizer"])
    words = flatten_steps(saved.get("pre_tokenizer"), "pretokenizers")
    check_steps("pre_tokenizer", words, ["BertPreTokenizer"])
    check_config(normalizer[0], "tokenizer", clean_text=(True,), handle_chinese_chars=(True,))
    check_config(
        model,
        "tokenizer",
        unk_token=("[UNK]",),
        continuing_subword_prefix=("##",),
        max_input_chars_per_word=(LONGEST_WORD,),
    )
    after = flatten_steps(saved.get("post_processor"), "processors")
    check_steps("post_processor", after, ["TemplateProcessing"], ["BertProcessing"])
    if "single" in after[0]:
        check_template(after[0]["single"], BERT_SINGLE)
        check_template(after[0]["pair"], BERT_PAIR)
    else:
        ends = [after[0]["cls"][0], after[0]["sep"][0]]
        check_config({"ends": ends}, "tokenizer", ends=(["[CLS]", "[SEP]"],))
    lowercase, strip_accents = normalizer[0]["lowercase"], normalizer[0]["strip_accents"]
    check_agreement(config, lowercase, strip_accents)
    check_bert_config(config)
    vocab = with_bert_tokens(model["vocab"], saved, config)
    return WordPieceTokenizer(vocab, lowercase=lowercase, strip_accents=strip_accents)


def read_vocab_txt(path: Path, config: dict) -> WordPieceTokenizer:
    """BERT's older form: the vocabulary, a token in each line, and a config beside it."""
    check_config(config, "tokenizer", tokenizer_class=BERT_TOKENIZERS)
    check_bert_config(config)
    lowercase = config.get("do_lower_case", True)  # the default of BERT's tokenizer
    strip_accents = config.get("strip_accents")
    tokens = WordPieceTokenizer.from_vocab_file(path).tokens
    added = path.with_name("added_tokens.json")
    older = read_json(added) if added.is_file() else {}
    saved = {"added_tokens": [{"content": name, "id": i} for name, i in older.items()]}
    vocab = with_bert_tokens({token: i for i, token in enumerate(tokens)}, saved, config)
    return WordPieceTokenizer(vocab, lowercase=lowercase, strip_accents=strip_accents)


def check_agreement(config: dict, lowercase: bool, strip_accents: bool | None) -> None:
    """Raises: ValueError if a tokenizer_config.json normalizes otherwise than the tokenizer.json.

    Which of the two is followed depends on the class that transformers reads them with.
    """
    theirs = config.get("do_lower_case", lowercase), config.get("strip_accents", strip_accents)
    meanings = [
        (lower, lower if strip is None else strip)
        for lower, strip in (theirs, (lowercase, strip_accents))
    ]
    if meanings[0] != meanings[1]:
        raise ValueError(
            f"it has lowercase={lowercase}, strip_accents={strip_accents}, but beside it "
            f"tokenizer_config.json has do_lower_case={theirs[0]}, strip_accents={theirs[1]}; "
            "write into both what the model was trained with."
        )


def check_bert_config(config: dict) -> None:
    """Raises: ValueError for a tokenizer_config.json that asks for more than BERT's own steps."""
    names = {
        f"{name}_token": (f"[{name.upper()}]", None)
        for name in ("unk", "cls", "sep", "pad", "mask")
    }
    check_config(
        {name: token_name(value) for name, value in config.items()},
        "tokenizer",
        tokenize_chinese_chars=(True,),
        do_basic_tokenize=(True,),
        never_split=(None, []),
        **names,
    )


def token_name(value: Any) -> Any:
    """A special token's name: older files wrote a token with all its settings."""
    return value["content"] if isinstance(value, dict) and "content" in value else value


def with_bert_tokens(vocab: dict[str, int], saved: dict, config: dict) -> list[str]:
    """The tokens by id, with those added later. Raises: ValueError for one that BERT has not."""
    # Found in the text as it is, before it is normalized.
    vocab, special = with_added_tokens(vocab, saved, config, normalized=(False,))
    for name in special:
        if name not in SPECIAL_TOKENS:
            raise ValueError(
                f"it has an added token {name!r}; our class knows {', '.join(SPECIAL_TOKENS)} "
                "and would split it, so it is not loaded."
            )
    tokens = sorted(vocab, key=vocab.get)
    if [vocab[token] for token in tokens] != list(range(len(tokens))):
        raise ValueError(f"the ids of its tokens must be 0 to {len(tokens) - 1}, each once.")
    return tokens
