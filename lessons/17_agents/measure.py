"""Make table.json and the adapter of lesson 17: what a small model does with tools, before and after training.

Source   facts about countries and articles that ship, and SmolLM2-135M-Instruct as installed
Run      python recipes/measure.py 17       Takes     about 5 minutes on one idle core

It uses the lesson's own functions. A LoRA adapter is trained on 224 traces that a program made: six of the lesson's kinds of
tasks, and four further ones with tools of their own, so that the list of tools has to be read. Neither the tool `convert` nor
`country`, nor the wordings of the tests, occur in them. Then agents with examples in the prompt, and with the adapter,
are tried on the same tasks.
"""

import ast
import datetime
import json
import os
import random
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import torch
from common import measure_once, write_checkpoint, write_table
from fmcourse import pretrained
from fmcourse.apps.agent import Agent, Budget, make_instructions, parse_reply
from fmcourse.apps.local_model import reply_form
from fmcourse.apps.toolbox import CALCULATOR, CALENDAR, CONVERT, DAYS_BETWEEN
from fmcourse.apps.tools import CallError, ToolCall, make_tool, run_tool
from fmcourse.apps.trace import Step, Trace
from fmcourse.data import load
from fmcourse.models.lora import add_lora, merge_lora
from fmcourse.models.transformer import Transformer
from fmcourse.prompting import generate_answers, read_prefix
from fmcourse.prompting.constraints import grammar_constraint
from torch import Tensor, nn
from torch.nn import functional as F

RANK, ALPHA, TARGETS, FIRST_BLOCK = 8, 16.0, ("q", "v", "up", "down"), 18  # of 30: what lies below is not adapted
STEPS, TRACES, TOOLS_SHOWN, LEARNING_RATE, WARM_UP = 28, 8, 3, 1.5e-3, 3
ADAPTERS, SEEDS = (0,), (0,)  # seeds of adapters, and of examples
TASKS, TEST_SEED = 16, 1
MINUTES = 2.5  # of the training, on one idle core
NAMES = {  # of the lesson
    *("country", "known", "FACTS", "TOOLS", "NAMED", "KINDS", "UNITS", "Task", "draw_task", "draw_tasks"),
    *("solved_trace", "encode_trace", "run_together", "write_lines", "words_of", "verdict"),
}


# The tools that only training knows ------------------------------------------------------------------


def reverse(text: str) -> str:
    """Write a text backwards."""
    return text[::-1]


def length(text: str) -> int:
    """Count the characters of a text."""
    return len(text)


