"""Generation: ask for the next token, take one, and ask again.

    B prompts   T tokens so far   V vocabulary

Top-k: Fan et al. 2018; top-p (nucleus): Holtzman et al. 2020.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from fmcourse.models.seq2seq import EncoderDecoder
from fmcourse.models.transformer import Transformer

Prompt = str | list[int]
Constraint = Callable[[list[int]], Tensor]


def next_distribution(
    logits: Tensor, temperature: float = 1.0, top_k: int | None = None, top_p: float | None = None
) -> Tensor:
    """Probabilities of the next token, (..., V), after the three knobs, in this order.

    temperature 0 puts everything on the largest (the first of them, if several are), 1 is what the model believes; top_k keeps
    the k likeliest; top_p keeps the likeliest until their sum reaches p. At least one token always stays.

    >>> next_distribution(torch.tensor([2.0, 1.0, 0.0]).log_softmax(-1), top_k=2).round(decimals=3).tolist()
    [0.7310000061988831, 0.26899999380111694, 0.0]
    """
    if temperature == 0:
        return torch.zeros_like(logits).scatter(-1, logits.argmax(-1, keepdim=True), 1.0)
    probabilities = (logits.float() / temperature).softmax(-1)
    if top_k is not None and top_k < logits.shape[-1]:
        kept = torch.zeros_like(probabilities).scatter(-1, probabilities.topk(top_k).indices, 1.0)
        probabilities = probabilities * kept
    if top_p is not None and top_p < 1:
        ordered, order = (probabilities / probabilities.sum(-1, keepdim=True)).sort(
            descending=True, stable=True
        )
        needed = ordered.cumsum(-1) - ordered < top_p  # those before it did not reach p yet
        probabilities = torch.zeros_like(probabilities).scatter(-1, order, ordered * needed)
    return probabilities / probabilities.sum(-1, keepdim=True)


def generate(
    model: Transformer,
    tokenizer: Any,
    prompt: Prompt,
    *,
    max_new_tokens: int,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    stop: Sequence[str] = (),
    seed: int | None = None,
    constraint: Constraint | None = None,
    use_cache: bool = True,
) -> str:
    """Continue `prompt`; returns the continuation alone.

    Args:
        model: a causal Transformer, `(1, T) -> (1, T, V)`.
        tokenizer: what the model was trained with. A prompt may also be a list of token ids.
        max_new_tokens: the most tokens to add.
        temperature, top_k, top_p: see `next_distribution`; temperature 0 is greedy.
        stop: texts that end the continuation; the text before the first of them is returned.
        seed: repeat the draw; None draws anew each time.
        constraint: (token ids added so far) -> (V,) bool, the tokens allowed next; a grammar is one of these.
        use_cache: False computes everything anew for every token: the same text, slower.
    A text longer than the model's context is read from a later start: see `window_start`.
    Raises: ValueError naming the argument.
    """
    settings = dict(
        max_new_tokens=max_new_tokens,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        stop=stop,
        seed=seed,
        constraint=constraint,
        use_cache=use_cache,
    )
    return "".join(stream(model, tokenizer, prompt, **settings))


def stream(
    model: Transformer,
    tokenizer: Any,
    prompt: Prompt,
    *,
    max_new_tokens: int,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    stop: Sequence[str] = (),
    seed: int | None = None,
    constraint: Constraint | None = None,
    use_cache: bool = True,
) -> Iterator[str]:
    """As `generate`, piece by piece: never half a character, and nothing that could still turn out to be a stop text."""
    check_sampling_arguments(max_new_tokens, temperature, top_k, top_p, stop)
    ids, sample = encode_prompt(tokenizer, prompt), make_sampler(seed, temperature, top_k, top_p)
    return decode_stream(
        generate_tokens(model, ids, max_new_tokens, sample, constraint, use_cache), tokenizer, stop
    )


def generate_batch(
    model: Transformer,
    tokenizer: Any,
    prompts: Sequence[Prompt],
    *,
    max_new_tokens: int,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    stop: Sequence[str] = (),
    seed: int | None = None,
) -> list[str]:
    """Continue many prompts at once. Row i draws as `generate(..., seed=seed + i)` does, whatever stands beside it.

    Prompts and continuations must fit the context. Raises: ValueError naming the argument.
    """
    check_sampling_arguments(max_new_tokens, temperature, top_k, top_p, stop)
    texts = [encode_prompt(tokenizer, prompt) for prompt in prompts]
    if not texts:
        return []
    longest, context = max(map(len, texts)), model.config.context
    if longest + max_new_tokens > context:
        raise ValueError(
            f"the longest prompt has {longest} tokens; with max_new_tokens={max_new_tokens} that is more than "
            f"context={context}. Shorten one of them, or use generate, which slides along."
        )
    samplers = [
        make_sampler(None if seed is None else seed + row, temperature, top_k, top_p)
        for row in range(len(texts))
    ]
    added = generate_batch_tokens(
        model,
        texts,
        max_new_tokens,
        samplers,
        lambda ids: any(s in tokenizer.decode(ids) for s in stop),
    )
    return ["".join(decode_stream(iter(ids), tokenizer, stop)) for ids in added]


def chat(
    model: Transformer,
    tokenizer: Any,
    messages: Sequence[dict[str, str]],
    *,
    max_new_tokens: int = 200,
    temperature: float = 0.0,
    top_k: int | None = None,
    top_p: float | None = None,
    seed: int | None = None,
) -> str:
    """The assistant's answer to `messages`, a list of {"role": "system" | "user" | "assistant", "content": text}."""
    return "".join(
        chat_stream(
            model,
            tokenizer,
            messages,
            max_new_tokens=max_new_tokens,
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
            seed=seed,
        )
    )


