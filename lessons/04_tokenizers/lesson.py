# %% [raw]
# builds = "byte-pair encoding, until it equals the real one"
# [reads]
# "fmcourse.tokenizers.bpe" = ["pretokenizer_pattern", "learn_merges", "PairCounts", "merge_pair", "BPETokenizer"]

# %% [markdown]
# # 04 · Tokenizers
# **You will teach a program to read, from single bytes to 16,384 tokens learnt from Shakespeare, and see why a language
# model cannot count the letters of *strawberry*.**
#
# 60 minutes to read and do · about 45 seconds to compute · you need Python's lists and dicts, and no other lesson.

# %% [markdown]
# **Afterwards you can**
# - say what characters, words and bytes each cost;
# - build byte-pair encoding, the tokenizer of nearly every language model, and train it;
# - measure compression, and choose a vocabulary by it;
# - explain three famous failures without blaming the model.

# %%
import re
import time
from collections import Counter
from itertools import pairwise

import matplotlib.pyplot as plt
from fmcourse import pretrained
from fmcourse.course import check, claim, hint, predict, progress, quiz, show, solution
from fmcourse.data import load
from fmcourse.plots import bars, heatmap
from fmcourse.plots.widgets import colour_tokens, interactive, text_interactive
from fmcourse.tokenizers import BPETokenizer, CharTokenizer
from fmcourse.tokenizers.bpe import learn_merges, pretokenizer_pattern, to_letters

plays = load("shakespeare")
hamlet = plays.works["Hamlet"].text
print(hamlet[15:].lstrip()[:176])

# %% [markdown]
# ## 1 · Characters
# A network multiplies numbers. It has never met a letter. So text must become whole numbers first, *tokens*, and numbers
# text again afterwards. The plainest way: number the alphabet.

# %%
letters = CharTokenizer.train(plays.train)
print(letters.vocab_size, "tokens:", repr(letters.tokens))
print("To be ->", letters.encode("To be"))

# %% [markdown]
# Thirty-four plays, 78 characters. Space is 1, `e` is 56. The numbers are names, not sizes: `e` is no larger than `T`, as
# house 56 is no better than house 45.
#
# Now something that Shakespeare never wrote.

# %%
try:
    letters.encode("Café")
except ValueError as error:
    print(error)

# %% [markdown]
# Two faults, then. A character from outside is a wall. And sequences are long: a model that looks back 64 tokens sees
# 64 letters, a line and a half of verse. Hamlet forgets the question while he puts it.
#
# ## 2 · Words
# So let a token be a word! Cut at spaces and signs, ignore capitals, number what is found.

# %%
predict(
    "04.words",
    "34 plays hold about a million words and signs. How many different ones?",
    ["about 2,500", "about 7,500", "about 22,500"],
)

# %%
words = lambda text: re.findall(r"\w+|[^\w\s]", text.lower())
counts = Counter(words(plays.train))
once = sum(number == 1 for number in counts.values())
print(f"{counts.total():,} words, {len(counts):,} different; {once:,} of these stand there once")

# %%
ranked = counts.most_common()
fig, ax = plt.subplots()
ax.loglog(range(1, len(ranked) + 1), [number for _, number in ranked])
for word in ["the", "love", "sword", "monarchy"]:
    rank = [name for name, _ in ranked].index(word) + 1
    ax.plot(rank, counts[word], "ko")
    ax.annotate(f"{word}, {counts[word]:,}", (rank, counts[word]), (6, 4), textcoords="offset points")
ax.set(xlabel="rank of the word (1 = commonest)", ylabel="times in 34 plays")
show(fig, alt="On logarithmic axes an almost straight line falls from tens of thousands of times for the "
     "commonest words to once; the words that stand there once fill the long flat end.")  # fmt: skip

# %% [markdown]
# Few words do nearly all the work, and the tail never ends (Zipf's law). More than a third of these entries
# would be trained on a single example. Worse is to come: two plays were kept back.

