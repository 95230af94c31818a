"""Make history.json: the models that lesson 01 puts on its timeline, each with what was published
and, where it can be, counted.

Source    the papers and model cards named in each row; what they say was looked up there, not
          remembered
Run       python recipes/history.py data/tables
Takes     about ten seconds

A month is that of the paper's number at arXiv (1706.03762: June 2017), else that of the
announcement. A shape is the configuration as it was published, in the words of this course's
`Config`; the class is built without memory and its numbers are counted. Where the shape was never
published, or needs parts that the course's classes do not have, nothing is counted; where no size
was published either, there is none.
"""

import datetime
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from fmcourse.data import checksum
from fmcourse.files import write_text
from fmcourse.models.config import Config, bert, gpt2, llama
from fmcourse.models.seq2seq import EncoderDecoder, vaswani2017
from fmcourse.models.transformer import Transformer, count_parameters

MILLION, BILLION = 10**6, 10**9
LARGE = {"width": 1024, "depth": 24, "heads": 16}
GPT = replace(gpt2(vocab_size=40_478, context=512), norm_place="after", mlp="gelu")
PATCHES = Config(
    vocab_size=14 * 14 * 3,
    context=16 * 16 + 1,
    width=1280,
    depth=32,
    heads=16,
    causal=False,
    mlp="gelu",
    head="none",
)
LLAMA_65B = llama(
    vocab_size=32_000,
    context=2048,
    width=8192,
    depth=80,
    heads=64,
    kv_heads=64,
    hidden=22_016,
    rope_base=1e4,
    tied=False,
)
LLAMA_405B = llama(
    vocab_size=128_256,
    context=131_072,
    width=16_384,
    depth=126,
    heads=128,
    kv_heads=8,
    hidden=53_248,
    rope_base=5e5,
    tied=False,
)

