# %% [raw]
# place = ["byte pairs, unigram likelihood", "none: a tokenizer", "text in several scripts"]
# builds = "byte-pair encoding that gives the ids of a real model's library; WordPiece and Unigram beside it"
# terms = ["tokenizer", "vocabulary", "out-of-vocabulary", "Zipf's law", "UTF-8", "byte-level", "subword", "pre-tokenization",
#   "byte-pair encoding", "merge", "compression", "token premium", "WordPiece", "Unigram", "SentencePiece",
#   "expectation-maximization", "subword regularization", "special token", "weight tying", "glitch token"]
# [reads]
# "fmcourse.tokenizers.bpe" = ["pretokenizer_pattern", "learn_merges", "PairCounts", "merge_pair", "BPETokenizer"]

# %% [markdown]
# # 04 · Tokenizers
# **You build byte-pair encoding, load the 48,900 merges of a real language model into your own code, and get the same token ids as
# the library that such models are published for.**
#
# {minutes} minutes to read and do · about 90 seconds to compute · you need Python's lists and dicts, and lesson 00.
#
# **Afterwards you can**
# - say what characters, words and bytes each cost as tokens;
# - train and apply byte-pair encoding, by hand and in code, and decode its ids;
# - say how WordPiece and Unigram differ from it;
# - measure compression, and choose the size of a vocabulary by it;
# - trace failures with letters, numbers, spaces and languages to the tokenizer.

# %%
import math
import re
from collections import Counter
from itertools import pairwise

import tokenizers
import torch
from fmcourse import pretrained
from fmcourse.course import check, claim, hint, predict, progress, quiz, resolve, solution
from fmcourse.data import load, table
from fmcourse.generation import generate
from fmcourse.models.transformer import Transformer, gpt2
from fmcourse.objectives import next_token
from fmcourse.plots import bars, curves, heatmap
from fmcourse.plots.widgets import colour_tokens, interactive
from fmcourse.tokenizers import BPETokenizer, CharTokenizer
from fmcourse.tokenizers.bpe import learn_merges, pretokenizer_pattern, to_bytes
from fmcourse.training import RandomCrops, fit

plays = load("shakespeare")
hamlet, macbeth = plays.works["Hamlet"].text, plays.works["Macbeth"].text

# %% [markdown]
# ## 1 · Characters
# A network computes with numbers, so text must first become numbers and afterwards text again. A **tokenizer** cuts a text into tokens,
# gives each token a whole number, its *id*, and can turn ids back into text. The list of all tokens that it knows is its
# **vocabulary**. The simplest tokenizer takes every character as a token. Its vocabulary comes from thirty-four plays by Shakespeare.

# %%
characters = CharTokenizer.train(plays.train)
print(characters.vocab_size, "tokens:", repr(characters.tokens))
print("To be ->", characters.encode("To be"))
try:
    characters.encode("Café")
except ValueError as error:
    print(error)

# %% [markdown]
# The ids are names, not quantities: `T` is 43 and `e` is 56, and `e` is not larger or better for that, just as house 56 is no better than
# house 43. Characters as tokens have two drawbacks. Text that a tokenizer cannot write with its tokens is **out-of-vocabulary** (OOV), such as é,
# which is in none of the plays. And sequences are long: a model with a context of 64 tokens reads only about two lines of verse at a time.
#
# ## 2 · Words
# What if every word is a token? We cut at spaces and punctuation, ignore capitals, and count; each sign of punctuation counts as a word, too.
# How many different words do you expect in a million?


# %%
def words_of(text):
    return re.findall(r"\w+|[^\w\s]", text.lower())


counts = Counter(words_of(plays.train))
numbers = [number for _, number in counts.most_common()]
print(f"{sum(numbers):,} words and signs, {len(numbers):,} different; {numbers.count(1):,} of these occur once")
curves(range(1, len(numbers) + 1), {"words of 34 plays": numbers}, xlog=True, ylog=True,
       xlabel="rank of the word (1 = most frequent)", ylabel="occurrences",
       alt="On logarithmic axes an almost straight line falls from tens of thousands of occurrences to one; the words "
       "that occur once fill the long flat end.")  # fmt: skip

# %% [markdown]
# A few hundred words make up most of the text, and there is no end to the rare ones. The line is almost straight on logarithmic axes. **Zipf's law** says that a word's frequency is roughly proportional to one over its rank in
# the list of all frequencies [1]. More than a third of these words occur only once, so that a model could learn little about them. And new texts contain words that are not in the list
# at all. Two plays were kept back to test this.

# %%
unseen = words_of(plays.validation)
unknown = [word for word in unseen if word not in counts]
share = len(unknown) / len(unseen)
print(*sorted(set(unknown), key=lambda word: (-len(word), word))[:8], sep=", ")
claim(
    "more than 3 in 100 words of the other plays are not in the list", share > 0.03, unknown=len(unknown), share=share
)

# %% [markdown]
# Each of these words would become the same token, usually written `[UNK]` for *unknown*. *Assassination* is one of them; it comes from *Macbeth*, one of the two plays that were kept back. Yet you
# read *unquestionable* without trouble, because you know its parts. A **subword** is a token that may be a part of a word;
# subword tokenizers keep frequent words whole and write rare ones in pieces.
#
# ## 3 · Bytes
# The smallest pieces are bytes. Every text in a computer is a sequence of bytes already, and there are only 256 of them. **UTF-8** is the
# standard encoding of characters as bytes: one byte for each English letter, two to four bytes for most other characters.

# %%
teas = {"English": "tea", "French": "thé", "Russian": "чай", "Hindi": "चाय", "Chinese": "茶"}
for language, tea in teas.items():
    print(f"{language:8} {len(tea)} characters, {len(tea.encode())} bytes: {list(tea.encode())}")

# %% [markdown]
# A **byte-level** tokenizer starts from the 256 bytes, so that no text is out-of-vocabulary, in any script [2]. But a sequence of bytes is at least as long
# as the sequence of characters, and in Hindi three times as long.
#
# ## 4 · Pre-tokenization
# Before any pieces are joined, one decision is made by hand. **Pre-tokenization** is the step that cuts a text into words, numbers and
# punctuation before the tokenizer learns anything; no token ever crosses one of these cuts. GPT-2 does it with one regular expression [2]. Here it is
# in the syntax of Python's `re` (which has no class for all kinds of numbers, so that a few signs such as ½ are cut differently):