# %%
unseen = words(plays.validation)
strangers = [word for word in unseen if word not in counts]
share = len(strangers) / len(unseen)
print(*sorted(set(strangers), key=lambda word: (-len(word), word))[:8], sep=", ")
claim("a vocabulary of 22,000 words cannot read 3 in 100 words of his other plays", share > 0.03,
      strangers=len(strangers), of=len(unseen), different=len(set(strangers)), share=share)  # fmt: skip

# %% [markdown]
# Each becomes `[UNK]`, "something stood here". *Assassination* is one, in Macbeth of all plays, and so is *Macbeth*. That
# makes for a dull tragedy. Yet you read *unseasonably* with ease, from its parts.

# %% [markdown]
# ## 3 · Bytes
# The other way: every text in a computer is bytes already, of 256 kinds. UTF-8 gives English letters one byte each, and
# the rest of mankind two, three or four.

# %%
teas = {"English": "tea", "French": "thé", "Russian": "чай", "Hindi": "चाय", "Chinese": "茶"}
for language, tea in teas.items():
    print(f"{language:8} {len(tea)} characters, {len(tea.encode())} bytes: {list(tea.encode())}")

# %% [markdown]
# Nothing is unknown any more, in any script. But sequences are longer still, longest for Hindi; keep an eye on that.
#
# ## 4 · Byte-pair encoding
# Bytes' safety at words' length, by an old trick (Gage 1994; for words Sennrich et al. 2016, for bytes Radford et al. 2019):
# **begin with bytes. Join the commonest neighbours into one new token. Repeat.**

# %%
predict(
    "04.first",
    "Which neighbours meet most often in Hamlet? (A space belongs to the word behind it.)",
    ["t and h", "space and t", "h and e", "e and r"],
)

# %% [markdown]
# Text is cut first, so that no token will ever straddle two words: otherwise `of the` would be learnt, and `of them`, and
# thousands like them. GPT-2's rule keeps the space with the word that follows:

# %%
cut = pretokenizer_pattern("gpt2").findall
print(cut("It's not to be, Yorick:  alas 1601!"))
table = Counter(cut(hamlet))
pieces, times = [[bytes([byte]) for byte in word.encode()] for word in table], list(table.values())
print(f"{len(pieces):,} different words in Hamlet; the first: {pieces[0]}")

# %% exercise="04.1"

# %%
counted = count_pairs(pieces, times)
best = sorted(counted, key=counted.get, reverse=True)[:10]
fig, ax = plt.subplots()
ax.barh([f"{left.decode()!r} {right.decode()!r}" for left, right in best], [counted[pair] for pair in best])
ax.invert_yaxis()
ax.set(xlabel="times in Hamlet", ylabel="neighbours")
show(fig, alt="The ten commonest pairs of bytes in Hamlet as bars: space and t leads, "
     "then t and h, then h and e.")  # fmt: skip

# %% [markdown]
# Space and t, because English is full of *the*, *to*, *that*, *this*. Such a beginning deserves a token of its own. So
# wherever these two meet, let them become one.

# %% exercise="04.2"

# %% [markdown]
# That is all there is. Training is your two functions in a loop:


# %%
def learn(words, times, n):
    merges = []
    for _ in range(n):
        counts = count_pairs(words, times)
        merges.append(max(counts, key=counts.get))
        words = [merge(word, merges[-1]) for word in words]
    return merges


began = time.perf_counter()
merges = learn(pieces, times, 60)
slow = time.perf_counter() - began
print(*[repr((left + right).decode()) for left, right in merges])

# %% [markdown]
# It has never heard of words, yet ` the` is its tenth find, and ` you`, ` and`, ` my` follow. (No linguist is in the loop;
# opinions differ on whether that is a pity.) With the last five it spells out who speaks most in this play. **Change it:** what do the next
# forty bring?

# %%
began = time.perf_counter()
theirs = learn_merges(table, 256 + len(merges))
quick = time.perf_counter() - began
claim("recounting everything after each merge costs time", slow > quick, yours=slow, package=quick)

parted = [yours == package for yours, package in zip(merges, theirs, strict=True)].index(False)
then = pieces
for pair in merges[:parted]:
    then = [merge(word, pair) for word in then]
