"""Make table.json: three seeds of what lesson 16 trains once, and what it does not train.

Source   the Cookbook that ships, and the checkpoint `words_causal`
Run      python recipes/measure.py 16       Takes     about four minutes on one idle core

The runs use the lesson's own functions. For each seed: supervised fine-tuning, 500 pairs of answers judged by simulated people, reward
models (with ever more wrong labels; with people in a hurry), the policy gradient with several KL coefficients and against a reward
without its length bias, DPO with several β, and best-of-n. All are measured on the same held-out questions.
"""

import ast
import copy
import datetime
import os
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import torch
from common import measure_once, write_table
from fmcourse import alignment
from fmcourse.alignment import losses, sample_responses
from fmcourse.data import checkpoint, load
from fmcourse.files import write_atomically
from fmcourse.models.transformer import Transformer, modern
from fmcourse.tokenizers import BPETokenizer
from fmcourse.training import RandomBatches
from torch import Tensor, nn
from torch.nn import functional as F

SEEDS = 3
SFT_STEPS, REWARD_STEPS, ROUNDS, DPO_STEPS, N_PAIRS, N_QUESTIONS = 150, 50, 24, 40, 500, 48  # as in the lesson
WRONG, KL_COEFS, BETAS = [0.0, 0.2], [0.0, 0.1], [0.1]
MARKS = ["<|user|>", "<|assistant|>", "<|end|>"]


# The package's losses in place of the exercises -----------------------------------------------------


def response_loss(logits: Tensor, ids: Tensor, is_response: Tensor) -> Tensor:
    return -losses.masked_mean(losses.token_log_probs(logits[:, :-1], ids[:, 1:]), is_response[:, 1:])


def preference_loss(chosen: Tensor, rejected: Tensor, smoothing: float = 0.0) -> Tensor:
    d = chosen - rejected
    return -((1 - smoothing) * F.logsigmoid(d) + smoothing * F.logsigmoid(-d)).mean()


def dpo_loss(policy: Tensor, reference: Tensor, beta: float) -> Tensor:
    return losses.dpo_loss(*policy.unbind(1), *reference.unbind(1), beta)


def clipped_loss(log_probs: Tensor, old: Tensor, advantages: Tensor, mask: Tensor, clip: float) -> Tensor:
    return losses.masked_mean(losses.clipped_policy_loss(log_probs, old, advantages, clip), mask)