# %%
GPT2 = re.compile(
    r"""'(?:[sdmt]|ll|ve|re)    # an ending: 's 'd 'm 't 'll 've 're
      | [ ]?[^\W\d_]+           # letters, with the space before them
      | [ ]?\d+                 # digits, with the space before them
      | [ ]?(?:[^\w\s]|_)+      # other signs, with the space before them
      | \s+(?!\S) | \s+         # the spaces that are left, the last one for the next word""",
    re.VERBOSE,
)
cut = GPT2.findall
print(cut("It's not to be, Yorick:  alas 1601!"))
same = cut(plays.train) == pretokenizer_pattern("gpt2").findall(plays.train)
claim("on 34 plays this expression cuts as the package's does", same, pieces=len(cut(plays.train)))

# %% [markdown]
# So the tokenizer is told what a word looks like: letters with one space in front. It is not told *which* words exist. The space belongs to the word after it,
# and joining all pieces gives the text back exactly.
#
# ## 5 · Byte-pair encoding
# **Byte-pair encoding** (BPE) builds a vocabulary from the bottom: it starts with single bytes and again and again joins the most
# frequent pair of neighbouring tokens into one new token. It was a method of data compression [3] before it was used for words [4] and bytes [2].
# A rule "join this left and this right token" is called a **merge**. The next merge is
# $$(a^*, b^*) = \arg\max_{(a,b)} \ \sum_{w} n_w \cdot \mathrm{count}_w(a\,b),$$
# where $n_w$ says how often word $w$ occurs.

# %% [markdown]
# ### One merge by hand
# A text consists of *the* (6 times), *then* (3), *he* (4) and *her* (2). All pairs of neighbours, with their counts:
#
# | pair | in *the* × 6 | in *then* × 3 | in *he* × 4 | in *her* × 2 | sum |
# |---|---|---|---|---|---|
# | t h | 6 | 3 | | | 9 |
# | h e | 6 | 3 | 4 | 2 | 15 |
# | e n | | 3 | | | 3 |
# | e r | | | | 2 | 2 |
#
# The pair h, e is the most frequent, so it is joined. The words are now written `t he`, `t he n`, `he` and `he r`. Which pair comes next? Predict, and
# then write the two steps as functions: count the pairs, and join one of them.

# %%
predict("04.hand", "Which pair is joined next?",
        ["t and h, 9 times", "t and he, 9 times", "he and n, 3 times", "e and n, 3 times"])  # fmt: skip

# %% exercise="04.1"

# %% exercise="04.2"

# %%
toy, toy_times = [list(word) for word in ("the", "then", "he", "her")], [6, 3, 4, 2]
for _ in range(3):
    counted = count_pairs(toy, toy_times)
    pair = max(counted, key=counted.get)
    toy = [merge(word, pair) for word in toy]
    print({f"{left} {right}": n for (left, right), n in counted.items()}, "->", *("·".join(word) for word in toy))
    if pair == ("t", "he"):
        resolve(
            "04.hand",
            "t and he, 9 times",
            "After the first merge h is no token of its own any more: t stands beside he.",
        )

# %% [markdown]
# The first line is the table from above. A merge changes the counts of its neighbours only: `t h` and `e n` disappear, `t he` and `he n` take their places.
#
# ### Training
# Now all of Hamlet: each different word once, as a list of single bytes, and beside it the number of times that it occurs. Which pair of bytes do you expect to be the most frequent?
# (Remember that a space belongs to the word after it.) `learn` repeats the two steps, counting and joining. The list of merges, in their order, is all that training produces.


# %%
def learn(words, times, n):
    merges = []
    for _ in range(n):
        counts = count_pairs(words, times)
        merges.append(max(counts, key=counts.get))
        words = [merge(word, merges[-1]) for word in words]
    return merges


frequency = Counter(cut(hamlet))
times, pieces = list(frequency.values()), [[bytes([byte]) for byte in word.encode()] for word in frequency]
counted = count_pairs(pieces, times)
print(f"{len(pieces):,} different words and signs in Hamlet; the first one in bytes: {pieces[0]}")
for pair in sorted(counted, key=counted.get, reverse=True)[:4]:
    print(f"{counted[pair]:6,} times {pair[0].decode()!r} + {pair[1].decode()!r}")

merges = learn(pieces, times, 60)
print("merges:", *[repr((left + right).decode()) for left, right in merges])

# %% [markdown]
# Space and t leads, because *the*, *to*, *that*, *this* and *thou* begin with it. The pair t and h, second at first, is not the second merge: once the first merge is done, most of these letters t belong to the token ` t`.
# From bytes, word boundaries and counts alone, ` the` is found as the tenth merge; ` you`, ` to`, ` and` and ` my` follow, and endings such as
# `ing` and `ed`. Nobody gave BPE a list of words. The last five merges spell the name of the character who speaks most. **Change it:** which tokens do the next
# forty merges bring?
#
# The package counts once and afterwards corrects only the words that contain the merged pair, which is faster. Does it learn the same merges?

# %%
package_merges = learn_merges(frequency, 256 + len(merges))
n = [ours == theirs for ours, theirs in zip(merges, package_merges, strict=True)].index(False)
words_then = pieces
for pair in merges[:n]:
    words_then = [merge(word, pair) for word in words_then]
tally, here, there = count_pairs(words_then, times), merges[n], package_merges[n]
claim("the merges equal the package's until two pairs are equally frequent", tally[here] == tally[there],
      equal=n, then_here=here, then_package=there, each_occurs=tally[here])  # fmt: skip

# %% [markdown]
# The first difference is a tie. Of two equally frequent pairs, this loop takes the one that it met first, and the package, like the library `tokenizers`, the one whose tokens
# come first in the vocabulary. Neither choice is better, but tokenizers that choose differently give different ids.
#
# ### Encoding
# To encode a new word, repeat the training on it: start with its bytes and apply every merge, in the order in which the merges were
# learned. The order matters, because a later merge often needs the result of an earlier one.