tally, yours, package = count_pairs(then, times), merges[parted], theirs[parted]
claim("your merges are the package's, until two pairs stand there equally often",
      tally[yours] == tally[package], alike=parted, then_yours=yours, package=package, times_each=tally[yours])  # fmt: skip

# %% [markdown]
# The package counts once, then corrects only the words that hold the pair. The parting is a tie: yours takes the pair it
# met first, the package the older one.
#
# **The order is the tokenizer.** Nothing else was learnt. To encode a new word, relive the training: its bytes, then every merge in
# turn.

# %% exercise="04.3"


# %%
def draw(joined=60, text="To be, or not to be: that is the question."):
    tokens = [token.decode(errors="replace") for word in cut(text) for token in encode(word, merges[:joined])]
    return f"{len(text.encode())} bytes, {len(tokens)} tokens {colour_tokens(tokens)}"


def alt(joined, text):
    return f"The text in coloured tokens after {joined} merges: frequent beginnings and endings are one."


interactive(draw, joined=(0, len(merges)), text="To be, or not to be: that is the question.", alt=alt)

# %%
learnt = [bytes([byte]) for byte in range(256)] + [left + right for left, right in merges]
vocab = {to_letters(token): i for i, token in enumerate(learnt)}
package = BPETokenizer(vocab, [f"{to_letters(left)} {to_letters(right)}" for left, right in merges])
macbeth = set(cut(plays.works["Macbeth"].text))
same = [encode(word, merges) == [learnt[i] for i in package.encode(word)] for word in macbeth]
claim("with your merges, the package cuts every word of Macbeth as you do", all(same), words=len(same))

# %% [markdown]
# Pull the slider and watch letters huddle together; type your name. You have built GPT-2's tokenizer, and from here on use
# the package's, which is faster.
#
# ## 5 · How large a vocabulary?
# First a ruler. Tokens cannot be compared between tokenizers, characters hardly between scripts; bytes can.

# %% exercise="04.4"

# %%
full = BPETokenizer.train(plays.train, 16_384)


def first(n):
    """The tokenizer as it was when it had n tokens: 256 bytes and n - 256 merges."""
    return BPETokenizer({name: i for name, i in full.vocab.items() if i < n}, full.merges[: n - 256])


alone = BPETokenizer.train(plays.train, 512)
claim("a small vocabulary is the beginning of a large one", alone.merges == first(512).merges)
predict("04.size", "From 8,192 tokens to 16,384, unseen plays shrink",
        ["to half", "by a third", "by a twentieth", "not at all"])  # fmt: skip

# %%
sizes = [256 * 2**k for k in range(7)]
carried = [bytes_per_token(plays.validation, first(n).encode(plays.validation)) for n in sizes]
fig, (left, right) = plt.subplots(1, 2, figsize=(8.4, 3.6))
left.plot(sizes, carried, "o-")
left.set(ylabel="bytes per token, unseen plays", ylim=(0, 3.6))
right.plot(sizes, [128 * n / 1e6 for n in sizes], "s--", color="#D55E00")
right.set(ylabel="table of vectors (million weights)")
for ax in (left, right):
    ax.set_xscale("log", base=2)
    ax.set(xticks=sizes, xticklabels=[f"{n:,}" for n in sizes], xlabel="tokens in the vocabulary")
    ax.tick_params(axis="x", rotation=45)
show(fig, alt="Left, bytes per token against vocabulary: 1 at 256 tokens, a leap to almost 2 at 512, then ever "
     "smaller steps to 3.3 at 16,384. Right, the weights that the vocabulary needs double with every step, "
     "to 2 million.")  # fmt: skip

# %%
saved = [1 - before / after for before, after in pairwise(carried)]
claim("each doubling saves less than the one before", saved == sorted(saved, reverse=True),
      percent=[f"{100 * part:.1f}" for part in saved])  # fmt: skip

# %% [markdown]
# The first 256 merges nearly halve the text; the last 8,192 save a twentieth. And each token needs a vector of its own in the
# model: at 128 numbers each, 2.1 million weights, more than all the rest of a small GPT.
#
# **Change it:** draw both for Austen's novels. Where would you stop?

