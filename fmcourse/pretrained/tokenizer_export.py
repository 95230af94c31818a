"""Our tokenizers as the files that other libraries read: the same ids there, and the same end.

    tokenizer.json           every step from text to ids, for the library tokenizers
    tokenizer_config.json    special tokens by their role, and the chat template, for transformers

`fmcourse.pretrained.tokenizer_files` reads them back.

Two differences cannot be written down. There, a special token that stands in a text is always read
as one (ours asks for `allow_special=True`; in transformers, `split_special_tokens=True` turns it
off); a byte that a published vocabulary lacks is left out, where ours raises an error.
"""

import json
from collections.abc import Sequence

from fmcourse.generation.chat_template import CHAT_TEMPLATE, STOP
from fmcourse.models.config import Config
from fmcourse.tokenizers import BPETokenizer, CharTokenizer, WordPieceTokenizer
from fmcourse.tokenizers.wordpiece import LONGEST_WORD

AnyTokenizer = BPETokenizer | CharTokenizer | WordPieceTokenizer

START_OF_MESSAGE, END_OF_DOCUMENT = "<|im_start|>", "<|endoftext|>"
BYTE_LEVEL = {
    "type": "ByteLevel",
    "add_prefix_space": False,
    "trim_offsets": True,
    "use_regex": True,
}
PRE_TOKENIZERS = {  # by `BPETokenizer.split`
    "gpt2": BYTE_LEVEL,
    "digits": {
        "type": "Sequence",
        "pretokenizers": [{"type": "Digits", "individual_digits": True}, BYTE_LEVEL],
    },
}
EACH_CHARACTER = {
    "type": "Split",
    "pattern": {"Regex": r"[\s\S]"},  # a dot would leave out line breaks
    "behavior": "Isolated",
    "invert": False,
}


# -- tokenizer.json --------------------------------------------------------------------------------


def tokenizer_json(tokenizer: AnyTokenizer) -> dict:
    """The content of a tokenizer.json with which the library `tokenizers` gives the same ids.

    Raises: TypeError for an object that is none of our three tokenizers.
    """
    for kind, steps_of in STEPS.items():
        if isinstance(tokenizer, kind):
            steps = steps_of(tokenizer)
            break
    else:
        raise TypeError(
            f"a {type(tokenizer).__name__} has no form that other libraries read; pass a "
            f"{', '.join(kind.__name__ for kind in STEPS)} or None."
        )
    special = sorted(special_tokens(tokenizer).items(), key=lambda pair: pair[1])
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    added = [{"id": i, "content": name, **flags, "special": True} for name, i in special]
    none = dict.fromkeys(("truncation", "padding", "normalizer", "post_processor"))
    return {"version": "1.0", **none, "added_tokens": added, **steps}


def byte_level_steps(tokenizer: BPETokenizer) -> dict:
    return {
        "pre_tokenizer": PRE_TOKENIZERS[tokenizer.split],
        "decoder": BYTE_LEVEL,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": tokenizer.vocab,
            "merges": tokenizer.merges,  # as texts, "Ġ t": older versions read no pairs
        },
    }


def character_steps(tokenizer: CharTokenizer) -> dict:
    return {
        "pre_tokenizer": EACH_CHARACTER,
        "decoder": {"type": "Fuse"},  # without one, spaces would stand between the characters
        "model": {
            "type": "WordLevel",
            "vocab": {character: i for i, character in enumerate(tokenizer.tokens)},
            "unk_token": "[UNK]",  # in no vocabulary: an unknown character is an error there too
        },
    }


def wordpiece_steps(tokenizer: WordPieceTokenizer) -> dict:
    def part(kind: str, name: str, token_type: int) -> dict:
        return {kind: {"id": name, "type_id": token_type}}

    first = [part("SpecialToken", "[CLS]", 0), part("Sequence", "A", 0)]
    first.append(part("SpecialToken", "[SEP]", 0))
    second = [part("Sequence", "B", 1), part("SpecialToken", "[SEP]", 1)]
    ends = {
        name: {"id": name, "ids": [tokenizer.special_tokens[name]], "tokens": [name]}
        for name in ("[CLS]", "[SEP]")
    }
    return {
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": True,
            "handle_chinese_chars": True,
            "strip_accents": tokenizer.strip_accents,
            "lowercase": tokenizer.lowercase,
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": first,
            "pair": first + second,
            "special_tokens": ends,
        },
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": False},
        "model": {
            "type": "WordPiece",
            "unk_token": "[UNK]",
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": LONGEST_WORD,
            "vocab": {token: i for i, token in enumerate(tokenizer.tokens)},
        },
    }