# %% exercise="04.3"


# %%
def draw(joined=60, text="To be, or not to be: that is the question."):
    tokens = [token.decode(errors="replace") for word in cut(text) for token in encode(word, merges[:joined])]
    return f"{len(text.encode())} bytes, {len(tokens)} tokens {colour_tokens(tokens)}"


def describe(joined, text):
    return f"The text in coloured tokens after {joined} merges: frequent beginnings and endings are one token."


interactive(draw, joined=(0, len(merges)), text="To be, or not to be: that is the question.", alt=describe)

# %% [markdown]
# Move the slider to see the tokens grow, and type your name into the box. An id is the place of a token in the vocabulary: first come the 256 bytes, then one new token
# for each merge.
#
# ### Decoding
# To turn ids back into text is easier, with one trap: a character of several bytes may be spread over several tokens.

# %% exercise="04.5"

# %%
vocabulary = [bytes([byte]) for byte in range(256)] + [left + right for left, right in merges]
id_of = {token: i for i, token in enumerate(vocabulary)}
for text in ("the café", "茶"):
    ids = [id_of[token] for word in cut(text) for token in encode(word, merges)]
    print(f"{text} -> {ids} -> {decode(ids, vocabulary)}; token by token {[decode([i], vocabulary) for i in ids]}")

# %% [markdown]
# The single bytes of é and 茶 are no text by themselves and are shown as �; together they are the character again. (The � that sometimes flashes by in a
# chat window is such a part of a character.)
#
# ## 6 · A real model's merges in your code
# SmolLM2 [18] was published with a list of 48,900 merges. It uses the same algorithm, with one change in pre-tokenization: every digit stands alone. So its
# merges can be put into `encode` of exercise 04.3 as they are. The first cell loads them, as pairs of bytes, and changes the regular expression for digits.
# The second cell compares with Hugging Face's `tokenizers`, the library for which this tokenizer was published: it gets the same list of merges, and everything else is its own work.

# %%
real = pretrained.load_tokenizer("smollm2-135m-instruct")
real_merges = [tuple(to_bytes(part) for part in line.split(" ")) for line in real.merges]
real_vocabulary = [real.token_bytes(i) for i in range(real.vocab_size)]
real_id = {token: i for i, token in enumerate(real_vocabulary)}
print("its first merges:", *[repr((left + right).decode()) for left, right in real_merges[:12]])
n_bytes = sum(len(token) == 1 for token in real_vocabulary)
print(
    f"{len(real_id):,} tokens: {n_bytes} bytes, {len(real.merges):,} merges, {len(real.special_tokens)} special tokens"
)

one_digit = GPT2.pattern.replace(r"[ ]?\d+", r"\d")
cut_digits = re.compile(one_digit.replace(r"(?!\S)", r"(?![^\s\d])"), re.VERBOSE).findall  # spaces before a digit too
print(cut_digits("In 1601 it cost  25"))

# %%
ready = tokenizers.pre_tokenizers
reference = tokenizers.Tokenizer(tokenizers.models.BPE(real.vocab, [tuple(line.split(" ")) for line in real.merges]))
reference.pre_tokenizer = ready.Sequence(
    [ready.Digits(individual_digits=True), ready.ByteLevel(add_prefix_space=False)]
)

sentence = "Unquestionably, 350 g of crème brûlée isn't tea: 茶, चाय, чай. 🍵"
ids = [real_id[token] for word in cut_digits(sentence) for token in encode(word, real_merges)]
print(ids)
claim("with SmolLM2's merges, exercise 04.3 gives the ids of the reference library",
      ids == reference.encode(sentence).ids, ids=len(ids))  # fmt: skip
claim("exercise 04.5 decodes them to the same sentence", decode(ids, real_vocabulary) == sentence)

# %% [markdown]
# The first merges resemble those from Hamlet. (21 of the 256 bytes have no token: most of them occur in no UTF-8 text, and the others are rare, such as some control characters.) The ids are equal, in four scripts and an emoji: the functions of the exercises do what SmolLM2's tokenizer does.
#
# But `encode` is slow, because each word goes through 48,900 merges, most of which change nothing. It is faster to look only at the pairs that are in the word,
# to apply the one that was learned first, and to repeat this until no pair is in the list. The *rank* of a merge is its place in the list.

# %%
rank = {pair: place for place, pair in enumerate(real_merges)}


def encode_by_rank(word, rank):
    tokens = [bytes([byte]) for byte in word.encode()]
    while known := [pair for pair in pairwise(tokens) if pair in rank]:
        tokens = merge(tokens, min(known, key=rank.get))
    return tokens


some = list(dict.fromkeys(cut_digits(macbeth)))[::200]
same = [encode_by_rank(word, rank) == encode(word, real_merges) for word in some]
ids = [real_id[token] for word in cut_digits(macbeth) for token in encode_by_rank(word, rank)]
claim("for every 200th word of Macbeth, encoding by rank gives the tokens of exercise 04.3", all(same), words=len(same))
claim(
    "for all of Macbeth it gives the ids of the reference library", ids == reference.encode(macbeth).ids, ids=len(ids)
)

# %% [markdown]
# From here on the package's `BPETokenizer` is used. It encodes by rank as well, and remembers the words that it has met.
#
# ## 7 · How large should a vocabulary be?
# A larger vocabulary needs fewer tokens for the same text. **Compression** is measured in bytes per token: the number of bytes
# of a text in UTF-8, divided by the number of its tokens. Bytes do not depend on the tokenizer, so tokenizers can be compared by this measure.

# %% exercise="04.4"

# %%
full = BPETokenizer.train(plays.train, 16_384)


def first(n):
    """The tokenizer as it was when it had n tokens: 256 bytes and n - 256 merges."""
    return BPETokenizer({name: i for name, i in full.vocab.items() if i < n}, full.merges[: n - 256])


alone = BPETokenizer.train(plays.train, 512)
claim(
    "a small vocabulary's merges are the first ones of a large vocabulary",
    alone.merges == first(512).merges,
    merges=256,
)
parts = {"by a half": 0.5, "by a third": 0.33, "by about 5 %": 0.05, "not at all": 0.0}
predict("04.size", "From 8,192 tokens to 16,384, the encoded text of unseen plays gets shorter", list(parts))

