"""Make table.json: the runs that lesson 08 fits its scaling law to, and what it compares its own runs with.

Source   the Shakespeare plays that ship
Run      python recipes/measure.py 08       Takes     about 20 minutes on one idle core

The runs use the lesson's own functions: each budget of FLOP is spent on several sizes, and a model more than four times larger than
any of them is trained too; the lesson predicts its loss. One size reads as many tokens from ever shorter texts. Three seeds of all
that. Before it, learning rates are compared with one seed: for a plain GPT trained by AdamW, at 128 steps and three widths, with one
rate for all matrices (standard) and with muP.
"""

import ast
import datetime
import os
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import torch
from common import measure_once, write_table
from fmcourse.data import load
from fmcourse.models.transformer import Transformer, count_parameters, modern
from fmcourse.objectives import next_token
from fmcourse.tokenizers import CharTokenizer
from fmcourse.training import RandomCrops, fit
from fmcourse.training.optimizers import OptimizerConfig
from torch import Tensor, nn
from torch.nn import functional as F

CONTEXT, BATCH, OPTIMIZER = 64, 8, OptimizerConfig(ns_steps=3)
TEST, VALIDATION = 50_000, 30_000  # characters
SEEDS, TARGET, TARGET_STEPS = 3, 144, 128
# A budget of FLOP, 6 N D, and the widths that spend it: at least 128 steps, at most the text once.
BUDGETS = {2.4e10: [8, 12, 16, 24, 32, 48], 7.2e10: [12, 16, 24, 32, 48, 64]}
WALL_WIDTH, WALL_STEPS, EPOCHS = 32, 512, [1, 4, 16, 64]
NAMES = {"new_model", "train", "token_probabilities"}  # of the lesson
SWEEP_WIDTHS, SWEEP_STEPS, SWEEP_BATCH = [16, 48, 136], 128, 16
LEARNING_RATES, BASE_WIDTH = [0.002, 0.004, 0.008, 0.016, 0.032], 32


@cache
def lesson_code() -> dict[str, Any]:
    """The functions of lesson.py itself, with the plays that they are tried on."""
    plays = load("shakespeare")
    tokenizer = CharTokenizer.train(plays.train)
    train, validation, test = (
        torch.tensor(tokenizer.encode(text))
        for text in (plays.train, plays.validation[-VALIDATION:], plays.validation[:TEST])
    )
    code = {"torch": torch, "Transformer": Transformer, "modern": modern, "RandomCrops": RandomCrops}
    code |= {"fit": fit, "next_token": next_token, "OPTIMIZER": OPTIMIZER, "V": tokenizer.vocab_size}
    code |= {"CONTEXT": CONTEXT, "BATCH": BATCH, "ids": train, "validation_ids": validation, "test_ids": test}
    tree = ast.parse(Path(__file__).with_name("lesson.py").read_text(encoding="utf-8"))
    tree.body = [node for node in tree.body if getattr(node, "name", "") in NAMES]
    exec(compile(tree, "lesson.py", "exec"), code)
    return code


def loss_of(model: nn.Module, text: str) -> float:
    """Nats per token of the validation or of the test text."""
    code = lesson_code()
    p, _ = code["token_probabilities"](model, code[f"{text}_ids"])
    return round(-p.log().mean().item(), 4)


def size_of(width: int) -> int:
    """N: all parameters but the token embedding."""
    model = lesson_code()["new_model"](width)
    return count_parameters(model) - model.embed.tokens.weight.numel()


def run(width: int, steps: int, seed: int, unique: int | None = None) -> dict[str, Any]:
    """One training run of the lesson's, on `unique` characters or on the whole text."""
    code = lesson_code()
    model = code["train"](width, steps, seed=seed, text=code["ids"][:unique])
    found = {"width": width, "parameters": size_of(width), "tokens": steps * BATCH * CONTEXT, "seed": seed}
    return found | {"loss": loss_of(model, "test")}


def steps_of(budget: float, width: int) -> int:
    """Steps of 512 tokens that spend a budget of 6 N D."""
    return round(budget / (6 * size_of(width) * BATCH * CONTEXT))


# The plain GPT of lesson 06, with muP's two factors -------------------------------------------------


