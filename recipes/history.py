"""Make history.json: the models that lesson 01 puts on its timeline, each with what was published
and, where it can be, counted.

Source    the papers and model cards named in each row; what they say was looked up there, not
          remembered
Run       python recipes/history.py data/tables
Takes     about ten seconds

A month is that of the paper's number at arXiv (1706.03762: June 2017), else that of the
announcement. A shape is the configuration as it was published, in the words of this course's
`Config`; the class is built without memory and its parameters are counted. Where the shape was
never published, or needs parts that the course's classes do not have, nothing is counted; where no
size was published either, there is none. A mixture of experts is "sparse"; "active" is how many of
its parameters work for one token, where that was published. "labels" says of a vision model whether
people labelled its images. "tokens" is the length of the training text.
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

IGPT_L = gpt2(vocab_size=512, width=1536, depth=48, heads=16)  # 512 colours, 32 x 32 pixels
SPARSE = {"sparse": True, "active": None}
# Each row: name; month, or number at arXiv; kind; parameters as published; configuration; source;
# why the counted and the published number differ; what else is known.
ROWS: list[tuple] = [
    (
        "AlexNet",
        "2012-12",
        "vision",
        60 * MILLION,
        None,
        "Krizhevsky et al. 2012, abstract",
        "is a convolutional network",
        {"labels": True},
    ),
    (
        "LSTM-8192-1024",
        "1602.02410",
        "language",
        1800 * MILLION,
        None,
        "Jozefowicz et al. 2016, table 1",
        "is a recurrent network",
    ),
    (
        "MoE LSTM",
        "1701.06538",
        "language",
        137 * BILLION,
        None,
        "Shazeer et al. 2017, abstract",
        "a mixture of experts between LSTM layers",
        SPARSE,
    ),
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
        "ELMo",
        "1802.05365",
        "language",
        93_600_000,
        None,
        "Peters et al. 2018; size: the released model",
        "is a recurrent network",
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
        "has relative positions and wider heads",
    ),
    (
        "GPT-3",
        "2005.14165",
        "language",
        175 * BILLION,
        gpt2(context=2048, width=12_288, depth=96, heads=96),
        "Brown et al. 2020, table 2.1",
        "rounded: its table D.1 has 174,600 million",
        {"tokens": 300 * BILLION},
    ),
    (
        "iGPT-L",
        "2020-06",
        "vision",
        1362 * MILLION,
        IGPT_L,
        "Chen et al. 2020, section 3.2",
        "the beginning and the end of the model differ a little",
        {"labels": False},
    ),
    (
        "ViT-Huge",
        "2010.11929",
        "vision",
        632 * MILLION,
        PATCHES,
        "Dosovitskiy et al. 2020, table 1",
        "not counted: the bias of the patches, the class token and the head",
        {"labels": True},
    ),
    (
        "Switch-C",
        "2101.03961",
        "language",
        1571 * BILLION,
        None,
        "Fedus et al. 2021, table 9",
        "is a mixture of experts",
        SPARSE,
    ),
    (
        "DALL-E",
        "2102.12092",
        "mixed",
        12 * BILLION,
        None,
        "Ramesh et al. 2021, abstract and section 1",
        "predicts tokens of images",
    ),
    (
        "CLIP ViT-L/14",
        "2103.00020",
        "mixed",
        428 * MILLION,
        None,
        "Radford et al. 2021; size: the released model",
        "two Transformers, one for images and one for text",
    ),
    (
        "MAE ViT-Huge",
        "2111.06377",
        "vision",
        632 * MILLION,
        PATCHES,
        "He et al. 2021; size: that of ViT-Huge",
        "the encoder alone, which is what is used after pretraining",
        {"labels": False},
    ),
    (
        "GLaM",
        "2112.06905",
        "language",
        1200 * BILLION,
        None,
        "Du et al. 2021",
        "is a mixture of experts",
        {"sparse": True, "active": 96_600 * MILLION},
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
        "Chinchilla",
        "2203.15556",
        "language",
        70 * BILLION,
        None,
        "Hoffmann et al. 2022, abstract",
        "has relative positions",
        {"tokens": 1400 * BILLION},
    ),
    (
        "PaLM",
        "2204.02311",
        "language",
        540 * BILLION,
        None,
        "Chowdhery et al. 2022, abstract",
        "has blocks in which attention and MLP run side by side",
        {"tokens": 780 * BILLION},
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
        {"tokens": 1400 * BILLION},
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
        "DINOv2 ViT-g",
        "2304.07193",
        "vision",
        1100 * MILLION,
        None,
        "Oquab et al. 2023",
        "has an MLP of another shape",
        {"labels": False},
    ),
    (
        "Llama 3.1 405B",
        "2407.21783",
        "language",
        405 * BILLION,
        LLAMA_405B,
        "Dubey et al. 2024, table 3; vocabulary: the released model",
        "rounded",
        {"tokens": 15_600 * BILLION},
    ),
    (
        "DeepSeek-V3",
        "2412.19437",
        "language",
        671 * BILLION,
        None,
        "DeepSeek-AI 2024, abstract: 37 billion at work for each token",
        "is a mixture of experts",
        {"sparse": True, "active": 37 * BILLION, "tokens": 14_800 * BILLION},
    ),
    (
        "SmolLM2-135M",
        "2502.02737",
        "language",
        135 * MILLION,
        llama(),
        "Allal et al. 2025",
        "rounded",
        {"tokens": 2000 * BILLION},
    ),
    (
        "Kimi K2",
        "2507.20534",
        "language",
        1000 * BILLION,
        None,
        "Kimi Team 2025, abstract",
        "is a mixture of experts",
        {"sparse": True, "active": 32 * BILLION, "tokens": 15_500 * BILLION},
    ),
]
EVENTS = [
    ("the name: foundation models", "2108.07258", "Bommasani et al. 2021, Stanford CRFM"),
    (
        "AutoGPT",
        "2023-03",
        "Significant Gravitas 2023: a program that lets GPT-4 prompt itself; no model of its own",
    ),
]
ELSEWHERE = {  # what else the lesson says in numbers
    "ILSVRC-2012, labelled training images": (1_281_167, "Russakovsky et al. 2015, table 2"),
    "ImageNet, all labelled images": (14_197_122, "image-net.org"),
    "GPT-3, FLOPs of its training": (3.14e23, "Brown et al. 2020, table D.1"),
    "occupations that GPT-3 was asked about": (388, "Brown et al. 2020, section 6.2.1"),
    "of them followed by a male word, percent": (83, "Brown et al. 2020, section 6.2.1"),
    "InstructGPT, the smallest, billions": (1.3, "Ouyang et al. 2022, abstract"),
    "n-grams of a model for translation, billions": (300, "Brants et al. 2007, abstract"),
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
    """How many parameters the class of this shape has, without allocating one."""
    kind = EncoderDecoder if config.mlp == "relu" else Transformer
    with torch.device("meta"):
        return count_parameters(kind(config))


def row(
    name: str,
    when: str,
    kind: str,
    said: int | None,
    config: Config | None,
    source: str,
    why: str,
    more: dict | None = None,
) -> dict:
    found = {
        "name": name,
        "month": month(when),
        "kind": kind,
        "said": said,
        "source": source,
        "why": why,
    }
    return (found | (more or {})) | (
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