# %%
sizes = [256 * 2**k for k in range(7)]
carried = [bytes_per_token(plays.validation, first(n).encode(plays.validation)) for n in sizes]
curves(sizes, {"unseen plays": carried}, xlog=True, ylim=(0, 3.6), xlabel="tokens in the vocabulary",
       ylabel="compression (bytes per token)",
       alt="Bytes per token against the size of the vocabulary: 1 at 256 tokens, almost 2 at 512, then smaller and "
       "smaller steps to 3.3 at 16,384.")  # fmt: skip
saved = [1 - before / after for before, after in pairwise(carried)]
for n, part in zip(sizes[1:], saved, strict=True):
    print(f"{n:6,} tokens: {part:5.1%} shorter than with half as many; {128 * n:9,} parameters at width 128")
claim("each doubling saves less than the one before", saved == sorted(saved, reverse=True))
resolve("04.size", min(parts, key=lambda option: abs(parts[option] - saved[-1])),
        "Frequent pairs are merged first; later merges belong to rarer and rarer words and shorten the text less.")  # fmt: skip

# %% [markdown]
# Every token needs a vector of its own, a row of the model's embedding matrix. So each doubling of the vocabulary doubles that matrix and saves less and
# less. In practice the size is a compromise between the length of the sequences, the size of this matrix and the number of languages that are to be served. **Change it:** draw the curve for Austen's novels. Where would you stop?
#
# ### A tokenizer fits its corpus
# Three more corpora get a tokenizer with 4,096 tokens each, and every tokenizer encodes the validation text of every corpus. The last row is SmolLM2's tokenizer,
# whose vocabulary is twelve times as large. Its model was trained on web pages, code and mathematics [18].

# %%
corpora = ["shakespeare", "austen", "bible", "recipes"]
ours = {name: BPETokenizer.train(load(name).train, 4096) for name in corpora[1:]}
readers = {"shakespeare": first(4096)} | ours | {f"SmolLM2 ({real.vocab_size:,})": real}
texts = [load(name).validation for name in corpora]
score = [[bytes_per_token(text, reader.encode(text)) for text in texts] for reader in readers.values()]
heatmap(score, list(readers), corpora, digits=2, vmin=2, xlabel="text", ylabel="tokenizer",
        colorbar_label="bytes per token",
        alt="Bytes per token, tokenizers by texts. Among the four small ones the diagonal is brightest: each "
        "compresses its own kind of text best. SmolLM2 is good everywhere, but second on recipes.")  # fmt: skip
best = [max(range(4), key=lambda row: score[row][i]) for i in range(4)]
claim("of the small tokenizers each compresses its own kind of text best", best == [0, 1, 2, 3])
claim("on recipes, 4,096 tokens learned from recipes compress better than SmolLM2's 49,152", score[3][3] > score[4][3],
      recipes=f"{score[3][3]:.2f}", SmolLM2=f"{score[4][3]:.2f}")  # fmt: skip

# %% [markdown]
# A tokenizer suits the data that it was trained on: a vocabulary made for recipes needs fewer tokens for them than a general one of twelve times the size.
# Elsewhere the larger one wins.
#
# ## 8 · Two other subword tokenizers
# ### WordPiece
# **WordPiece** is the subword tokenizer of BERT [6]: it is trained by merges like BPE, but prefers pairs whose parts occur together more often than their own
# frequencies suggest, and it encodes by taking the longest known piece from the left. The paper joins the pair that makes the training text most probable [5]; its code was never published.
# A common simplification is the score [7]
# $$\mathrm{score}(a, b) = \frac{\mathrm{count}(ab)}{\mathrm{count}(a)\,\mathrm{count}(b)},$$
# while BPE uses the numerator alone. Both criteria on Hamlet's bytes, for pairs that occur at least 20 times:

# %%
alone = Counter()
for word, number in zip(pieces, times, strict=True):
    alone.update({token: number * word.count(token) for token in set(word)})
likelier = {(a, b): n / (alone[a] * alone[b]) for (a, b), n in counted.items() if n >= 20}
for name, measure in {"BPE, most frequent": counted, "WordPiece, best score": likelier}.items():
    print(f"{name:22}", *(repr((a + b).decode()) for a, b in sorted(measure, key=lambda ab: (-measure[ab], ab))[:10]))

# %% [markdown]
# BPE begins with what is frequent, WordPiece with signs that rarely occur without each other, such as Q and U or two dashes.
#
# Encoding with WordPiece needs no merges, only the vocabulary. A piece that continues a word is written with `##`. If no piece fits at some place, the whole word becomes `[UNK]`.
# The model MiniLM, which comes with this course, uses BERT's vocabulary of 30,522 pieces.


# %%
def wordpiece(word, vocabulary):
    found, start = [], 0
    while start < len(word):
        prefix = "##" if start else ""
        ends = [end for end in range(len(word), start, -1) if prefix + word[start:end] in vocabulary]
        if not ends:
            return ["[UNK]"]
        found.append(prefix + word[start : ends[0]])
        start = ends[0]
    return found


bert = {token: i for i, token in enumerate(pretrained.load_tokenizer("minilm-l6").tokens)}
library = tokenizers.models.WordPiece(bert, unk_token="[UNK]", max_input_chars_per_word=100)
lowered = sorted(set(re.findall(r"[a-z]+", macbeth.lower())))
same = [wordpiece(word, bert) == [token.value for token in library.tokenize(word)] for word in lowered]
print(wordpiece("unquestionably", bert), wordpiece("dunsinane", bert), wordpiece("tea🍵", bert))
claim("this function cuts Macbeth's words as the reference library does", all(same), words=len(same))

# %% [markdown]
# ### Unigram
# **Unigram** is a subword tokenizer that gives every piece a probability and writes a word in the most probable way; its training starts with too many pieces and
# removes the least useful ones [8]. **SentencePiece** is a library that trains Unigram and BPE tokenizers on raw text and treats the space as an ordinary character [9].
#
# One way to cut a word into pieces $x_1 \dots x_m$ is called a *segmentation*. Unigram takes its pieces as independent:
# $$P(x_1 \dots x_m) = \prod_{i=1}^m p(x_i), \qquad \sum_{x \in V} p(x) = 1.$$
# The probability of a word is the sum over all its segmentations. The example has five pieces, with probabilities that add up to 1:


