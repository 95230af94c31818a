"""Prompting: the weights stay, the text before the question changes. Many questions behind one shared text, which is read once.

    N prompts   L labels   S tokens read so far   T new ones   V vocabulary

The texts stand one after another in a single row. A mask hides each from the others, and every token is told its place in its
own text: so nothing is padded, and nothing of the shared text is computed or stored a second time.
"""

import hashlib
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate, combinations
from typing import Any

import torch
from torch import Tensor, nn

from fmcourse.generation import (
    Constraint,
    Prompt,
    apply_constraint,
    check_sampling_arguments,
    decode_stream,
    encode_prompt,
)
from fmcourse.models.kv_cache import KVCache
from fmcourse.models.transformer import Transformer

PREFIX = -1  # the text that all others see
MAX_PACKED_TOKENS = 512  # tokens that stand side by side: more would cost attention between texts that do not see each other

Ids = list[int]


# -- what a prompt is made of ---------------------------------------------------------------------------------------------


def few_shot_prompt(
    examples: Iterable[tuple[str, str]],
    input_prefix: str = "Input: ",
    output_prefix: str = "Output:",
    separator: str = "\n",
    example_separator: str = "\n",
) -> str:
    """The text that goes before the question: solved examples (question, answer), one under the other. Without any, "".

    >>> print(few_shot_prompt([("hot", "cold"), ("up", "down")], separator=" ") + format_query("wet", separator=" "))
    Input: hot Output: cold
    Input: up Output: down
    Input: wet Output:
    """
    return "".join(
        f"{format_query(text, input_prefix, output_prefix, separator)} {said}{example_separator}"
        for text, said in examples
    )


def format_query(
    text: str, input_prefix: str = "Input: ", output_prefix: str = "Output:", separator: str = "\n"
) -> str:
    """The last one, unanswered: its answer begins with a space."""
    return f"{input_prefix}{text}{separator}{output_prefix}"


# -- scores of labels -----------------------------------------------------------------------------------------------------


def label_scores(
    model: Transformer,
    tokenizer: Any,
    prompts: Sequence[Prompt],
    labels: Sequence[str],
    *,
    shared: Prompt | KVCache = "",
    batch: int = 32,
    distinct: bool = False,
) -> Tensor:
    """log p (nats) of each label as what comes after shared + prompt, (N, L), added up over the label's tokens.

    A prompt and all its labels are read in one pass; labels of one token cost nothing more than the prompt.

    Args:
        prompts: texts or lists of ids. The model reads encode(shared) + encode(prompt) + encode(label): cut where a token
            ends. Labels mostly begin with a space, " positive".
        shared: text or ids that stand before every prompt, read once; or what `read_prefix` made of them, for several calls.
        batch: prompts side by side at most. It changes the speed alone.
        distinct: demand labels that already differ in their first token.
    Raises: ValueError for fewer than two labels, one that is empty or stands there twice, an empty prompt, one over the context.
    """
    ends = encode_labels(tokenizer, labels, distinct)
    texts, cache = prepare_prompts(
        model, tokenizer, prompts, shared, max(map(len, ends)) - 1, "in the longest label"
    )
    scores = torch.zeros(len(texts), len(ends))
    with evaluating(model):
        for rows in pack_batches(
            [len(text) + sum(map(len, ends)) - len(ends) for text in texts], batch
        ):
            scores[rows] = score_batch(model, cache, texts[rows], ends).cpu()
    return scores


def score_batch(
    model: Transformer, cache: "BranchedCache", texts: list[Ids], ends: list[Ids]
) -> Tensor:
    """log p of each end after each text, (texts, ends), in one pass. The last token of an end is predicted but never read."""
    new, asked = [], []
    for row, text in enumerate(texts):
        new += lay_out(text, cache.length, row)
        last = len(new) - 1
        for column, end in enumerate(ends):
            seen = [last, *range(len(new), len(new) + len(end) - 1)]
            asked += [
                (at, token, row * len(ends) + column) for at, token in zip(seen, end, strict=True)
            ]
            new += lay_out(end[:-1], cache.length + len(text), row, column + 1)
    states, _ = extend_branches(model, cache, new)
    at, token, cell = torch.tensor(asked, device=states.device).T
    needed, where = at.unique(return_inverse=True)
    nats = model.head(states[needed]).float().log_softmax(-1)[where, token]
    return (
        nats.new_zeros(len(texts) * len(ends))
        .index_add(0, cell, nats)
        .unflatten(0, (len(texts), -1))
    )