@cache
def lesson_code() -> dict[str, Any]:
    """The functions and classes of lesson.py itself, with what they read: tokenizer, base model, titles."""
    code: dict[str, Any] = {"torch": torch, "nn": nn, "F": F, "re": re, "copy": copy, "alignment": alignment}
    code |= {"sample_responses": sample_responses, "RandomBatches": RandomBatches, "cookbook": load("recipes")}
    code |= {one.__name__: one for one in (response_loss, preference_loss, dpo_loss, clipped_loss)}
    tree = ast.parse(Path(__file__).with_name("lesson.py").read_text(encoding="utf-8"))
    tree.body = [node for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    exec(compile(tree, "lesson.py", "exec"), code)
    letters = code["letters"]
    code["tokenizer"] = BPETokenizer.train(letters(code["cookbook"].train), 1027, special_tokens=MARKS)
    marks = (code["tokenizer"].encode(mark, allow_special=True)[0] for mark in MARKS)
    code["USER"], code["ASSISTANT"], code["END"] = marks
    torch.manual_seed(0)
    base = Transformer(modern(vocab_size=1027, context=160, width=64, depth=3, heads=2))
    for name, tensor in checkpoint("words_causal").tensors.items():
        base.state_dict()[name][: len(tensor)] = tensor
    base.head.weight.data[1024:] = base.head.weight.data[1024]
    recipes, unseen = code["usable"]("train"), code["usable"]("validation")
    code |= {"base": base, "recipes": recipes, "KNOWN": set(letters(code["cookbook"].train).split())}
    code |= {"TITLES": [letters(r.title) for r in recipes[1::2]], "UNSEEN_TITLES": [letters(r.title) for r in unseen]}
    return code


def trained_once(path: Path, make: Callable[[], nn.Module]) -> dict[str, Tensor]:
    """The weights that an earlier run kept in `path`, or those made now and kept there."""
    if not path.exists():
        weights = make().state_dict()
        write_atomically(path, lambda temporary: torch.save(weights, temporary))
    return torch.load(path, weights_only=True)


# One seed -------------------------------------------------------------------------------------------


class Run:
    """What the measurements of one seed share: the policy after SFT, judged pairs, and held-out answers."""

    def __init__(self, seed: int, parts: Path) -> None:
        code = self.code = lesson_code()
        self.seed, self.titles = seed, code["UNSEEN_TITLES"][:N_QUESTIONS]
        self.policy = copy.deepcopy(code["base"])
        self.policy.load_state_dict(trained_once(parts / f"policy-{seed}.pt", self.tuned))
        self.asked = code["ask_for_pairs"](self.policy, N_PAIRS, seed)
        questions = [f" how do i make{title}" for title in self.titles]
        self.prompts, self.answers = code["answer"](self.policy, questions, copies=8)
        self.gold = code["gold_rewards"]([title for title in self.titles for _ in range(8)], self.answers)
        self.lengths = torch.tensor([len(ids) for ids in self.answers])

    def tuned(self) -> nn.Module:
        """The base model after supervised fine-tuning."""
        code, model = self.code, copy.deepcopy(self.policy)
        chats = [chat for r in code["recipes"][::2] for chat in code["make_chats"](r)]
        data = RandomBatches(*code["chat_tensors"](chats), batch=16, seed=self.seed)
        code["train"](model, code["sft_loss"], data, SFT_STEPS, lr=3e-3)
        return model

    def pairs(self, hurried: float, wrong: float) -> tuple[Tensor, Tensor]:
        prompts, answers, gold, lengths = self.asked
        picked = self.code["choose"](gold, lengths, hurried, wrong, self.seed)
        return self.code["sorted_pairs"](prompts, answers, picked)

    def reward_model(self, hurried: float, wrong: float) -> nn.Module:
        return self.code["train_reward_model"](self.policy, self.pairs(hurried, wrong), REWARD_STEPS, self.seed)[0]

    def judge(self, rewards: Tensor) -> dict[str, float]:
        accuracy, longer = self.code["measure_rewards"](rewards, self.gold, self.lengths)
        return {"accuracy": round(accuracy, 4), "longer": round(longer, 4)}

    def evaluate(self, policy: nn.Module, reward: Any) -> dict[str, float]:
        found = self.code["evaluate"](policy, self.policy, reward, self.titles)
        return {key: round(value, 4) for key, value in found.items()}


def one_seed(seed: int, parts: Path) -> dict[str, Any]:
    """Everything of one seed; each part is kept once it is measured."""
    run, code = Run(seed, parts), lesson_code()

    def once(name: str, make: Any) -> Any:
        return measure_once(parts / f"{name}-{seed}.json", make)

    def noisy(wrong: float) -> dict[str, float]:
        return run.judge(code["rewards_of"](run.reward_model(0.0, wrong), run.prompts, run.answers))

    model = code["RewardModel"](copy.deepcopy(run.policy))
    kept = trained_once(parts / f"reward-{seed}.pt", lambda: run.reward_model(0.3, 0.1))
    model.load_state_dict(kept)
    rewards = code["rewards_of"](model, run.prompts, run.answers)
    print(run.judge(rewards), code["best_of_n"](rewards, run.gold), flush=True)
    slope = code["length_slope"](rewards, run.lengths)

    def proxy(prompts: list, answers: list) -> Tensor:
        return code["rewards_of"](model, prompts, answers)

    def without_length(prompts: list, answers: list) -> Tensor:
        return proxy(prompts, answers) - slope * torch.tensor([len(ids) for ids in answers])

    def optimized(reward: Any, kl_coef: float, lr: float = 1e-3) -> dict[str, Any]:
        policy = copy.deepcopy(run.policy)
        seen = code["optimize"](policy, run.policy, reward, kl_coef, ROUNDS, seed, lr=lr)
        return run.evaluate(policy, proxy) | {"rounds": [[round(x, 3) for x in row] for row in seen]}

    def direct(beta: float) -> dict[str, float]:
        return run.evaluate(code["train_dpo"](run.policy, run.pairs(0.3, 0.1), beta, DPO_STEPS, seed)[0], proxy)

    return {
        "hurried": {"as trained": run.judge(rewards), "length removed": run.judge(rewards - slope * run.lengths)},
        "best_of_n": code["best_of_n"](rewards, run.gold),
        "SFT": once("sft", lambda: run.evaluate(run.policy, proxy)),
        "far": once("far", lambda: optimized(proxy, 0.0, lr=3e-3)),
        "policy gradient": {
            str(coef): once(f"gradient-{coef}", lambda coef=coef: optimized(proxy, coef)) for coef in KL_COEFS
        },
        "DPO": {str(beta): once(f"dpo-{beta}", lambda beta=beta: direct(beta)) for beta in BETAS},
        "length removed": once("removed", lambda: optimized(without_length, KL_COEFS[-1])),
        "wrong": {str(wrong): once(f"wrong-{wrong}", lambda wrong=wrong: noisy(wrong)) for wrong in WRONG},
    }


def main(out: Path) -> None:
    parts = out / "parts"
    parts.mkdir(parents=True, exist_ok=True)
    made = [measure_once(parts / f"seed-{seed}.json", lambda seed=seed: one_seed(seed, parts)) for seed in range(SEEDS)]
    found: dict[str, Any] = {
        "command": "python recipes/measure.py 16",
        "date": datetime.date.today().isoformat(),
        "with": f"torch {torch.__version__.partition('+')[0]}, one thread",
        "seeds": made,
    }
    write_table(out / "table.json", found, parts)