# %%
def segmentations(word, p):
    """Every way to write `word` with the pieces of `p`."""
    if not word:
        yield []
    for end in range(1, len(word) + 1):
        if word[:end] in p:
            yield from ([word[:end], *rest] for rest in segmentations(word[end:], p))


def weigh(word, p):
    """All segmentations with their probabilities, the most probable first."""
    return sorted(((math.prod(p[piece] for piece in way), way) for way in segmentations(word, p)), reverse=True)


for probability, way in weigh("her", {"h": 0.1, "e": 0.3, "r": 0.1, "he": 0.3, "er": 0.2}):
    print(f"{'·'.join(way):6} {probability:.3f}")

# %% [markdown]
# But where do the probabilities come from? They are learned by **expectation-maximization** (EM), which alternates two steps: with the present probabilities, compute how often each
# piece is expected to be used; then make these expected counts the new probabilities. Such a step never makes the training words less probable.
#
# Training starts with every frequent run of up to six characters and alternates EM with pruning, until 500 pieces are left. To keep it short we take the 2,500 most frequent
# words of Hamlet that have at most eight small letters and no other signs.


# %%
def em_step(words, p):
    """New probabilities, and the mean log-probability of a word under the old ones."""
    expected, log_probability = Counter(), 0.0
    for word, number in words.items():
        weighed = weigh(word, p)
        total = sum(probability for probability, _ in weighed)
        log_probability += number * math.log(total)
        for probability, way in weighed:
            for piece in way:
                expected[piece] += number * probability / total
    return {piece: n / expected.total() for piece, n in expected.items()}, log_probability / sum(words.values())


def prune(p, n):
    """The single characters and the most probable longer pieces, `n` in all."""
    kept = sorted(p, key=lambda piece: (len(piece) == 1, p[piece]), reverse=True)[:n]
    total = sum(p[piece] for piece in kept)
    return {piece: p[piece] / total for piece in kept}


# %%
words = dict([(w, n) for w, n in frequency.most_common() if re.fullmatch(" [a-z]{1,8}", w)][:2500])
runs = Counter()
for word, number in words.items():
    for i in range(len(word)):
        runs.update({word[i:j]: number for j in range(i + 1, min(len(word), i + 6) + 1)})
p, gains, unigrams = prune({run: n for run, n in runs.items() if n >= 20 or len(run) == 1}, 10**6), [], {}
for n in (1400, 1000, 700, 500, 500):
    p, before = em_step(words, p)
    p, after = em_step(words, p)
    gains.append(after - before)
    unigrams[len(p)] = p  # kept at every size
    print(f"{len(p):5,} pieces ≈ log-probability of a word {before:.3f}, after an EM step {after:.3f}")
    p = prune(p, n)
claim("with the set of pieces fixed, an EM step makes the words more probable", min(gains) > 0, gains=gains)

# %% [markdown]
# Down to 1,000 pieces, EM gains more than the pruning loses. From 700 pieces on it is the other way round: too few long pieces are left. The published algorithm differs in two points. It removes the pieces
# without which the probability of the text falls least, and not simply the improbable ones. And it does not list all segmentations, of which a word of T characters has up to $2^{T-1}$: it finds the expected counts and the best
# segmentation by dynamic programming [8].
#
# Now BPE learns equally many pieces from the same words, and both encode words of *Macbeth* that they have not seen, at each of the five sizes.
# The percentage says which share of the word's probability the best segmentation has.


# %%
def bpe_ranks(kept):  # BPE from the same words, with as many tokens of more than one character as there are in `kept`
    return {pair: i for i, pair in enumerate(learn_merges(words, 256 + sum(len(piece) > 1 for piece in kept)))}


small, ranks = unigrams[500], bpe_ranks(unigrams[500])
for word in (" darkness", " kindness", " witches"):
    total, (best, way) = sum(chance for chance, _ in weigh(word, small)), weigh(word, small)[0]
    print(f"BPE {b'|'.join(encode_by_rank(word, ranks)).decode():13} Unigram {'|'.join(way):13} ≈ {best / total:.0%}")

new = {w: n for w, n in Counter(cut(macbeth)).items() if re.fullmatch(" [a-z]{1,8}", w) and w not in words}
new = {w: n for w, n in new.items() if set(w) <= set(small)}  # a letter that no training word has cannot be spelled
of_bpe, of_unigram = [], []
for kept in unigrams.values():
    ranks = bpe_ranks(kept)
    of_bpe.append(sum(n * len(encode_by_rank(word, ranks)) for word, n in new.items()) / sum(new.values()))
    of_unigram.append(sum(n * len(weigh(word, kept)[0][1]) for word, n in new.items()) / sum(new.values()))
curves(list(unigrams), {"BPE": of_bpe, "Unigram": of_unigram}, xlabel="pieces in the vocabulary",
       ylabel="tokens per new word",
       alt="Tokens per new word against the number of pieces, from 500 to about 1,500. Both curves fall and lie close "
       "together; Unigram's is lower up to 1,000 pieces, BPE's above that.")  # fmt: skip
ratios = [a / b for a, b in zip(of_bpe, of_unigram, strict=True)]
claim("on new words BPE and Unigram differ in length by less than 6 % at each of five sizes, and which of them is "
      "shorter depends on the size", max(abs(ratio - 1) for ratio in ratios) < 0.06 and min(ratios) < 1 < max(ratios),
      words=len(new), BPE_by_Unigram=ratios)  # fmt: skip

# %% [markdown]
# In length there is no clear winner: with few pieces Unigram is shorter, with many BPE.
#
# A study with larger models found that Unigram's pieces agree better with prefixes, stems and endings, and that models pretrained with it did a little better on later tasks [10]. And since Unigram knows several
# segmentations of a word, one can be drawn anew each time that the word is read: this is called **subword regularization**, and it makes models more robust [8]. Most large models nevertheless use byte-level BPE.
#
# ## 9 · What goes wrong
# ### Letters and numbers
# Many chat models have miscounted the letters r in *strawberry*. You see letters; the model gets ids. The cell also shows numbers: the recipes' tokenizer joins digits by frequency, as it joins letters.