def encode_labels(tokenizer: Any, labels: Sequence[str], distinct: bool) -> list[Ids]:
    """The labels as ids. Raises: ValueError, see `label_scores`."""
    if isinstance(labels, str) or len(labels) < 2:
        raise ValueError(
            f"labels={labels!r}: give a list of at least two, for there is nothing to choose otherwise."
        )
    ends = [tokenizer.encode(label) for label in labels]
    if not all(ends):
        raise ValueError(
            f"label {ends.index([])} is empty, and every text goes on with nothing; give it a word."
        )
    for one, other in combinations(range(len(ends)), 2):
        if ends[one] == ends[other]:
            raise ValueError(
                f"labels {one} and {other} are the same, {labels[one]!r}; keep one of them."
            )
        if distinct and ends[one][0] == ends[other][0]:
            raise ValueError(
                f"labels {labels[one]!r} and {labels[other]!r} begin with the same token, "
                f"{tokenizer.decode(ends[one][:1])!r}; choose words that differ from the start, or distinct=False."
            )
    return ends


def calibrate(scores: Tensor, content_free: Tensor) -> Tensor:
    """Scores (N, L) less what inputs without content get, (M, L): what the prompt alone prefers is taken away.

    Of `content_free`, log of the mean probability among the labels is subtracted. Source: Zhao et al. 2021, section 5.

    >>> content_free = torch.tensor([[-1.0, -3.0]])                   # without content, the first label is e² times as likely
    >>> calibrate(torch.tensor([[-1.0, -2.0]]), content_free).argmax(-1).item()
    1
    """
    if (
        not len(content_free)
        or content_free.ndim != 2
        or content_free.shape[-1] != scores.shape[-1]
    ):
        raise ValueError(
            f"content_free has shape {tuple(content_free.shape)}; give the scores of at least one input without content, for the "
            f"same {scores.shape[-1]} labels."
        )
    return scores - (content_free.log_softmax(-1).logsumexp(0) - math.log(len(content_free)))


def batch_calibrate(scores: Tensor) -> Tensor:
    """Scores (N, L) less the log of their own mean probability: as if each label came equally often.

    It needs no labels, but it looks at the whole batch: a row's result depends on the rows beside it, and a test batch scored
    this way is not scored one by one. Source: Zhou et al. 2023.
    """
    return calibrate(scores, scores)


# -- answers in words -----------------------------------------------------------------------------------------------------


def generate_answers(
    model: Transformer,
    tokenizer: Any,
    prompts: Sequence[Prompt],
    *,
    shared: Prompt | KVCache = "",
    max_new_tokens: int = 12,
    stop: Sequence[str] = ("\n",),
    batch: int = 32,
    constraint: Constraint | None = None,
) -> list[str]:
    """What the model writes after shared + prompt, greedily, for each prompt: as `generate(..., temperature=0)`, many at once.

    Args: see `label_scores` and `generate`. A text that has come to a stop costs nothing from then on.
    Raises: ValueError naming the argument.
    """
    check_sampling_arguments(max_new_tokens, 0, None, None, stop)
    texts, cache = prepare_prompts(
        model, tokenizer, prompts, shared, max_new_tokens, "to be written"
    )
    is_finished, written = lambda ids: any(s in tokenizer.decode(ids) for s in stop), []
    with evaluating(model):
        for rows in pack_batches([len(text) for text in texts], batch):
            written += generate_greedily(
                model, cache, texts[rows], max_new_tokens, is_finished, constraint
            )
    return ["".join(decode_stream(iter(ids), tokenizer, stop)) for ids in written]


def generate_greedily(
    model: Transformer,
    cache: "BranchedCache",
    texts: list[Ids],
    max_new_tokens: int,
    is_finished: Callable[[Ids], bool],
    constraint: Constraint | None,
) -> list[Ids]:
    """The likeliest token after each text, again and again; who has ended drops out."""
    start, added, going = cache.length, [[] for _ in texts], list(range(len(texts)))
    new = [lay_out(text, start, row) for row, text in enumerate(texts)]
    for _ in range(max_new_tokens):
        states, cache = extend_branches(model, cache, sum(new, []))
        last = [n - 1 for n in accumulate(map(len, new))]
        for row, logits in zip(going, model.head(states[last]), strict=True):
            added[row].append(int(apply_constraint(logits, constraint, added[row]).argmax()))
        going = [row for row in going if not is_finished(added[row])]
        if not going:
            break
        new = [
            lay_out(added[row][-1:], start + len(texts[row]) + len(added[row]) - 1, row)
            for row in going
        ]
    return added


# -- many texts in one row ------------------------------------------------------------------------------------------------