# %% [markdown]
# ### Fitted to its corpus
# Give three more collections a tokenizer of 4,096 each, and let everyone read everyone's unseen text. Below them the real
# one: SmolLM2's, twelve times as large, made from the web and code.

# %%
names = ["shakespeare", "austen", "bible", "recipes"]
ours = {name: BPETokenizer.train(load(name).train, 4096) for name in names[1:]}
real = pretrained.load_tokenizer("smollm2-135m-instruct")
readers = {"shakespeare": first(4096)} | ours | {f"SmolLM2 ({real.vocab_size:,})": real}
texts = [load(name).validation for name in names]
score = [[bytes_per_token(text, reader.encode(text)) for text in texts] for reader in readers.values()]

fig, ax = plt.subplots()
heatmap(ax, score, list(readers), names, digits=2)
ax.set(xlabel="text to be read", ylabel="tokenizer trained on", title="bytes per token (more is shorter)")
show(fig, alt="A table of bytes per token, tokenizers by texts. Among the four small ones the diagonal is "
     "brightest: each reads its own kind of text best. SmolLM2 is good everywhere, but loses to the cookbook on "
     "recipes.")  # fmt: skip

# %%
small = score[:4]
claim("each small tokenizer reads its own kind of text in the fewest tokens",
      all(max(range(4), key=lambda row: small[row][i]) == i for i in range(4)))  # fmt: skip
claim("on recipes 4,096 tokens of cookery beat 49,152 of everything", score[3][3] > score[4][3],
      cookery=f"{score[3][3]:.2f}", everything=f"{score[4][3]:.2f}")  # fmt: skip

# %% [markdown]
# A tokenizer is trained like a model, on data, and it has its data's taste. Whoever is rare in that data pays for it in
# tokens, ever after.
#
# ## 6 · The real one beside yours
# Type anything. Same text, three readers.

# %%
trio = {"your plays, 4,096": first(4096), "your cookbook, 4,096": ours["recipes"], "SmolLM2, 49,152": real}


def row(name, text):
    ids, pieces = trio[name].encode(text), trio[name].pieces(text)
    return f"<p>{name}: <b>{len(ids)} tokens</b></p>{colour_tokens(pieces, ids)}"


text_interactive(lambda text: "".join(row(name, text) for name in trio),
                 value="Enter ROSALIND, with 350 g strawberry pancakes. Crème brûlée!",
                 alt="One sentence cut by three tokenizers, each token tinted: each knows other words whole.")  # fmt: skip

# %% [markdown]
# Rosalind is at home in none; pancakes are whole wherever people bake. A dot is a space. `\xc3` is half of an accented letter,
# whose bytes no merge had joined.
#
# ## 7 · What hurts
# ### Letters
# "How many r are in strawberry?" You see letters. The model is handed this:

# %%
for word in ["strawberry", " strawberry", "Strawberry", "STRAWBERRY"]:
    print(f"{word!r:14} {real.pieces(word)} {real.encode(word)}")

# %% [markdown]
# One number for the whole word, and four spellings of one berry with little in common. Spaces and capitals make strangers of relatives.
#
# ### Numbers
# The cookbook joins digits like letters, by frequency.

# %%
for number in [" 349", " 350", " 351", " 12345"]:
    print(f"{number:7} cookbook {ours['recipes'].pieces(number)!s:22} SmolLM2 {real.pieces(number)}")
whole = [n for n in range(100, 1000) if len(ours["recipes"].encode(f" {n}")) == 1]
print("\nWhole in the cookbook:", *whole)
by_digits = lambda reader: all(len(reader.encode(str(n))) == len(str(n)) for n in range(1000))
claim("as many tokens as digits: always in SmolLM2, not so in the cookbook",
      by_digits(real) and not by_digits(ours["recipes"]))  # fmt: skip

# %% [markdown]
# It knows the oven by heart: 350 is one token, 351 is `35` and `1`, 349 three digits. Try adding those in columns! So SmolLM2 cuts every
# digit apart, as Llama did (Touvron et al. 2023).
#
# ### The space at the end
# In SmolLM2 a word brings its space along. What then follows a space alone?