def chat_stream(
    model: Transformer,
    tokenizer: Any,
    messages: Sequence[dict[str, str]],
    *,
    max_new_tokens: int = 200,
    temperature: float = 0.0,
    top_k: int | None = None,
    top_p: float | None = None,
    seed: int | None = None,
) -> Iterator[str]:
    """As `chat`, piece by piece."""
    return stream(
        model,
        tokenizer,
        apply_chat_template(tokenizer, messages),
        max_new_tokens=max_new_tokens,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        seed=seed,
        stop=("<|im_end|>", "<|endoftext|>"),
    )


DEFAULT_SYSTEM_PROMPT = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"


def apply_chat_template(tokenizer: Any, messages: Sequence[dict[str, str]]) -> list[int]:
    """ChatML, SmolLM2's template: each message between <|im_start|> and <|im_end|>, then the assistant's turn is opened.

    What people write is encoded as plain text: "<|im_end|>" typed by a user ends nothing.
    """
    if not messages or any(set(m) != {"role", "content"} for m in messages):
        raise ValueError(
            "messages must be a list of {'role': ..., 'content': ...}, with at least one of them."
        )
    if messages[0]["role"] != "system":
        messages = [{"role": "system", "content": DEFAULT_SYSTEM_PROMPT}, *messages]
    start, end = (
        tokenizer.encode(mark, allow_special=True) for mark in ("<|im_start|>", "<|im_end|>")
    )
    ids = []
    for message in messages:
        if message["role"] not in ("system", "user", "assistant"):
            raise ValueError(
                f"role {message['role']!r} is not known; choose 'system', 'user' or 'assistant'."
            )
        ids += (
            start
            + tokenizer.encode(f"{message['role']}\n{message['content']}")
            + end
            + tokenizer.encode("\n")
        )
    return ids + start + tokenizer.encode("assistant\n")


# -- the loop -----------------------------------------------------------------------------------------------------------