# %%
for word in ["strawberry", " strawberry", "Strawberry", "STRAWBERRY"]:
    print(f"{word!r:14} {real.pieces(word)} {real.encode(word)}")
for number in [" 349", " 350", " 351", " 12345"]:
    print(f"{number!r:14} recipes {ours['recipes'].pieces(number)!s:22} SmolLM2 {real.pieces(number)}")
whole = [all(len(reader.encode(str(n))) == len(str(n)) for n in range(1000)) for reader in (real, ours["recipes"])]
claim("SmolLM2 gives every digit a token of its own, the recipes' tokenizer does not", whole == [True, False])

# %% [markdown]
# With a space in front, *strawberry* is the single id 35199, and nothing in that number says how it is spelled. What a model knows about spelling it must
# learn from text *about* spelling.
#
# 350 is a frequent oven temperature and is one token; 351 is `35` and `1`, and 349 is three digits. In GPT-3.5 and GPT-4, whose tokens hold up to three digits, the way
# in which digits were grouped changed how often sums were right [19]. SmolLM2 takes every digit alone, as Llama 2 does [11].
#
# ### The space at the end
# In SmolLM2 the space before a word belongs to the word's token. When does a space become a token of its own, and what follows it then?

# %%
bible_ids, space = real.encode(load("bible").train), real.encode(" ")[0]
after = Counter(real.token_bytes(b).decode() for a, b in pairwise(bible_ids) if a == space)
print(after.most_common())
claim("in 71 books of the Bible, only digits follow SmolLM2's lone space", all(map(str.isdigit, after)),
      spaces=after.total())  # fmt: skip
predict("04.space", 'SmolLM2 continues "The capital of France is" with Paris. And with one more space at the end?',
        ["with Paris", "with another city", "with a number"])  # fmt: skip

# %%
model, _ = pretrained.load("smollm2-135m-instruct")
digit_ids = [real.encode(digit)[0] for digit in "0123456789"]


@torch.no_grad()
def probability_of_digit(prompt):
    return model(torch.tensor([real.encode(prompt)]))[0, -1].softmax(-1)[digit_ids].sum().item()


for prompt in ["The capital of France is", "The capital of France is "]:
    print(repr(prompt), "≈", repr(generate(model, real, prompt, max_new_tokens=6, temperature=0)))
prompts = ["The capital of France is", "My favourite colour is", "She opened the door and saw"]
bare, spaced = ([probability_of_digit(prompt + end) for prompt in prompts] for end in ("", " "))
claim("after three prompts a digit is improbable, and with one more space more probable than all else together",
      max(bare) < 0.1 and min(spaced) > 0.5, without=bare, with_space=spaced)  # fmt: skip
resolve(
    "04.space",
    "with a number",
    "As in the Bible, a lone space stands before digits; letters bring their space with them.",
)

# %% [markdown]
# The prompt ended in a token that, if the training text was cut like the Bible above, hardly ever stood before letters. So do not end a prompt with a space. **Change it:** try *To be, or not to*, with
# and without a space at the end.
#
# ### Other languages
# Here is one polite sentence, asking for tea and bread, in ten languages. The **token premium** of a language is the number of tokens that a text needs in it, divided by the number that the same text needs in English [12].

# %%
order = {
    "English": "I would like a cup of tea and some bread, please.", "Chinese": "请给我一杯茶和一些面包。",
    "Spanish": "Quisiera una taza de té y un poco de pan, por favor.", "Japanese": "お茶を一杯とパンを少しお願いします。",
    "German": "Ich hätte gern eine Tasse Tee und etwas Brot, bitte.",
    "Hindi": "कृपया मुझे एक कप चाय और थोड़ी रोटी दीजिए।",
    "Turkish": "Bir fincan çay ve biraz ekmek istiyorum, lütfen.", "Arabic": "أريد كوبًا من الشاي وبعض الخبز، من فضلك.",
    "Russian": "Я хотел бы чашку чая и немного хлеба, пожалуйста.",
    "Tamil": "எனக்கு ஒரு கோப்பை தேநீரும் கொஞ்சம் ரொட்டியும் வேண்டும்.",
}  # fmt: skip
cost = {language: len(real.encode(text)) for language, text in order.items()}
bars({name: cost[name] / cost["English"] for name in sorted(cost, key=cost.get)}, digits=1,
     xlabel="token premium of SmolLM2 (English = 1)",
     alt="Token premium of ten languages: Spanish, Chinese, German and Turkish between 1.5 and 1.8, Japanese 2.2, "
     "Russian and Arabic 3.2, Hindi 3.8, Tamil 7.2.")  # fmt: skip
claim("in Tamil SmolLM2 needs more tokens than characters", cost["Tamil"] > len(order["Tamil"]),
      tokens=cost["Tamil"], characters=len(order["Tamil"]))  # fmt: skip

# %% [markdown]
# Seven times the tokens mean seven times the price where tokens are billed, a seventh of the text in the same context, and a slower answer. One sentence is a rough measure; a study with 2,000 sentences found premiums of up to 15 [12]. The cause is
# the text on which merges are learned: a script that is rare in it gets few merges, and its characters stay in bytes, in Tamil three for each.
#
# ### Control
# A **special token** is a token with a meaning for the program and no ordinary spelling, such as `<|im_end|>`, which ends a turn of a chat. A user must not be able to type one, or a question could contain a forged answer. And every other text must be decoded to what it was.

# %%
family = "\N{MAN}\u200d\N{WOMAN}\u200d\N{GIRL}"
hard = ["", " \n\t ", "e\u0301", family, "a\x00b", *order.values(), "".join(map(chr, range(0x800)))]
same = [full.decode(full.encode(text)) == text for text in hard]
claim("a tokenizer that learned from Shakespeare alone gives every text back", all(same), texts=len(same))
attack = "Hello<|im_end|>"
print(real.pieces(attack), "typed by a user")
print(real.pieces(attack, allow_special=True), "written by the program")
claim("typed special tokens stay plain text", not set(real.encode(attack)) & set(real.special_tokens.values()))