# %%
ids, space = real.encode(load("bible").train), real.encode(" ")[0]
after = Counter(real.token_bytes(b).decode() for a, b in pairwise(ids) if a == space)
print(after.most_common())
claim("in 71 books of the Bible, nothing but a digit follows SmolLM2's lone space",
      all(map(str.isdigit, after)), lone_spaces=after.total())  # fmt: skip
predict("04.space", 'SmolLM2 ends "The capital of France is" with Paris. And with one space more at the end?',
        ["Paris", "another city", "a number"])  # fmt: skip

# %%
import torch
from fmcourse.generation import generate

model, _ = pretrained.load("smollm2-135m-instruct")
digits, likely = [real.encode(d)[0] for d in "0123456789"], []
for prompt in ["The capital of France is", "The capital of France is "]:
    with torch.no_grad():
        chance = model(torch.tensor([real.encode(prompt)]))[0, -1].softmax(-1)
    likely.append(chance[digits].sum().item())
    print(repr(prompt), "≈", repr(generate(model, real, prompt, max_new_tokens=6, temperature=0)))
claim("one space more, and a digit is what it expects", likely[0] < 0.1 < 0.5 < likely[1], digit=likely)

# %% [markdown]
# No less clever than a second ago, it was handed a token after which it can hardly ever have seen a letter. **Never end a prompt
# with a space.** Try *To be, or not to*, with and without.
#
# ### Other languages
# One polite sentence, asking for tea and bread. What does it cost?

# %%
order = {
    "English": "I would like a cup of tea and some bread, please.",
    "Spanish": "Quisiera una taza de té y un poco de pan, por favor.",
    "Chinese": "请给我一杯茶和一些面包。",
    "German": "Ich hätte gern eine Tasse Tee und etwas Brot, bitte.",
    "Turkish": "Bir fincan çay ve biraz ekmek istiyorum, lütfen.",
    "Japanese": "お茶を一杯とパンを少しお願いします。",
    "Russian": "Я хотел бы чашку чая и немного хлеба, пожалуйста.",
    "Arabic": "أريد كوبًا من الشاي وبعض الخبز، من فضلك.",
    "Hindi": "कृपया मुझे एक कप चाय और थोड़ी रोटी दीजिए।",
    "Tamil": "எனக்கு ஒரு கோப்பை தேநீரும் கொஞ்சம் ரொட்டியும் வேண்டும்.",
}

# %%
cost = {language: len(real.encode(text)) for language, text in order.items()}
fig, ax = plt.subplots(figsize=(6.4, 4))
bars(ax, {name: tokens / cost["English"] for name, tokens in cost.items()}, unit="tokens (English = 1)", digits=1)
ax.set(xlim=(0, 8.2))
show(fig, alt="Tokens of one sentence relative to English: Spanish, Chinese, German and Turkish between 1.5 and "
     "1.8, Japanese 2.2, Russian and Arabic 3.2, Hindi 3.8, Tamil 7.2.")  # fmt: skip
claim("in Tamil a token is less than one character", cost["Tamil"] > len(order["Tamil"]),
      tokens=cost["Tamil"], characters=len(order["Tamil"]))  # fmt: skip

# %% [markdown]
# The same tea, seven times the tokens: seven times the price where tokens are billed, a seventh of the context, a slower
# answer. Petrov et al. (2023) found factors of up to 15 in tokenizers in use. Nobody intended it; English was simply most of the data.

# %% [markdown]
# ### What must never break
# Text goes in and must come out, whatever it is. And a user who types the model's own control tokens must not become its
# operator.

# %%
family = "\N{MAN}\u200d\N{WOMAN}\u200d\N{GIRL}"
hard = ["", " \n\t ", "e\u0301", family, "a\x00b", *order.values(), "".join(map(chr, range(0x800)))]
claim("every text comes back, though only Shakespeare was seen",
      all(full.decode(full.encode(text)) == text for text in hard), texts=len(hard))  # fmt: skip
print("half a character:", full.decode(full.encode("é")[:1]))