STEPS = {
    BPETokenizer: byte_level_steps,
    CharTokenizer: character_steps,
    WordPieceTokenizer: wordpiece_steps,
}


def special_tokens(tokenizer: AnyTokenizer) -> dict[str, int]:
    """Name -> id; a tokenizer of characters has none."""
    return getattr(tokenizer, "special_tokens", {})


# -- beginning and end of a text -------------------------------------------------------------------


def end_tokens(tokenizer: AnyTokenizer, stop: Sequence[str] | None) -> dict[str, int]:
    """The tokens with which a text ends, by name.

    Args:
        stop: their texts; unless given, those of `generation.STOP` that the tokenizer has.
    Raises: ValueError for a text that is no single token.
    """
    special = special_tokens(tokenizer)
    if stop is None:
        return {name: special[name] for name in STOP if name in special}
    if isinstance(stop, str):
        raise ValueError(f"stop={stop!r} is one text; pass a list of them.")
    found = {}
    for text in stop:
        ids = [special[text]] if text in special else tokenizer.encode(text)
        if len(ids) != 1:
            raise ValueError(
                f"stop={text!r} is {len(ids)} tokens, and other libraries end a text with one; "
                f"give special tokens ({', '.join(special) or 'this tokenizer has none'}) or "
                "others that are a single token."
            )
        found[text] = ids[0]
    return found


def boundary_ids(tokenizer: AnyTokenizer | None, stop: Sequence[str] | None) -> dict:
    """bos, eos and pad as generation_config.json has them: ids, None where there is none.

    With None as the tokenizer nothing is known, and so no token ends a text: the defaults of other
    libraries would be some token of the vocabulary.
    """
    special = {} if tokenizer is None else special_tokens(tokenizer)
    ends = [] if tokenizer is None else list(end_tokens(tokenizer, stop).values())
    return {
        # GPT-2 has one token between documents, so it begins a text as well.
        "bos_token_id": special.get(START_OF_MESSAGE, special.get(END_OF_DOCUMENT)),
        "eos_token_id": ends if len(ends) > 1 else next(iter(ends), None),
        "pad_token_id": special.get("[PAD]", next(iter(ends), None)),  # pads are masked
    }


# -- the files -------------------------------------------------------------------------------------


def tokenizer_config(
    tokenizer: AnyTokenizer, config: Config, stop: Sequence[str] | None = None
) -> dict:
    """The content of tokenizer_config.json: what transformers adds to tokenizer.json."""
    special = special_tokens(tokenizer)
    # Special tokens alone: transformers would leave others, such as a line break, out of a text.
    ends = [name for name in end_tokens(tokenizer, stop) if name in special]
    bos = next((name for name in (START_OF_MESSAGE, END_OF_DOCUMENT) if name in special), None)
    roles = {"bos_token": bos, "eos_token": ends[0] if ends else None}
    roles["pad_token"] = roles["eos_token"]
    if isinstance(tokenizer, WordPieceTokenizer):
        roles = {f"{name[1:-1].lower()}_token": name for name in special}  # [CLS]: cls_token
    inputs = ["input_ids", "attention_mask"]
    if config.token_types > 0:
        inputs.append("token_type_ids")
    written = {
        "tokenizer_class": "PreTrainedTokenizerFast",  # exactly what tokenizer.json says
        "model_max_length": config.context,
        "model_input_names": inputs,
        "clean_up_tokenization_spaces": False,  # our `decode` leaves a space before a comma
        **{role: name for role, name in roles.items() if name is not None},
    }
    if {START_OF_MESSAGE, STOP[0]} <= set(special):
        written["chat_template"] = CHAT_TEMPLATE
    return written


def tokenizer_files(
    tokenizer: AnyTokenizer, config: Config, stop: Sequence[str] | None = None
) -> dict[str, str]:
    """Name -> content of the files that stand for the tokenizer beside a model's.

    Args:
        config: of the model, whose context and inputs transformers wants to know.
        stop: as for `end_tokens`.
    Raises: ValueError if the tokenizer has more tokens than the model.
    """
    contents = {"tokenizer.json": tokenizer_json(tokenizer)}
    if tokenizer.vocab_size > config.vocab_size:
        raise ValueError(
            f"the tokenizer has {tokenizer.vocab_size} tokens and the model {config.vocab_size}; "
            "pass the tokenizer that the model was trained with."
        )
    contents["tokenizer_config.json"] = tokenizer_config(tokenizer, config, stop)
    return {
        name: json.dumps(content, indent=1, ensure_ascii=False) + "\n"
        for name, content in contents.items()
    }