class Block(nn.Module):
    """Pre-norm Transformer block without biases in its four matrices."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.heads = max(1, width // 16)
        self.norm_1, self.norm_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv_proj, self.out_proj = nn.Linear(width, 3 * width, False), nn.Linear(width, width, False)
        up, down = nn.Linear(width, 4 * width, False), nn.Linear(4 * width, width, False)
        self.mlp = nn.Sequential(up, nn.GELU("tanh"), down)
        for first, last in ((self.qkv_proj, self.out_proj), (up, down)):
            nn.init.normal_(first.weight, std=width**-0.5)
            nn.init.zeros_(last.weight)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv_proj(self.norm_1(x)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out_proj(y.transpose(1, 2).flatten(2))
        return x + self.mlp(self.norm_2(x))


class PlainGPT(nn.Module):
    """Two blocks with learned positions; `head_scale` multiplies the logits."""

    def __init__(self, vocab_size: int, width: int, head_scale: float) -> None:
        super().__init__()
        self.head_scale = head_scale
        self.token_embedding, self.position_embedding = nn.Embedding(vocab_size, width), nn.Embedding(CONTEXT, width)
        self.blocks = nn.Sequential(*[Block(width) for _ in range(2)])
        self.norm, self.lm_head = nn.LayerNorm(width), nn.Linear(width, vocab_size, bias=False)
        for embedding in (self.token_embedding, self.position_embedding):
            nn.init.normal_(embedding.weight, std=0.3)
        nn.init.zeros_(self.lm_head.weight)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.token_embedding(ids) + self.position_embedding(torch.arange(ids.shape[1]))
        return self.head_scale * self.lm_head(self.norm(self.blocks(x)))


def train_plain(width: int, lr: float, mup: bool) -> PlainGPT:
    """AdamW with warm-up, linear decay and clipping; with muP, hidden rates and logits scale with 1 / width."""
    code, steps = lesson_code(), SWEEP_STEPS
    torch.manual_seed(0)
    ratio = BASE_WIDTH / width if mup else 1.0
    model = PlainGPT(code["V"], width, ratio)
    hidden = [layer.weight for layer in model.blocks.modules() if isinstance(layer, nn.Linear)]
    rest = [weights for weights in model.parameters() if all(weights is not one for one in hidden)]
    groups = [{"params": rest, "lr": lr}, {"params": hidden, "lr": lr * ratio}]
    optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.98), weight_decay=0.0, fused=True)
    rise = 0.1 * steps
    scheduler = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / rise, (steps - step) / (steps - rise + 1))
    )
    crops = RandomCrops(code["ids"], length=CONTEXT + 1, batch=SWEEP_BATCH, seed=0)
    for step in range(steps):
        batch = crops[step]
        loss = F.cross_entropy(model(batch[:, :-1]).flatten(0, 1), batch[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        scheduler.step()
    return model


def tuning_run(width: int, lr: float, mup: bool) -> dict[str, Any]:
    return {"width": width, "lr": lr, "mup": mup, "validation": loss_of(train_plain(width, lr, mup), "validation")}


# All of it ------------------------------------------------------------------------------------------

Runs = dict[str, Callable[[], dict[str, Any]]]


def sweep() -> Runs:
    """Learning rates at three widths, by name."""
    return {
        f"sweep-{way}-{width}-{lr}": partial(tuning_run, width, lr, way == "mup")
        for way in ("standard", "mup")
        for width in SWEEP_WIDTHS
        for lr in LEARNING_RATES
    }


def grid(seed: int) -> Runs:
    """One seed of the runs of each budget, and of the large model."""
    found: Runs = {f"target-{seed}": partial(run, TARGET, TARGET_STEPS, seed)}
    for budget, widths in BUDGETS.items():
        for width in widths:
            found[f"grid-{width}-{budget:.1e}-{seed}"] = partial(run, width, steps_of(budget, width), seed)
    return found


def wall(seed: int) -> Runs:
    """One size and number of steps on ever shorter texts, so that each is read more often."""
    read = WALL_STEPS * BATCH * CONTEXT
    return {f"wall-{epochs}-{seed}": partial(run, WALL_WIDTH, WALL_STEPS, seed, read // epochs) for epochs in EPOCHS}


def all_runs() -> Runs:
    """Every run by its name, not made yet."""
    found = sweep()
    for seed in range(SEEDS):
        found |= grid(seed)
    for seed in range(SEEDS):
        found |= wall(seed)
    return found


def main(out: Path) -> None:
    parts = out / "parts"
    made = {name: measure_once(parts / f"{name}.json", make) for name, make in all_runs().items()}
    found: dict[str, Any] = {
        "command": "python recipes/measure.py 08",
        "date": datetime.date.today().isoformat(),
        "with": f"torch {torch.__version__.partition('+')[0]}, one thread",
        "validation_by_learning_rate": {
            label: {
                str(width): {str(lr): made[f"sweep-{way}-{width}-{lr}"]["validation"] for lr in LEARNING_RATES}
                for width in SWEEP_WIDTHS
            }
            for label, way in (("standard", "standard"), ("muP", "mup"))
        },
    }
    found["grid"] = [
        {"budget": budget} | made[f"grid-{width}-{budget:.1e}-{seed}"]
        for budget, widths in BUDGETS.items()
        for width in widths
        for seed in range(SEEDS)
    ]
    found["target"] = [made[f"target-{seed}"] for seed in range(SEEDS)]
    found["wall"] = {str(epochs): [made[f"wall-{epochs}-{seed}"]["loss"] for seed in range(SEEDS)] for epochs in EPOCHS}
    write_table(out / "table.json", found, parts)
