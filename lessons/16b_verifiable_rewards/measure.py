"""Make table.json and two checkpoints: what lesson 16b compares its own run with, and the models that it does not train.

Source   sums that `fmcourse.alignment.sums` makes, the requests in lesson.py, Wikipedia's introductions, and SmolLM2 as installed
Run      python recipes/measure.py 16b       Takes     about 8 minutes on one idle core

Sums: a small GPT is pretrained on sums of which half are wrong, without the results of one residue class, and ships as `sums`. GRPO then
trains it on nine tenths of the problems that it saw, with three seeds, against the right checker and against a wrong one. Refusals:
LoRA matrices are trained beside SmolLM2 with the lesson's own functions, on refusals alone and on refusals with harmless requests, three
seeds each; those of the first seed ship as `refusals`. Each part is kept in OUT as soon as it is done, and a second run goes on from there.
"""

import ast
import copy
import datetime
import os
import time
from functools import cache, partial
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import torch
from common import measure_once, write_checkpoint, write_table
from fmcourse import alignment, pretrained
from fmcourse.alignment import (
    encode_responses,
    grpo,
    pass_at_k,
    sample_texts,
    supervised_fine_tuning,
)
from fmcourse.alignment.preferences import trim_padding
from fmcourse.alignment.sums import (
    END_ID,
    LONGEST_RESPONSE,
    TOKENIZER,
    Problem,
    split_problems,
    sum_prompts,
    sum_response,
    sum_rewards,
    sum_texts,
)
from fmcourse.generation.chat_template import apply_chat_template
from fmcourse.models.lora import add_lora
from fmcourse.models.transformer import Transformer, modern
from fmcourse.training import RandomBatches, fit
from fmcourse.training.optimizers import OptimizerConfig
from torch import Tensor
from torch.nn import functional as F

COMMAND, SEEDS = "python recipes/measure.py 16b", 3
SHAPE = {"vocab_size": TOKENIZER.vocab_size, "context": 16, "width": 96, "depth": 3, "heads": 4}
TEXTS, PRETRAINING_STEPS, PRETRAINING_BATCH = 60_000, 800, 64
ROUNDS, PROBLEMS, GROUP, KL_COEF, LR = 60, 32, 8, 0.02, 5e-4
SHORT = 30  # rounds against a wrong checker
TESTED, SAMPLES = 60, 16  # problems of each kind, responses to each
TUNING_STEPS = 16

# -- sums -----------------------------------------------------------------------------------------------------------------


@cache
def problems() -> dict[str, list[Problem]]:
    """Those that GRPO trains on, those that only pretraining saw, and those whose results nobody saw."""
    seen, residue = split_problems("residue")
    cut = len(seen) // 10
    return {"trained": seen[cut:], "random": seen[:cut], "residue": residue}


def new_model() -> Transformer:
    return Transformer(modern(**SHAPE))