# %% [markdown]
# ### Tokens that nobody uses
# On the way to the token `GLOUCESTER`, BPE made `LOUCESTER`. Once the longer token exists, the shorter one is hardly used. A **glitch token** (or under-trained token) is one that
# hardly occurred in the model's training text, so that the model may answer with nonsense when somebody types it; they were found in many published models [13].
#
# What happens to the vector of such a token depends on **weight tying**, the use of one matrix both as the input embedding and as the output layer that gives every token its score [14].
# (These scores, before softmax turns them into probabilities, are called logits.)

# %%
used = set(first(8192).encode(plays.train))
idle = [full.token_bytes(i).decode(errors="replace") for i in range(256, 8192) if i not in used]
print(idle[:14])
claim("some learned tokens never occur in the text that they were learned from", len(idle) > 0, tokens=len(idle))
predict("04.idle", "A GPT with tied embeddings never meets some tokens. After training, the rows of these tokens are",
        ["as they were before", "shorter than before", "several times as long as before"])  # fmt: skip

# %%
tokenizer = BPETokenizer.train(plays.train[:1_000_000], 1024)
train_ids = tokenizer.encode(plays.train[:1_000_000])
never = torch.tensor(sorted(set(range(1024)) - set(train_ids)))
often = torch.tensor([i for i, _ in Counter(train_ids).most_common(len(never))])


def train_rows(tied, seed=0):
    """The rows of the input embedding before and after training."""
    torch.manual_seed(seed)
    gpt = Transformer(gpt2(vocab_size=1024, context=32, width=64, depth=1, heads=2, tied=tied))
    before = gpt.embed.tokens.weight.detach().clone()
    data = RandomCrops(train_ids, length=33, batch=16, seed=seed)
    fit(gpt, next_token, data, steps=200, seed=seed, progress=False)
    return before, gpt.embed.tokens.weight.detach()


(start, tied), (_, untied) = train_rows(tied=True), train_rows(tied=False)
print(len(never), "of 1,024 tokens never occur; most of them are single bytes")


# %%
def summarize(rows):
    """Mean length of the rows, and their mean cosine with one another."""
    unit, n = torch.nn.functional.normalize(rows, dim=1), len(rows)
    return rows.norm(dim=1).mean().item(), ((unit @ unit.T).sum().item() - n) / (n * (n - 1))


groups = {"before training": start[never], "tied": tied[never], "untied": untied[never], "frequent, tied": tied[often]}
for name, rows in groups.items():
    length, cosine = summarize(rows)
    print(f"{name:15} ≈ length {length:.2f}, cosine with one another {round(cosine, 2) + 0:.2f}")
seeds = [run["tied_length"] for run in table("lesson_04")["runs"]]
(length, cosine), (at_first, _) = summarize(tied[never]), summarize(start[never])
claim("with tied embeddings, rows of unused tokens grow to more than three times their length", length > 3 * at_first,
      band=(min(seeds), max(seeds)), length=length, at_first=at_first)  # fmt: skip
claim(
    "they point in one direction; the rows of frequent tokens do not", cosine > 0.9 and summarize(tied[often])[1] < 0.3
)
claim("without tying they stay exactly as they were", torch.equal(untied[never], start[never]))
resolve("04.idle", "several times as long as before",
        "Tied, they are rows of the output layer too: each step moves them away from the hidden state.")  # fmt: skip

# %% [markdown]
# Let $h$ be the hidden state, the vector that the output layer receives at some position. The logit of token $v$ is $w_v \cdot h$, its probability is $p_v$, and the gradient of the cross-entropy with respect to the output row is
# $$\frac{\partial \mathcal L}{\partial w_v} = \big(p_v - [v = \text{target}]\big)\, h .$$
# For a token that is never the target the bracket is just $p_v$, so every step moves $w_v$ along $-h$, and all such rows alike. AdamW, used here, divides by the gradient's size, so that small gradients
# move a row far, too; plain gradient descent would move it less. An untied input row gets no gradient and keeps its random initial values.
#
# SmolLM2 ties its embeddings. Which of its rows are the longest?

# %%
matrix = model.embed.tokens.weight.detach()
order_of_length = matrix.norm(dim=1).argsort(descending=True).tolist()
longest = [i for i in order_of_length if i not in real.special_tokens.values()][:100]
draws = [torch.randperm(real.vocab_size, generator=torch.Generator().manual_seed(n))[:100].tolist() for n in range(20)]
print("longest rows:", [real.token_bytes(i).decode(errors="replace") for i in longest[:12]])
seen = set(bible_ids) | set(real.encode(plays.train)) | set(real.encode(load("austen").train))
n_longest, *n_drawn = [sum(i in seen for i in group) for group in [longest, *draws]]
claim("in three corpora fewer of the 100 longest rows are used than of 100 drawn at random, in each of 20 draws",
      n_longest < min(n_drawn), longest=n_longest, fewest_in_a_draw=min(n_drawn), most_in_a_draw=max(n_drawn))  # fmt: skip
share = matrix.numel() / sum(weight.numel() for weight in model.parameters())
claim("more than a fifth of SmolLM2-135M's parameters are its embedding matrix", share > 0.2, share=share)

# %% [markdown]
# The longest rows are beginnings such as ` strugg` and ` affili`: steps on the way to *struggle* and *affiliate*, which nobody writes alone. (Length alone finds only some of them: a rare word may have a long row, too.) Programs that search for glitch tokens compare every row of the output layer with the rows of tokens that are known to be unused [13].
#
# ## 10 · What real systems do
# | System | Tokens | Kind |
# |---|---|---|
# | BERT [6] | 30,000 in the paper, 30,522 as published | WordPiece |
# | GPT-2 [2] | 50,257 = 256 bytes + 50,000 merges + 1 special token | byte-level BPE |
# | T5 [15] | 32,000 | Unigram in the published files, by SentencePiece |
# | ByT5 [16] | 256 bytes and some special tokens | no merges: a byte is a token |
# | Llama 2 [11] | 32,000 | BPE, by SentencePiece, digits alone |
# | Llama 3 [17] | 128,000, of which 28,000 for languages other than English | byte-level BPE |
# | SmolLM2 [18] | 49,152 = 235 bytes + 48,900 merges + 17 special tokens | byte-level BPE, digits alone |