def roman(number: int) -> str:
    """Write a number in Roman numerals."""
    written = ""
    for value, sign in ((90, "XC"), (50, "L"), (40, "XL"), (10, "X"), (9, "IX"), (5, "V"), (4, "IV"), (1, "I")):
        written += sign * (number // value)
        number %= value
    return written


def leap_year(year: int) -> str:
    """Say whether a year is a leap year."""
    return "yes" if year % 4 == 0 and (year % 100 != 0 or year % 400 == 0) else "no"


FURTHER_KINDS = {
    "backwards": ["Write {name} backwards.", "What is {name} when it is read from the end?", "", "reverse", '{{"text": "{name}"}}'],
    "characters": ["How many characters has {name}?", "How long is the text {name}?", "", "length", '{{"text": "{name}"}}'],
    "numerals": ["Write {n} in Roman numerals.", "What is {n} as a Roman number?", "", "roman", '{{"number": {n}}}'],
    "leap": ["Is {year} a leap year?", "Has the year {year} a 29th of February?", "", "leap_year", '{{"year": {year}}}'],
}  # fmt: skip
TAUGHT = ["add", "subtract", "multiply", "weekday", "later", "between", *FURTHER_KINDS]
HELD_OUT = ["unit", "country"]


@cache
def lesson_code() -> dict[str, Any]:
    """What lesson.py itself defines, with what it needs."""
    code: dict[str, Any] = {"tokenizer": smollm2()[1], "json": json, "random": random, "load": load}
    for module in ("typing:Literal,NamedTuple", "datetime:date,timedelta", "dataclasses:replace"):
        name, _, wanted = module.partition(":")
        code |= {each: getattr(__import__(name), each) for each in wanted.split(",")}
    for each in (CALCULATOR, CALENDAR, CONVERT, DAYS_BETWEEN):
        code[each.name.upper()] = each
    for each in (
        make_tool,
        make_instructions,
        run_tool,
        parse_reply,
        CallError,
        ToolCall,
        Trace,
        Step,
        Agent,
        Budget,
        generate_answers,
        read_prefix,
    ):
        code[each.__name__] = each
    tree = ast.parse(Path(__file__).with_name("lesson.py").read_text(encoding="utf-8"))
    tree.body = [node for node in tree.body if NAMES & names_bound(node)]
    exec(compile(tree, "lesson.py", "exec"), code)
    further = [make_tool(function, trusted=True) for function in (reverse, length, roman, leap_year)]
    code["KINDS"] |= FURTHER_KINDS
    code["NAMED"] |= {tool.name: tool for tool in further}
    return code


def names_bound(node: ast.stmt) -> set[str]:
    """The names that a statement of a module defines."""
    targets = node.targets if isinstance(node, ast.Assign) else []
    stored = [name for target in targets for name in ast.walk(target) if isinstance(name, ast.Name)]
    return {getattr(node, "name", "")} | {name.id for name in stored}


@cache
def smollm2() -> tuple[Transformer, Any]:
    return pretrained.load("smollm2-135m-instruct")


# Training on traces ----------------------------------------------------------------------------------


def draw_row(rng: random.Random) -> tuple[Tensor, Tensor, Tensor]:
    """A list of three tools and eight traces behind it, which do not see each other: ids, parts, is_reply, (T,) each."""
    code = lesson_code()
    names = list(dict.fromkeys(code["KINDS"][kind][3] for kind in TAUGHT))
    shown = rng.sample(names, TOOLS_SHOWN)
    kinds = [kind for kind in TAUGHT if code["KINDS"][kind][3] in shown]
    tools = [code["NAMED"][name] for name in shown]
    ids = smollm2()[1].encode(make_instructions(tools, [], "{tools}\n\n"))
    parts, is_reply = [0] * len(ids), [False] * len(ids)
    for part in range(1, TRACES + 1):
        new, replies = code["encode_trace"](code["solved_trace"](code["draw_task"](rng.choice(kinds), rng)))
        ids, parts, is_reply = ids + new, parts + [part] * len(new), is_reply + replies
    return torch.tensor(ids), torch.tensor(parts), torch.tensor(is_reply)


def trace_loss(model: Transformer, row: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """Cross-entropy of the replies alone, in nats per token."""
    ids, parts, is_reply = row
    mask = (parts == 0) | (parts == parts[:, None])  # each trace sees the list of tools and itself
    states = model.states(ids[None, :-1], mask[:-1, :-1])[0]
    return F.cross_entropy(model.head(states[is_reply[1:]]), ids[1:][is_reply[1:]])


def adapted_model(seed: int) -> Transformer:
    """SmolLM2 with an untrained adapter."""
    model = pretrained.load("smollm2-135m-instruct")[0]
    torch.manual_seed(seed)
    add_lora(model, rank=RANK, alpha=ALPHA, targets=TARGETS)
    for block in model.stack.blocks[:FIRST_BLOCK]:  # their B stays zero, and no gradient has to reach them
        block.requires_grad_(False)
    return model


def adapter_weights(model: nn.Module) -> dict[str, Tensor]:
    return {name: weight for name, weight in model.named_parameters() if weight.requires_grad}


def train_adapter(path: Path, seed: int) -> dict[str, Any]:
    """AdamW with warm-up and linear decay, one row a step; kept in `path` every few steps, and taken up from there."""
    model = adapted_model(seed)
    weights = adapter_weights(model)
    optimizer = torch.optim.AdamW(weights.values(), lr=LEARNING_RATE, weight_decay=0.0)
    losses: list[float] = []
    if path.exists():
        kept = torch.load(path, weights_only=True)
        model.load_state_dict(kept["weights"], strict=False)
        optimizer.load_state_dict(kept["optimizer"])
        losses = kept["losses"]
    model.train()
    for step in range(len(losses), STEPS):
        scale = min((step + 1) / WARM_UP, (STEPS - step) / (STEPS - WARM_UP + 1))
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * scale
        loss = trace_loss(model, draw_row(random.Random(f"{seed} {step}")))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(weights.values(), 1.0)
        optimizer.step()
        losses.append(round(loss.item(), 4))
        print(f"adapter {seed}, step {step + 1}: {losses[-1]} nats", flush=True)
        if step % 2 == 1 or step == STEPS - 1:
            kept = {"weights": adapter_weights(model), "optimizer": optimizer.state_dict(), "losses": losses}
            torch.save(kept, path)
    return {"losses": losses}


def trained_model(path: Path, seed: int) -> Transformer:
    model = adapted_model(seed)
    # As it ships: in half precision.
    weights = {name: weight.half().float() for name, weight in torch.load(path, weights_only=True)["weights"].items()}
    model.load_state_dict(weights, strict=False)
    return merge_lora(model).requires_grad_(False).eval()


# Agents on the same tasks ----------------------------------------------------------------------------


@cache
def constraint(*names: str) -> Any:
    """The grammar of the replies of an agent with these tools."""
    tools = [lesson_code()["NAMED"][name] for name in names]
    return grammar_constraint(smollm2()[1], reply_form(tools), smollm2()[1].encode("\n")[0], 60)


def example_traces(kinds: Sequence[str], seed: int) -> list[Trace]:
    """One solved task of each kind, in random order."""
    code, rng = lesson_code(), random.Random(f"examples {seed}")
    traces = [code["solved_trace"](code["draw_task"](kind, rng)) for kind in kinds]
    return rng.sample(traces, len(traces))


def suite(model: Transformer, examples: Sequence[Trace]) -> list[list[str]]:
    """Kind and verdict of each task of the test, all in wordings that nobody has seen."""
    code = lesson_code()
    tasks = code["draw_tasks"]([*TAUGHT[:6], *HELD_OUT], TASKS, TEST_SEED, test=True)
    instructions = make_instructions(code["TOOLS"], examples, "{tools}\n\n")
    held = constraint(*[tool.name for tool in code["TOOLS"]])
    traces = code["run_together"](model, code["TOOLS"], instructions, tasks, held)
    return [[task.kind, code["verdict"](trace, task)] for trace, task in zip(traces, tasks, strict=True)]


# All of it -------------------------------------------------------------------------------------------


def main(out: Path) -> None:
    parts = out / "parts"
    parts.mkdir(parents=True, exist_ok=True)
    trained = cache(lambda seed: trained_model(parts / f"adapter_{seed}.pt", seed))

    def get(name: str, make: Callable[..., Any], *given: Any) -> Any:
        return measure_once(parts / f"{name}.json", partial(make, *given))

    training = [get(f"training_{seed}", train_adapter, parts / f"adapter_{seed}.pt", seed) for seed in ADAPTERS]
    found: dict[str, Any] = {
        "command": "python recipes/measure.py 17",
        "date": datetime.date.today().isoformat(),
        "with": f"torch {torch.__version__.partition('+')[0]}, one thread",
        "training": {"traces": STEPS * TRACES, "losses": [run["losses"] for run in training]},
    }
    every = [*TAUGHT[:6], *HELD_OUT]
    plain = lambda kinds, seed: suite(smollm2()[0], example_traces(kinds, seed))
    found["agents"] = {
        "trained": [get(f"trained_{seed}", lambda seed=seed: suite(trained(seed), [])) for seed in ADAPTERS],
        "few-shot": [get(f"few-shot_{seed}", plain, every, seed) for seed in SEEDS],
    }
    first = [verdict == "right" for _, verdict in found["agents"]["trained"][0]]
    tensors = {name: x.half() for name, x in torch.load(parts / "adapter_0.pt", weights_only=True)["weights"].items()}
    write_checkpoint(
        out / "checkpoints",
        "agent_adapter",
        tensors,
        title="SmolLM2-135M-Instruct calls tools (LoRA matrices of its last twelve blocks)",
        command=found["command"],
        date=found["date"],
        minutes=MINUTES,
        data=f"{STEPS * TRACES} traces of solved tasks, made by a program",
        score={"right of the test": f"{sum(first)} of {len(first)}"},
    )
    write_table(out / "table.json", found, parts)