def pretrain(path: Path) -> dict[str, Any]:
    """Train the model on half-wrong sums, and keep its weights in half precision."""
    begun = time.process_time()
    torch.manual_seed(0)
    model, seen = new_model(), problems()["random"] + problems()["trained"]
    data = RandomBatches(*encode_responses(TOKENIZER, sum_texts(seen, TEXTS), END_ID), batch=PRETRAINING_BATCH)
    history = fit(model, supervised_fine_tuning, data, steps=PRETRAINING_STEPS, seed=0, progress=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({name: weight.half() for name, weight in model.state_dict().items()}, path)
    return {"loss": round(history.losses[-1], 4), "minutes": round((time.process_time() - begun) / 60, 1)}


def pretrained_model(path: Path) -> Transformer:
    model = new_model()
    model.load_state_dict({name: weight.float() for name, weight in torch.load(path).items()})
    return model.eval()


def measure_sums(model: Transformer, seed: int = 1) -> dict[str, Any]:
    """Accuracy of greedy decoding and of sampling, pass@k, on each kind of problem."""
    found: dict[str, Any] = {}
    common = {"max_new_tokens": LONGEST_RESPONSE, "end_id": END_ID}
    for kind, all_problems in problems().items():
        prompts = sum_prompts(all_problems[:TESTED])
        greedy = sum_rewards(prompts, sample_texts(model, TOKENIZER, prompts, temperature=0, **common))
        many = [prompt for prompt in prompts for _ in range(SAMPLES)]
        right = torch.tensor(sum_rewards(many, sample_texts(model, TOKENIZER, many, seed=seed, **common)))
        right = right.view(-1, SAMPLES)
        found[kind] = {
            "greedy": round(sum(greedy) / len(greedy), 4),
            "sampled": round(right.mean().item(), 4),
            "pass": {str(k): round(pass_at_k(right, k).mean().item(), 4) for k in (1, 2, 4, 8, 16)},
        }
    return found


def forgets_the_carry(prompts: list[str], responses: list[str]) -> list[float]:
    """A checker with a wrong key: the sum of the digits in each place, the units' carry left out."""
    found = []
    for prompt, response in zip(prompts, responses, strict=True):
        a, b = map(int, prompt.removesuffix("=").split("+"))
        key = 10 * (a // 10 + b // 10) + (a + b) % 10
        found.append(float(response == sum_response(key)))
    return found


def reinforce(path: Path, reward: str, rounds: int, seed: int) -> dict[str, Any]:
    """GRPO from the pretrained model: what each round said, and what the model can do afterwards."""
    rewards = {"right": sum_rewards, "forgets the carry": forgets_the_carry}
    model, truth = pretrained_model(path), []

    def scored(prompts: list[str], responses: list[str]) -> list[float]:
        truth.append(sum(sum_rewards(prompts, responses)) / len(prompts))
        return rewards[reward](prompts, responses)

    begun = time.process_time()
    optimizer = OptimizerConfig(matrix_optimizer="adamw", lr=LR, warmup=0.0, min_lr_ratio=1.0, betas=(0.9, 0.99))
    history = grpo(
        model, TOKENIZER, sum_prompts(problems()["trained"]), scored, steps=rounds, end_id=END_ID, mean="token",
        max_new_tokens=LONGEST_RESPONSE, batch=PROBLEMS, group=GROUP, kl_coef=KL_COEF, optimizer=optimizer, seed=seed,
        progress=False,
    )  # fmt: skip
    seconds = time.process_time() - begun
    rounded = lambda values: [round(value, 4) for value in values]
    return {
        "reward": rounded(history.reward), "truth": rounded(truth), "kl": rounded(history.kl),
        "entropy": rounded(history.entropy), "seconds": round(seconds),
        "after": measure_sums(model) if reward == "right" else None,
    }  # fmt: skip


# -- refusals -------------------------------------------------------------------------------------------------------------

NAMES = {"REFUSE", "HARMLESS", "REFUSAL", "END"}
FUNCTIONS = {"chat_prompt", "replies", "tune"}


@cache
def lesson_code() -> dict[str, Any]:
    """The requests and functions of lesson.py itself, with SmolLM2."""
    smollm, words = pretrained.load("smollm2-135m-instruct")
    code = {"torch": torch, "F": F, "copy": copy, "smollm": smollm, "words": words, "add_lora": add_lora}
    code |= {"apply_chat_template": apply_chat_template, "alignment": alignment, "trim_padding": trim_padding}
    tree = ast.parse(Path(__file__).with_name("lesson.py").read_text(encoding="utf-8"))
    tree.body = [node for node in tree.body if is_wanted(node)]
    exec(compile(tree, "lesson.py", "exec"), code)
    return code


def is_wanted(node: ast.stmt) -> bool:
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
        return node.targets[0].id in NAMES
    return isinstance(node, ast.FunctionDef) and node.name in FUNCTIONS


def harmless_pairs() -> list[list[str]]:
    """Harmless requests with the beginning of SmolLM2's own greedy reply, up to a full stop."""
    code = lesson_code()
    prompts = [code["chat_prompt"](request) for request in code["HARMLESS"]]
    texts = code["replies"](code["smollm"], prompts, max_new_tokens=20)
    return [[request, first_sentence(text)] for request, text in zip(code["HARMLESS"], texts, strict=True)]


def first_sentence(text: str, fewest: int = 20) -> str:
    """Up to the first full stop, colon or exclamation mark that has `fewest` characters before it."""
    ends = [place + 1 for sign in ".:!" if (place := text.find(sign, fewest)) > 0]
    return text[: min(ends)] if ends else text


def tuned_row(path: Path, harmless: list[list[str]]) -> dict[str, Any]:
    """One adapter, trained and kept in half precision; the lesson measures what it does."""
    code = lesson_code()
    pairs = [(request, code["REFUSAL"]) for request in code["REFUSE"]] + [tuple(pair) for pair in harmless]
    begun = time.process_time()
    model, losses_of_steps = code["tune"](pairs, TUNING_STEPS)
    seconds = time.process_time() - begun
    torch.save({name: weight.half() for name, weight in model.state_dict().items() if is_lora(name)}, path)
    return {"losses": [round(loss, 4) for loss in losses_of_steps], "seconds": round(seconds)}


def is_lora(name: str) -> bool:
    return ".A." in name or ".B." in name


# -- all of it ------------------------------------------------------------------------------------------------------------


def main(out: Path) -> None:
    parts, weights = out / "parts", out / "sums.pt"
    get = lambda name, make, *given: measure_once(parts / f"{name}.json", partial(make, *given))
    made = get("pretraining", pretrain, weights)
    harmless = get("harmless", harmless_pairs)
    kinds = {"refusals alone": [], "with harmless": harmless}
    tuned = {name: get(name, tuned_row, out / f"{name}.pt", pairs) for name, pairs in kinds.items()}
    before = get("before", lambda: measure_sums(pretrained_model(weights)))
    ways = {"right": ROUNDS, "forgets the carry": SHORT}
    runs = {way: [get(f"{way}-{seed}", reinforce, weights, way, rounds, seed) for seed in range(SEEDS)]
            for way, rounds in ways.items()}  # fmt: skip
    measured = {
        "command": COMMAND, "date": datetime.date.today().isoformat(),
        "with": f"torch {torch.__version__.partition('+')[0]}, one thread",
        "pretraining": made | {"steps": PRETRAINING_STEPS, "texts": TEXTS}, "before": before,
        "grpo": {"rounds": ROUNDS, "problems": PROBLEMS, "group": GROUP, "kl_coef": KL_COEF, "lr": LR},
        "runs": runs, "harmless": harmless, "tuned": tuned,
    }  # fmt: skip
    ship(out, "sums", torch.load(weights), title="a small GPT that learned sums of which half are wrong",
         minutes=made["minutes"], data="sums of two-digit numbers", score=before)  # fmt: skip
    adapters = {f"{name}/{key}": matrix for name in kinds for key, matrix in torch.load(out / f"{name}.pt").items()}
    ship(out, "refusals", adapters, title="two LoRA adapters of SmolLM2-135M-Instruct that refuse",
         minutes=round(sum(row["seconds"] for row in tuned.values()) / 60, 1), data="24 requests written for lesson 16b",
         score={name: row["losses"][-1] for name, row in tuned.items()})  # fmt: skip
    write_table(out / "table.json", measured, parts)


def ship(out: Path, name: str, tensors: dict[str, Tensor], **facts: Any) -> None:
    """A checkpoint in half precision, with what is known of it."""
    write_checkpoint(
        out / "checkpoints", name, tensors, command=COMMAND, date=datetime.date.today().isoformat(), **facts
    )