def window_start(length: int, context: int) -> int:
    """Where a model of that context starts reading a text of that length: at 0 while it fits, then later by half contexts.

    Hops, because a start that moved with every token would throw the cache away with every token.

    >>> [window_start(length, 8) for length in (8, 9, 12, 13)]
    [0, 4, 4, 8]
    """
    hop = max(1, context // 2)
    return max(0, -(-(length - context) // hop) * hop)


@torch.inference_mode()
def generate_tokens(
    model: Transformer,
    ids: list[int],
    max_new_tokens: int,
    sample: Callable[[Tensor], int],
    constraint: Constraint | None,
    use_cache: bool,
) -> Iterator[int]:
    """Yields one token after another; `ids` is the prompt."""
    was_training, device = model.training, next(model.parameters()).device
    text, cache, start = list(ids), None, 0
    model.eval()
    try:
        for _ in range(max_new_tokens):
            begin = window_start(len(text), model.config.context)
            if not use_cache or cache is None or begin != start:
                cache, start = (
                    model.new_cache(
                        capacity=min(model.config.context, len(text) - begin + max_new_tokens)
                    ),
                    begin,
                )
            new = torch.tensor([text[start + cache.length :]], device=device)
            logits, cache = (
                model.extend(new, cache, last=True) if use_cache else (model(new), cache)
            )
            token = sample(apply_constraint(logits[0, -1], constraint, text[len(ids) :]))
            text.append(token)
            yield token
    finally:
        model.train(was_training)


@torch.inference_mode()
def generate_batch_tokens(
    model: Transformer,
    texts: list[list[int]],
    max_new_tokens: int,
    samplers: list[Callable[[Tensor], int]],
    is_finished: Callable[[list[int]], bool],
) -> list[list[int]]:
    """The tokens that each text gets; shorter prompts are padded on the left, and the cache hides the padding."""
    was_training, device = model.training, next(model.parameters()).device
    longest = max(map(len, texts))
    padding = torch.tensor([longest - len(text) for text in texts], device=device)
    new = torch.tensor([[0] * (longest - len(text)) + text for text in texts], device=device)
    cache = model.new_cache(
        len(texts), longest + max_new_tokens, padding if padding.any() else None
    )
    added: list[list[int]] = [[] for _ in texts]
    model.eval()
    try:
        for _ in range(max_new_tokens):
            logits, cache = model.extend(new, cache, last=True)
            for row, sample in enumerate(samplers):
                added[row].append(sample(logits[row, -1]))
            if all(is_finished(row) for row in added):
                break
            new = torch.tensor([[row[-1]] for row in added], device=device)
    finally:
        model.train(was_training)
    return added


def make_sampler(
    seed: int | None, temperature: float, top_k: int | None, top_p: float | None
) -> Callable[[Tensor], int]:
    """A function from logits (V,) to a token, with a stream of its own."""
    generator = torch.Generator()
    generator.seed() if seed is None else generator.manual_seed(seed)

    def sample(logits: Tensor) -> int:
        if temperature == 0:
            return int(logits.argmax())
        probabilities = next_distribution(logits.cpu(), temperature, top_k, top_p)
        return int(torch.multinomial(probabilities, 1, generator=generator))

    return sample


def apply_constraint(logits: Tensor, constraint: Constraint | None, added: list[int]) -> Tensor:
    if constraint is None:
        return logits
    mask = constraint(added)
    if not mask.any():
        raise ValueError(
            "the constraint allows no token here; let it allow at least one, an end mark for example."
        )
    return logits.masked_fill(~mask.to(logits.device), float("-inf"))


def decode_stream(tokens: Iterator[int], tokenizer: Any, stop: Sequence[str]) -> Iterator[str]:
    """Turn tokens into text as soon as it is certain."""
    ids, given = [], 0
    for token in tokens:
        ids.append(token)
        text = tokenizer.decode(ids)
        ends = [text.index(s) for s in stop if s in text]
        if ends:
            if min(ends) > given:
                yield text[given : min(ends)]
            return
        certain = len(text) - pending_characters(text, stop)
        if certain > given:
            yield text[given:certain]
            given = certain
    if rest := tokenizer.decode(ids)[given:]:
        yield rest


def pending_characters(text: str, stop: Sequence[str]) -> int:
    """How many last characters may still change: half a character (shown as U+FFFD), or the beginning of a stop text."""
    broken = len(text) - len(text.rstrip("\ufffd"))
    return max([broken, *(n for s in stop for n in range(1, len(s)) if text.endswith(s[:n]))])


def encode_prompt(tokenizer: Any, prompt: Prompt) -> list[int]:
    ids = tokenizer.encode(prompt) if isinstance(prompt, str) else list(prompt)
    if not ids:
        raise ValueError(
            "the prompt is empty; give at least one token to go on from, a line break for example."
        )
    return ids


def check_sampling_arguments(
    max_new_tokens: int,
    temperature: float,
    top_k: int | None,
    top_p: float | None,
    stop: Sequence[str],
) -> None:
    if not isinstance(max_new_tokens, int) or max_new_tokens < 1:
        raise ValueError(f"max_new_tokens={max_new_tokens!r} must be a whole number of at least 1.")
    if not 0 <= temperature < float("inf"):
        raise ValueError(f"temperature={temperature!r} must be 0 (greedy) or a positive number.")
    if top_k is not None and (not isinstance(top_k, int) or top_k < 1):
        raise ValueError(
            f"top_k={top_k!r} must be a whole number of at least 1, or None for all tokens."
        )
    if top_p is not None and not 0 < top_p <= 1:
        raise ValueError(f"top_p={top_p!r} must be above 0 and at most 1, or None for all tokens.")
    if isinstance(stop, str) or not all(isinstance(s, str) and s for s in stop):
        raise ValueError(
            f"stop={stop!r} must be a list of texts, none of them empty; for one text write [{stop!r}]."
        )


# -- writing with several drafts ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Hypothesis:
    """A sequence that beam search holds: its ids, the start token first, and log p of all that was added."""

    ids: tuple[int, ...]
    score: float


def beam_search(
    log_probabilities: Callable[[Tensor], Tensor],
    *,
    start: int,
    end: int,
    width: int,
    max_new_tokens: int,
) -> list[Hypothesis]:
    """The `width` best sequences it can find, best first; width 1 is greedy.

    At each step every draft is continued with every token, and of all these continuations the best `width` stay. A draft that
    ends with `end` is finished and keeps its place. Scores are compared as they are: no bonus for length.

    Args:
        log_probabilities: (N, T) drafts of one length -> (N, V), for the token after each.
        max_new_tokens: tokens to add at most; a draft that never ends is handed back as it is.
    Raises: ValueError if width or max_new_tokens is less than 1.
    Source: Sutskever et al. 2014, section 3.2.
    """
    if width < 1 or max_new_tokens < 1:
        raise ValueError(
            f"width={width} and max_new_tokens={max_new_tokens} must both be at least 1."
        )
    drafts = [Hypothesis((start,), 0.0)]
    for _ in range(max_new_tokens):
        done, open_ = (
            [d for d in drafts if d.ids[-1] == end],
            [d for d in drafts if d.ids[-1] != end],
        )
        if not open_:
            break
        scores = log_probabilities(torch.tensor([draft.ids for draft in open_])).double()
        best = (scores + torch.tensor([[draft.score] for draft in open_]).double()).flatten()
        kept = best.topk(min(width, len(best)))
        longer = [
            Hypothesis((*open_[at // scores.shape[1]].ids, at % scores.shape[1]), value)
            for value, at in zip(kept.values.tolist(), kept.indices.tolist(), strict=True)
        ]
        drafts = sorted(done + longer, key=lambda draft: -draft.score)[:width]
    return drafts


@torch.inference_mode()
def translate(
    model: EncoderDecoder,
    source: Tensor,
    *,
    start: int,
    end: int,
    max_new_tokens: int,
    width: int = 1,
) -> list[list[int]]:
    """What the model writes for each row of source (B, S): the best draft's ids, without start and end.

    Args:
        width: drafts that beam search holds for each row; 1 is greedy, all rows side by side.
        max_new_tokens: tokens to write at most.
    Raises: ValueError if they would not fit the context.
    """
    if not 1 <= max_new_tokens < model.config.context:
        raise ValueError(
            f"max_new_tokens={max_new_tokens} must be at least 1 and less than context={model.config.context}."
        )
    was_training = model.training
    model.eval()
    mask = model.padding_mask(source)
    memory = model.encode(source, mask)
    written = greedy_decode(model, memory, mask, start, end, max_new_tokens) if width == 1 else []
    for row in range(len(source) if width != 1 else 0):
        again = lambda ids, row=row: model.decode(
            ids, memory[row].expand(len(ids), -1, -1), mask[row].expand(len(ids), -1)
        )
        next_one = lambda ids, again=again: again(ids)[:, -1].log_softmax(-1)
        written.append(
            list(
                beam_search(
                    next_one, start=start, end=end, width=width, max_new_tokens=max_new_tokens
                )[0].ids
            )
        )
    model.train(was_training)
    return [ids[1 : ids.index(end)] if end in ids else ids[1:] for ids in written]


def greedy_decode(
    model: EncoderDecoder, memory: Tensor, mask: Tensor, start: int, end: int, max_new_tokens: int
) -> list[list[int]]:
    """The likeliest token, and on; for all rows, until each has ended."""
    ids = torch.full((len(memory), 1), start, device=memory.device)
    for _ in range(max_new_tokens):
        if (ids == end).any(1).all():
            break
        ids = torch.cat([ids, model.decode(ids, memory, mask)[:, -1:].argmax(-1)], 1)
    return ids.tolist()