# Each row: name; month, or number at arXiv; kind; parameters as published; configuration; source;
# why the counted and the published number differ.
ROWS: list[tuple] = [
    (
        "Transformer base",
        "1706.03762",
        "language",
        65 * MILLION,
        vaswani2017(),
        "Vaswani et al. 2017, table 3; vocabulary: section 5.1",
        "the paper's vocabulary is 'about 37,000'; what else it counts is not said",
    ),
    (
        "Transformer big",
        "1706.03762",
        "language",
        213 * MILLION,
        vaswani2017(width=1024, heads=16),
        "Vaswani et al. 2017, table 3; vocabulary: section 5.1",
        "the vocabulary is 'about 37,000'",
    ),
    (
        "GPT",
        "2018-06",
        "language",
        117 * MILLION,
        GPT,
        "Radford et al. 2018, section 4.1; size: Radford et al. 2019, table 2",
        "rounded",
    ),
    (
        "BERT base",
        "1810.04805",
        "language",
        110 * MILLION,
        bert(),
        "Devlin et al. 2018, section 3",
        "rounded",
    ),
    (
        "BERT large",
        "1810.04805",
        "language",
        340 * MILLION,
        bert(**LARGE),
        "Devlin et al. 2018, section 3",
        "rounded up, generously",
    ),
    (
        "GPT-2",
        "2019-02",
        "language",
        1542 * MILLION,
        gpt2(width=1600, depth=48, heads=25),
        "Radford et al. 2019, table 2",
        "its authors said later that the paper had counted wrongly; their files are named 1558M",
    ),
    (
        "RoBERTa base",
        "1907.11692",
        "language",
        125 * MILLION,
        bert(vocab_size=50_265, context=514, token_types=1),
        "Liu et al. 2019; size and vocabulary: the released models",
        "rounded",
    ),
    (
        "RoBERTa large",
        "1907.11692",
        "language",
        355 * MILLION,
        bert(vocab_size=50_265, context=514, token_types=1, **LARGE),
        "Liu et al. 2019; size and vocabulary: the released models",
        "rounded",
    ),
    (
        "T5-11B",
        "1910.10683",
        "language",
        11 * BILLION,
        None,
        "Raffel et al. 2019",
        "tells positions and cuts heads in a way of its own",
    ),
    (
        "GPT-3",
        "2005.14165",
        "language",
        175 * BILLION,
        gpt2(context=2048, width=12_288, depth=96, heads=96),
        "Brown et al. 2020, table 2.1",
        "rounded: its table D.1 has 174,600 million",
    ),
    (
        "ViT-Huge",
        "2010.11929",
        "vision",
        632 * MILLION,
        PATCHES,
        "Dosovitskiy et al. 2020, table 1",
        "left out here: a constant of the patches, a vector for the whole picture, and the head",
    ),
    (
        "DALL-E",
        "2102.12092",
        "mixed",
        12 * BILLION,
        None,
        "Ramesh et al. 2021, abstract and section 1",
        "writes tokens of pictures",
    ),
    (
        "Latent diffusion",
        "2112.10752",
        "mixed",
        1450 * MILLION,
        None,
        "Rombach et al. 2021, section 4.3.1",
        "is a U-Net",
    ),
    (
        "InstructGPT",
        "2203.02155",
        "language",
        175 * BILLION,
        gpt2(context=2048, width=12_288, depth=96, heads=96),
        "Ouyang et al. 2022: 1.3, 6 and 175 billion, all of GPT-3's architecture",
        "rounded, as GPT-3",
    ),
    (
        "PaLM",
        "2204.02311",
        "language",
        540 * BILLION,
        None,
        "Chowdhery et al. 2022, abstract",
        "has blocks of another kind",
    ),
    (
        "Midjourney",
        "2022-07",
        "mixed",
        None,
        None,
        "the service's open beta; no paper, no size",
        "never published",
    ),
    (
        "ChatGPT",
        "2022-11",
        "language",
        None,
        None,
        "OpenAI 2022: 'a model in the GPT-3.5 series'",
        "never published",
    ),
    (
        "LLaMA-65B",
        "2302.13971",
        "language",
        65_200 * MILLION,
        LLAMA_65B,
        "Touvron et al. 2023, table 2; widths: the released model",
        "rounded",
    ),
    (
        "GPT-4",
        "2303.08774",
        "mixed",
        None,
        None,
        "OpenAI 2023, section 2: no further details, 'including model size'",
        "never published",
    ),
    (
        "Llama 3.1 405B",
        "2407.21783",
        "language",
        405 * BILLION,
        LLAMA_405B,
        "Dubey et al. 2024, table 3; vocabulary: the released model",
        "rounded",
    ),
    (
        "DeepSeek-V3",
        "2412.19437",
        "language",
        671 * BILLION,
        None,
        "DeepSeek-AI 2024, abstract: 37 billion at work for each token",
        "is a mixture of experts",
    ),
    (
        "SmolLM2-135M",
        "2502.02737",
        "language",
        135 * MILLION,
        llama(),
        "Allal et al. 2025",
        "rounded",
    ),
]
EVENTS = [
    ("a name: foundation models", "2108.07258", "Bommasani et al. 2021, Stanford CRFM"),
    (
        "AutoGPT",
        "2023-03",
        "Significant Gravitas 2023: a program that lets GPT-4 prompt itself; no model of its own",
    ),
]
ELSEWHERE = {  # what else the lesson says in numbers
    "ImageNet, labelled pictures": (1_281_167, "Russakovsky et al. 2015, table 2"),
    "occupations that GPT-3 was asked about": (388, "Brown et al. 2020, section 6.2.1"),
    "of them followed by a male word, percent": (83, "Brown et al. 2020, section 6.2.1"),
    "InstructGPT, the smallest, billions": (1.3, "Ouyang et al. 2022, abstract"),
    "n-grams of the largest table, billions": (300, "Brants et al. 2007, abstract"),
    "SmolLM2, tokens read, billions": (2000, "Allal et al. 2025"),
}


def month(given: str) -> str:
    """Year and month, out of themselves or of a number at arXiv.

    >>> month("1706.03762"), month("2018-06")
    ('2017-06', '2018-06')
    """
    return given if "-" in given else f"20{given[:2]}-{given[2:4]}"


def changed_fields(config: Config) -> dict[str, Any]:
    """The fields of a shape that are not `Config`'s own."""
    plain = Config()
    return {name: value for name, value in vars(config).items() if value != getattr(plain, name)}


def count_config_parameters(config: Config) -> int:
    """How many numbers the class of this shape holds, without allocating one."""
    kind = EncoderDecoder if config.mlp == "relu" else Transformer
    with torch.device("meta"):
        return count_parameters(kind(config))


def row(
    name: str, when: str, kind: str, said: int | None, config: Config | None, source: str, why: str
) -> dict:
    found = {
        "name": name,
        "month": month(when),
        "kind": kind,
        "said": said,
        "source": source,
        "why": why,
    }
    return found | (
        {"shape": changed_fields(config), "counted": count_config_parameters(config)}
        if config
        else {}
    )


def main(out: Path) -> None:
    made = {
        "command": "python recipes/history.py data/tables",
        "date": datetime.date.today().isoformat(),
        "models": [row(*given) for given in ROWS],
        "events": [
            {"name": name, "month": month(when), "source": source} for name, when, source in EVENTS
        ],
        "elsewhere": {
            what: {"value": value, "source": source} for what, (value, source) in ELSEWHERE.items()
        },
    }
    write_text(
        out / "history.json",
        json.dumps(made | {"sha256": checksum(made)}, indent=1, ensure_ascii=False) + "\n",
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