# %%
quiz("04.q1", "You replace a trained model's tokenizer by a better one of the same size. What happens?", {
    "It answers faster": "Sequences may be shorter, but to the model every id still means the old token.",
    "It writes nonsense": "Id 260 was ` the` and is now another piece, while row 260 still means ` the`. "
    "Tokenizer and model belong together.",
    "Nothing": "Ids are rows of the embedding matrix: with the same ids for other pieces, no row fits any more.",
}, answer="It writes nonsense")  # fmt: skip
quiz("04.q2", "256 bytes can write every text. Why do most models have tens of thousands of tokens?", {
    "Bytes cannot hold Chinese": "They can, three to a character: UTF-8 holds every script.",
    "Shorter sequences": "Three or four bytes to a token: a third or a quarter of the steps for the same text.",
    "Models need whole words": "ByT5 reads bytes and does well (Xue et al. 2022). It pays with longer sequences.",
}, answer="Shorter sequences")  # fmt: skip
quiz("04.q3", "Merges, in order: b+c, then a+b. How is abc encoded?", {
    "ab, c": "That follows the order in the word. But b+c was learned first.",
    "a, bc": "b+c was learned first and takes the b; then a+b finds no pair.",
    "abc": "No merge makes it: only pairs in the list are ever joined.",
}, answer="a, bc")  # fmt: skip

# %% [markdown]
# ## Summary
# - Characters and bytes make long sequences, and a list of words is never complete. Subwords are a compromise.
# - BPE joins the most frequent pair again and again. It consists of pre-tokenization and an ordered list of merges.
# - WordPiece and Unigram choose their pieces by other criteria. Unigram's sequences were about as long as BPE's at each of five sizes.
# - Each doubling of a vocabulary doubles the embedding matrix and saves less. A vocabulary fits its corpus.
# - Many failures with letters, numbers, spaces and languages begin in the tokenizer.
#
# **Where next:** [05 · Attention and the Transformer](05_attention_and_the_transformer.ipynb), which computes with such ids. A paper to read is [4], which brought BPE to
# machine translation. A library to know is `tokenizers`: <https://huggingface.co/docs/tokenizers>.

# %% [markdown]
# ## References
# - [1] G. K. Zipf, *Human Behavior and the Principle of Least Effort*, Addison-Wesley 1949. <https://archive.org/details/in.ernet.dli.2015.90211>
# - [2] A. Radford et al., *Language Models are Unsupervised Multitask Learners*, OpenAI 2019, section 2.2. <https://cdn.openai.com/better-language-models/language_models_are_unsupervised_multitask_learners.pdf>
# - [3] P. Gage, *A New Algorithm for Data Compression*, The C Users Journal 1994. <http://www.pennelynn.com/Documents/CUJ/HTML/94HTML/19940045.HTM>
# - [4] R. Sennrich, B. Haddow, A. Birch, *Neural Machine Translation of Rare Words with Subword Units*, ACL 2016. <https://arxiv.org/abs/1508.07909>
# - [5] M. Schuster, K. Nakajima, *Japanese and Korean Voice Search*, ICASSP 2012. <https://doi.org/10.1109/ICASSP.2012.6289079>
# - [6] J. Devlin, M.-W. Chang, K. Lee, K. Toutanova, *BERT: Pre-training of Deep Bidirectional Transformers for Language Understanding*, NAACL 2019, section 3. <https://arxiv.org/abs/1810.04805>
# - [7] Hugging Face, *LLM Course, chapter 6: WordPiece tokenization*, 2022. <https://huggingface.co/learn/llm-course/chapter6/6>
# - [8] T. Kudo, *Subword Regularization: Improving Neural Network Translation Models with Multiple Subword Candidates*, ACL 2018. <https://arxiv.org/abs/1804.10959>
# - [9] T. Kudo, J. Richardson, *SentencePiece: A simple and language independent subword tokenizer and detokenizer for Neural Text Processing*, EMNLP 2018. <https://arxiv.org/abs/1808.06226>
# - [10] K. Bostrom, G. Durrett, *Byte Pair Encoding is Suboptimal for Language Model Pretraining*, Findings of EMNLP 2020. <https://arxiv.org/abs/2004.03720>
# - [11] H. Touvron et al., *Llama 2: Open Foundation and Fine-Tuned Chat Models*, 2023, section 2.2. <https://arxiv.org/abs/2307.09288>
# - [12] A. Petrov, E. La Malfa, P. Torr, A. Bibi, *Language Model Tokenizers Introduce Unfairness Between Languages*, NeurIPS 2023. <https://arxiv.org/abs/2305.15425>
# - [13] S. Land, M. Bartolo, *Fishing for Magikarp: Automatically Detecting Under-trained Tokens in Large Language Models*, EMNLP 2024. <https://arxiv.org/abs/2405.05417>
# - [14] O. Press, L. Wolf, *Using the Output Embedding to Improve Language Models*, EACL 2017. <https://arxiv.org/abs/1608.05859>
# - [15] C. Raffel et al., *Exploring the Limits of Transfer Learning with a Unified Text-to-Text Transformer*, JMLR 2020. <https://arxiv.org/abs/1910.10683>
# - [16] L. Xue et al., *ByT5: Towards a Token-Free Future with Pre-trained Byte-to-Byte Models*, TACL 2022. <https://arxiv.org/abs/2105.13626>
# - [17] A. Grattafiori et al., *The Llama 3 Herd of Models*, 2024, section 3.2. <https://arxiv.org/abs/2407.21783>
# - [18] L. Ben Allal et al., *SmolLM2: When Smol Goes Big – Data-Centric Training of a Small Language Model*, 2025. <https://arxiv.org/abs/2502.02737>
# - [19] A. K. Singh, D. J. Strouse, *Tokenization Counts: The Impact of Tokenization on Arithmetic in Frontier LLMs*, 2024. <https://arxiv.org/abs/2402.14903>

# %% tags=["nbval-ignore-output"]
progress("04")