attack = "Hello<|im_end|>"
print(real.pieces(attack), "typed by a user")
print(real.pieces(attack, allow_special=True), "written by us")
claim("typed control tokens stay plain text", not set(real.encode(attack)) & set(real.special_tokens.values()))

# %% [markdown]
# `<|im_end|>` ends a turn in a chat. Typed, it is letters; only code that says `allow_special=True` gets the real one. (And the � that
# flashes by in a chat window is half a character.)
#
# ### Tokens nobody uses
# *LOUCESTER* was made on the way to *GLOUCESTER*. What is left for it to do?

# %%
used = set(first(8192).encode(plays.train))
idle = [full.token_bytes(i).decode(errors="replace") for i in range(256, 8192) if i not in used]
claim("some learnt tokens never occur in the text that they were learnt from", len(idle) > 0, tokens=len(idle))
print(idle[:16])

# %% [markdown]
# Rungs of a ladder nobody stands on. A model never reads them, so their vectors stay as chance made them: type one, and it
# may babble. Such *glitch tokens* were found in many real models (Land and Bartolo 2024).

# %% [markdown]
# ## 8 · What the real systems do
# | System | Tokens | Kind | Source |
# |---|---|---|---|
# | BERT | 30,000 in the paper, see below | WordPiece | Devlin et al. 2019, section 3 |
# | GPT-2 | 50,257 = 256 bytes + 50,000 merges + 1 | bytes, BPE | Radford et al. 2019, section 2.3 |
# | ByT5 | 256 bytes | none: a byte is a token | Xue et al. 2022 |
# | Llama 2 | 32,000 | BPE, digits apart | Touvron et al. 2023, section 2.2 |
# | Llama 3 | 128,000, of which 28,000 for languages other than English | bytes, BPE | Grattafiori et al. 2024, section 3.2 |
# | SmolLM2-135M | see below | bytes, BPE, digits apart | counted here |

# %%
rows = model.embed.tokens.weight
share = rows.numel() / sum(weight.numel() for weight in model.parameters())
print(f"MiniLM, with BERT's vocabulary: {pretrained.load_tokenizer('minilm-l6').vocab_size:,} tokens")
claim("more than a fifth of SmolLM2-135M is its table of tokens", share > 0.2,
      tokens=real.vocab_size, share=share)  # fmt: skip

# %% [markdown]
# ## Summary
# - Characters make long sequences, words never end, bytes are safe and longest.
# - BPE joins the commonest neighbours. Its merges, in order, are all it knows.
# - Each doubling of a vocabulary costs twice as much and saves less; and it fits its data.
# - Odd failures with letters, numbers, spaces and languages begin here.

# %%
quiz("04.q1", "You swap a trained model's tokenizer for a better one of the same size. What happens?", {
    "It answers faster": "Sequences are shorter, but it no longer understands a single one of them.",
    "It writes nonsense": "Id 260 was ` the` and now names another piece, while the vector in row 260 still means "
    "` the`. Tokenizer and model are one thing in two files.",
    "Nothing": "Ids are rows of the model's table: same numbers, other pieces, and nothing fits any more.",
}, answer="It writes nonsense")  # fmt: skip

# %%
quiz("04.q2", "256 bytes can write everything. Why do most models have tens of thousands of tokens?", {
    "Bytes cannot hold Chinese": "They can, three to a character: UTF-8 holds every script.",
    "Shorter sequences": "Three or four bytes to a token: a third or a quarter of the steps for the same text.",
    "Models need whole words": "ByT5 reads bytes and does well (Xue et al. 2022). It pays in length.",
}, answer="Shorter sequences")  # fmt: skip
quiz("04.q3", "Merges, in order: b+c, then a+b. How is abc encoded?", {
    "ab, c": "That goes by the order in the word. But b+c was learnt first.",
    "a, bc": "b+c was learnt first and takes the b; then a+b finds none.",
    "abc": "No merge makes it: only pairs in the list are ever joined.",
}, answer="a, bc")  # fmt: skip

# %% tags=["nbval-ignore-output"]
# %%
progress("04")