class BranchedCache(KVCache):
    """A cache in which one shared text goes on as many: each sees the shared one and itself, branches also their own stem.

    `layout` (3, S), of each token, also of those about to be read: its place, its text, its branch (0 is the stem).
    """

    def __init__(self, cache: KVCache, layout: Tensor) -> None:
        super().__init__(cache.store, cache.length, written=cache._written)
        self.layout = layout

    def reserve(self, T: int) -> "BranchedCache":
        return BranchedCache(super().reserve(T), self.layout)

    def with_layout(self, new: Tensor) -> "BranchedCache":
        """The same, knowing who comes next, (3, T)."""
        return BranchedCache(self, torch.cat([self.layout, new], 1))

    def positions(self, T: int) -> Tensor:
        return self.layout[0, self.length : self.length + T]

    def mask(self, T: int) -> Tensor:
        """(T, S) bool: who belongs together. That nobody looks ahead is the model's own rule."""
        _, text, branch = self.layout
        line = (branch == 0) | (branch == branch[-T:, None])
        return (text == PREFIX) | ((text == text[-T:, None]) & line)


def lay_out(ids: Ids, start: int, text: int, branch: int = 0) -> list[tuple[int, int, int, int]]:
    """Each token with its place, its text and its branch."""
    return [(token, start + n, text, branch) for n, token in enumerate(ids)]


def extend_branches(
    model: Transformer, cache: BranchedCache, new: list[tuple[int, int, int, int]]
) -> tuple[Tensor, BranchedCache]:
    """Read what was planned; returns the new tokens' states (T, D), before the head, and the longer cache."""
    ids, *layout = torch.tensor(new, device=cache.store.device).T
    cache = cache.with_layout(torch.stack(layout))
    states, cache = model.stack.extend(model.embed(ids[None], cache.positions(len(ids))), cache)
    return states[0], cache


def read_prefix(model: Transformer, tokenizer: Any, shared: Prompt) -> KVCache:
    """The shared text, read: pass it as `shared` to several calls. It is good as long as the weights stay as they are."""
    ids = tokenizer.encode(shared) if isinstance(shared, str) else list(shared)
    cache = model.new_cache(capacity=len(ids))
    if not ids:
        return cache
    model.check_ids(torch.tensor([ids]))
    with evaluating(model):
        new = torch.tensor([ids], device=cache.store.device)
        return model.stack.extend(model.embed(new, cache.positions(len(ids))), cache)[1]


def prepare_prompts(
    model: Transformer,
    tokenizer: Any,
    prompts: Sequence[Prompt],
    shared: Prompt | KVCache,
    more: int,
    why: str,
) -> tuple[list[Ids], BranchedCache]:
    """The prompts as ids and the shared text read. Raises: ValueError if one of them with `more` tokens does not fit."""
    if not model.config.causal or model.config.head != "linear":
        raise ValueError(
            "this model does not predict the next token, so no prompt can ask it; take a causal one."
        )
    if isinstance(prompts, str):
        raise ValueError(f"prompts={prompts!r} is one text; for one prompt write [{prompts!r}].")
    texts = [encode_prompt(tokenizer, prompt) for prompt in prompts]
    cache = shared if isinstance(shared, KVCache) else read_prefix(model, tokenizer, shared)
    for n, text in enumerate(texts):
        if cache.length + len(text) + more > model.config.context:
            raise ValueError(
                f"prompt {n} has {len(text)} tokens; with {cache.length} shared and {more} {why} that is more than "
                f"context={model.config.context}. Shorten it, or share fewer examples."
            )
    at = torch.arange(cache.length, device=cache.store.device)
    layout = torch.stack([at, torch.full_like(at, PREFIX), torch.zeros_like(at)])
    return texts, BranchedCache(cache, layout)


def pack_batches(lengths: list[int], batch: int) -> Iterator[slice]:
    """Neighbours that are read together: at most `batch`, and at most MAX_PACKED_TOKENS tokens unless one alone has more."""
    if not isinstance(batch, int) or batch < 1:
        raise ValueError(f"batch={batch!r} must be a whole number of at least 1.")
    begin = 0
    while begin < len(lengths):
        fit = [n for n in accumulate(lengths[begin : begin + batch]) if n <= MAX_PACKED_TOKENS]
        yield slice(begin, begin := begin + max(1, len(fit)))


# -- did anything change? -------------------------------------------------------------------------------------------------


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """No dropout, no gradients; afterwards the model trains again if it did before."""
    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        model.train(was_training)


def fingerprint(model: nn.Module) -> str:
    """SHA-256 of all weights and saved buffers with their names: 64 letters that differ if a single bit does.

    Tables that are worked out anew (cosines of positions) do not count: their last bits may be the machine's.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()
