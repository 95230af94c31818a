# %% [raw]
# place = ["none: frozen models", "linear probe, neighbours, prompt", "definitions, Wikipedia, emoji, word tasks"]
# builds = "ten tasks on three frozen models, the label budget that pretraining replaces, and one flaw that every task inherits"
# terms = ["foundation model", "downstream task", "adaptation", "frozen", "linear probe", "nearest-neighbour classifier", "specialist model", "zero-shot", "FLOP", "homogenization", "emergence", "stereotype"]
# [reads]
# "fmcourse.adaptation" = ["fit_linear_probe"]
# "fmcourse.pretrained.sentences" = ["embed_sentences"]
# "fmcourse.prompting.scoring" = ["label_scores"]

# %% [markdown]
# # 02 · What is a foundation model?
# **In this lesson you put the claims that are made for foundation models to the test, one by one, on three small real ones: few labels, all in one, task agnostic, easy to train. For high performance you read the published results with care.**
#
# {minutes} minutes to read and do · two minutes to compute · you need Python, a little PyTorch, and what lesson 01 says of pretraining.

# %% [markdown]
# **Afterwards you can**
# - say what the term means, and what it leaves open;
# - adapt a frozen model to a new task with a probe, with neighbours, or with a prompt, and compare it fairly with a model made for that task;
# - measure how many labels pretraining replaces, and estimate what it cost;
# - show how one flaw in a shared model reaches the applications that are built on it.

# %%
import copy
import math
import re
import time
from collections import Counter

import torch
from fmcourse import pretrained
from fmcourse.course import check, claim, hint, predict, progress, quiz, reported, resolve, solution, term
from fmcourse.data import load, table
from fmcourse.models.transformer import Transformer, count_parameters
from fmcourse.models.vision import extract_features, untrained_efficientnet
from fmcourse.plots import bars, bind_styles, curves, grouped_bars, show_images
from fmcourse.prompting import label_scores
from torch.nn import functional as F

# %% [markdown]
# ## 1 · The term
# In 2021 a report of more than a hundred authors at Stanford proposed a name for what BERT, GPT-3 and CLIP have in common [1]. A **foundation model** is a model that is trained on broad data, generally with
# self-supervision at scale, and that can then be adapted to many downstream tasks. A **downstream task** is what one wants done in the end: answer questions, name the persons in a text, recognise what an image shows.
# **Adaptation** is whatever turns the general model into one for such a task, from a prompt that changes no parameter to fine-tuning that changes all of them.

# %% [markdown]
# Nothing in the definition says how the model is built, nor that it is large or good. It says how the model is *made* (from broad data, for no particular task) and how it is *used* (for many tasks).
# The authors chose the word *foundation* on purpose: something unfinished, on which others build. There are foundation models for language, for vision, for both together (CLIP, lesson 12), and for speech, proteins or robots [1]. Three small ones come with this course:
#
# | | what it reads | how it was pretrained | parameters | what it gives |
# |---|---|---|---|---|
# | MiniLM-L6 | English text | distilled from a model of masked words [13], then a billion pairs of texts [2] | 22.6 M | one vector for a text |
# | EfficientNet-Lite0 | photographs | 1.28 million labelled images of ImageNet [3] | 4.7 M | 1,280 features of an image |
# | SmolLM2-135M | English text, code | the next token of 2 trillion, then conversations and preferences [4] | 134.5 M | the next token |
#
# The second one fits the definition only loosely: people labelled its images. It is here because for years this was the usual way to pretrain for vision, and because it is used in the same way.

# %%
encoder, pieces = pretrained.load("minilm-l6")
vision = pretrained.load_vision()
language_model, tokenizer = pretrained.load("smollm2-135m-instruct")
for name, model in {"MiniLM-L6": encoder, "EfficientNet-Lite0": vision, "SmolLM2-135M": language_model}.items():
    print(f"{name:20}{count_parameters(model):>12,} parameters")

# %% [markdown]
# A model is **frozen** if its parameters are no longer changed; in this lesson all three stay frozen. What a frozen model can do on a new task comes from its pretraining and from its architecture; a control will tell the two apart.
#
# ## 2 · One vector, many tasks
# The text encoder MiniLM turns a text into a vector of 384 numbers, the text's *features*. Our first task is to predict the topic of a noun, one of ten, from its definition in a dictionary. Here are a few definitions with their topics.

# %%
definitions = load("topics")
topics = sorted({one.topic for one in definitions.train})


def shuffled(items, n):
    order = torch.randperm(len(items), generator=torch.Generator().manual_seed(0)).tolist()
    return [items[i] for i in order[:n]]


train, test = shuffled(definitions.train, 256), shuffled(definitions.test, 250)  # the files are sorted by topic
for one in train[:4]:
    print(f"{one.topic:14}{one.word}: {one.text}")


# %%
def embed(texts, model=encoder):
    return pretrained.embed_sentences(model, pieces, texts)


def labels_of(items):
    return torch.tensor([topics.index(one.topic) for one in items])


x, y = embed([one.text for one in train]), labels_of(train)
x_test, y_test = embed([one.text for one in test]), labels_of(test)
print("features", tuple(x.shape), "labels", tuple(y.shape))

# %% [markdown]
# ### The linear probe
# A **linear probe** is a single linear layer that is fitted to the features of a frozen model; if it does well, the features already hold what the task needs. Fitting a linear layer is so simple that it needs no training loop. With
# the features $X$ (a row for each labelled item) and the one-hot targets $Y$ (a 1 in the column of the right class), ridge regression has a closed solution:
# $$W = (X^\top X + \lambda I)^{-1} X^\top Y.$$
# The strength $\lambda$ keeps the entries of $W$ small (regularization). It is needed: with 384 features and only 64 labelled items, a linear layer can fit any labels, even random ones.

# %% exercise="02.1"

# %%
predict("02.labels",
    "Ten topics: always naming the commonest is right in about 14 %. With 64 labelled definitions, a linear probe "
    "on the frozen encoder is right in about", ["15 %: 64 labels are nothing", "60 %", "90 %"])  # fmt: skip


# %%
def accuracy(features, labels, test_features, n, strength=0.3):
    weights = linear_probe(features[:n], labels[:n], len(topics), strength)
    return ((test_features @ weights).argmax(1) == y_test).float().mean().item()


frozen = {n: accuracy(x, y, x_test, n) for n in (16, 64, 256)}
print("≈", {n: round(value, 3) for n, value in frozen.items()})

# %% [markdown]
# Is that much? The number alone does not say. We compare it with a rival and with a control:
#
# - The rival is a **specialist model**, built for this task and for no other. The classic for topics counts words: each text becomes a vector of *tf-idf* weights, where a word counts more if few texts contain it. The same probe is fitted to these vectors.
# - The control is the encoder's *untrained twin*: the same architecture with random parameters. Whatever the encoder reaches beyond its twin comes from pretraining.
#
# All three use the same strength $\lambda$ here; the comparisons of section 3 tune it for each.


# %%
def words_of(text):
    return re.findall("[a-z]+", text.lower())


def tfidf(texts, known):
    """Unit vectors (N, words) of term frequency times inverse document frequency; the words are those of `known`."""
    frequency = Counter(word for text in known for word in set(words_of(text)))
    column = {word: i for i, word in enumerate(frequency)}
    vectors = torch.zeros(len(texts), len(column))
    for row, text in enumerate(texts):
        for word, count in Counter(words_of(text)).items():
            if word in column:
                vectors[row, column[word]] = (1 + math.log(count)) * (1 + math.log(len(known) / frequency[word]))
    return F.normalize(vectors, dim=1)


# %%
torch.manual_seed(0)
untrained = Transformer(encoder.config).eval()
x_untrained, x_untrained_test = (embed([one.text for one in part], untrained) for part in (train, test))
texts, test_texts = [one.text for one in train], [one.text for one in test]


def best_accuracy(train_features, test_features, n):  # of three strengths on the test set itself, in the rivals' favour
    return max(accuracy(train_features, y, test_features, n, strength) for strength in (0.03, 0.3, 3.0))


control = {n: best_accuracy(x_untrained, x_untrained_test, n) for n in frozen}
specialist = {n: best_accuracy(tfidf(texts[:n], texts[:n]), tfidf(test_texts, texts[:n]), n) for n in frozen}
styles = bind_styles("frozen foundation model", "specialist model", "untrained twin", "own encoder, self-supervised")
curves([*frozen], {"frozen foundation model": [*frozen.values()],
    "specialist model": [*specialist.values()], "untrained twin": [*control.values()]},
    xlabel="labelled definitions", ylabel="accuracy on 250 definitions", xlog=True, ylim=(0, 0.8),
    styles=styles, baseline={"commonest topic": y_test.bincount().max().item() / len(y_test)},
    alt="Accuracy against labels, 16 to 256. The frozen encoder climbs from about 0.37 to 0.73; counting words and "
    "the untrained twin stay far below it.")  # fmt: skip

# %%
claim("with 64 labels a probe on the frozen encoder beats the same probe on word counts and on the untrained encoder "
    "by more than 10 points", frozen[64] - max(specialist[64], control[64]) > 0.1, frozen=frozen[64],
    specialist=specialist[64], untrained=control[64])  # fmt: skip
resolve("02.labels", "60 %",
    "More than half of the definitions are sorted by 64 labels, though ten topics have only six labels each: the "
    "encoder has put texts of one meaning close together, and the probe only has to name the regions.")  # fmt: skip

# %% [markdown]
# Nobody gave these ten topics to the encoder as labels. Yet what it learned from unlabelled text and from pairs of texts separates them: definitions that the dictionary files under one topic lie close together.
#
# ### Nearest neighbours
# A **nearest-neighbour classifier** trains nothing at all: a new item gets the label of the labelled items whose features point in the most similar direction. The cosine of the angle between two vectors measures how similar their directions are. A new class needs a labelled item and no training.

# %% exercise="02.2"

# %%
neighbours = {k: (nearest_labels(x_test, x, y, k) == y_test).float().mean().item() for k in (1, 5, 15)}
print("≈", {f"{k} neighbours": round(value, 3) for k, value in neighbours.items()}, f"linear probe {frozen[256]:.3f}")
claim("without training anything, five neighbours come within 10 points of the linear probe",
    neighbours[5] > frozen[256] - 0.1, neighbours=neighbours[5], probe=frozen[256])  # fmt: skip

# %% [markdown]
# ### Search
# The same vectors can be used for search. Each of 120 articles of Wikipedia has a one-line description under its title. From the description alone, which article is meant? No label is used: the article whose vector is nearest is the answer.
# The measure is *recall at k*: how often is the right article among the first k?

# %% exercise="02.3"

# %%
articles = [one for one in load("wikipedia").test if one.description][:120]
article_texts, descriptions = [one.text[:400] for one in articles], [one.description for one in articles]
scores = embed(descriptions) @ embed(article_texts).T  # (120, 120) cosines
by_words = tfidf(descriptions, article_texts) @ tfidf(article_texts, article_texts).T
print(f"{descriptions[3]!r} -> {articles[int(scores[3].argmax())].title}")
found = {f"recall@{k}": (recall_at_k(scores, k), recall_at_k(by_words, k)) for k in (1, 5)}
for name, (frozen_recall, word_recall) in found.items():
    print(f"{name} ≈ frozen encoder {frozen_recall:.3f}, counting words {word_recall:.3f}")

# %% [markdown]
# Counting words does well here, because a description and its article share words: "River in Africa" is found by the words *river* and *Africa*. Where query and text share no word, counting is helpless. One reservation: MiniLM's training pairs include texts from Wikipedia [2], so it may know some of these articles.
#
# ### Images
# The vision model was trained on photographs; no class of ImageNet is an emoji. Can its 1,280 features still find the same emoji in another company's drawing style?

# %%
emoji = load("emoji").test
places = {}
for i, (name, style) in enumerate(zip(emoji.names, emoji.styles.tolist(), strict=True)):
    places.setdefault(name, {})[style] = i
both = [found for found in places.values() if {0, 1} <= found.keys()][:100]
drawn = [emoji.pixels[[found[style] for found in both]] for style in (0, 1)]  # two styles, (100, 32, 32, 3) each
a, b = (F.normalize(extract_features(vision, pixels, 96), dim=1) for pixels in drawn)
nearest = (a @ b.T).argmax(1)
show_images(torch.cat([drawn[0][:8], drawn[1][nearest[:8]]]).permute(0, 3, 1, 2).float() / 255,
    columns=8, row_labels=["asked", "found"],
    alt="Eight emoji above, below each the one of another style that the frozen vision model finds; most show the "
    "same thing.")  # fmt: skip

# %%
flat = [F.normalize(pixels.flatten(1).float() - 128, dim=1) for pixels in drawn]
torch.manual_seed(0)
random_vision = untrained_efficientnet(load("emoji").train.pixels[:200], 96)
a_random, b_random = (F.normalize(extract_features(random_vision, pixels, 96), dim=1) for pixels in drawn)
image_recall = {"frozen": recall_at_k(a @ b.T, 1), "pixels": recall_at_k(flat[0] @ flat[1].T, 1),
    "untrained": recall_at_k(a_random @ b_random.T, 1)}  # fmt: skip
claim("a vision model pretrained on photographs finds an emoji in another style more often than raw pixels and than "
    "its untrained twin do", image_recall["frozen"] > max(image_recall["pixels"],
    image_recall["untrained"]), **image_recall)  # fmt: skip

# %% [markdown]
# ## 3 · All in one: ten tasks, ten rivals
# A few examples do not settle a claim about many tasks. The recipe of this lesson took ten, and built for each a specialist: tf-idf with logistic regression for texts, word features for names, small convolutional networks for images, and for word forms a rule that copies the ending of the most similar example.
# Probe and specialist saw the same labels, and all classifiers chose their regularization or learning rate on the same validation items.
#
# - In the first figure each task has 256 labels (names: 300 sentences).
# - In the second, the searches through text need no labels, the specialist for emoji search learned from pairs of emoji, and the last two tasks get 16 examples.
#
# The whiskers span three draws.

# %%
predict("02.ten",
    "Ten tasks; the frozen foundation models against ten specialists with 256 labels each (or none, where none are "
    "needed). The frozen models win", ["all ten", "most, but not all", "about half"])  # fmt: skip

# %%
shipped = table("lesson_02")
few = shipped["few_labels"]
ten = {name: (few[key]["pretrained"]["256"], few[key]["specialist"]["256"]) for key,
    name in {"topics": "nouns", "wikipedia": "articles", "fashion": "clothes",
    "emoji": "emoji"}.items()}  # fmt: skip
ten["names"] = tuple([run[way] for run in shipped["names"]] for way in ("frozen", "specialist"))
ten["answer's\nsentence"] = tuple([shipped["answer_sentence"][way]] for way in ("frozen", "specialist"))
ten["article\nsearch"] = tuple([shipped["article_search"][way]] for way in ("frozen", "specialist"))
ten["emoji\nsearch"] = tuple([run[way] for run in shipped["image_search"]] for way in ("frozen", "specialist"))
ten["past\ntense"] = tuple([run[way] for run in shipped["past tense"]] for way in ("frozen", "specialist"))
ten["capital"] = tuple([run[way] for run in shipped["capital"]] for way in ("frozen", "specialist"))

# %%
mean = lambda values: sum(values) / len(values)
plain = {" ".join(name.split()): runs for name, runs in ten.items()}  # without the line breaks of the figure
for side in (dict(list(ten.items())[:5]), dict(list(ten.items())[5:])):
    grouped_bars(
        {
            name: {"frozen foundation model": frozen_runs, "specialist model": specialist_runs}
            for name, (frozen_runs, specialist_runs) in side.items()
        },
        ylabel="accuracy, recall or F1",
        ylim=(0, 1.08),
        styles=styles,
        alt="Five tasks, two bars each, frozen foundation model and specialist: "
        + "; ".join(
            f"{' '.join(name.split())} {mean(one):.2f} and {mean(other):.2f}" for name, (one, other) in side.items()
        )
        + ".",
    )

# %%
EVEN = 0.02  # what two models may differ by and still be called even
rivals = {name: runs for name, runs in plain.items() if name != "capital"}  # endings cannot tell a capital
wins = [name for name, (one, other) in rivals.items() if min(one) > max(other) + EVEN]
loses = [name for name, (one, other) in rivals.items() if min(other) > max(one) + EVEN]
print("the frozen model is ahead in every draw:", "; ".join(wins))
print("the specialist is ahead in every draw:", "; ".join(loses) or "nowhere")
print("even:", "; ".join(name for name in rivals if name not in wins + loses) or "none")
reported("of the nine tasks with a rival that could win, the frozen models win more than they lose, and not all",
    len(loses) < len(wins) < 9, table=shipped, won=len(wins), lost=len(loses))  # fmt: skip
share = len(wins) / len(rivals)
resolve("02.ten", "all ten" if share == 1 else "most, but not all" if share > 0.6 else "about half",
    "General features beat a specialist on texts with few labels and where knowledge of the world is needed. With "
    "images, or where the surface (capital letters, shared words) gives the answer away, a specialist keeps up or "
    "wins.")  # fmt: skip

# %% [markdown]
# Read the four wins with care. Capitals do not count: sixteen examples cannot tell a rule the capital of another country, so there was no serious rival. With all training examples instead of sixteen, the rule for past tenses reaches about 0.73, still less than the prompt. And all three tasks with images are even.
#
# *All in one* also means: what does the tenth task cost? Here are three ways to add one, with the topics as the example: how many parameters and bytes it adds, and how long it takes on this machine to go from 256 labelled texts to an application.


# %%
def seconds_of(make):
    begin = time.perf_counter()
    make()
    return time.perf_counter() - begin


known_words = len({word for text in texts for word in words_of(text)})
probe_bytes, specialist_bytes = 4 * 384 * len(topics), 4 * known_words * len(topics)
embedding = seconds_of(lambda: embed(texts))  # once for probe and neighbours
ways = {  # new parameters, bytes, seconds, accuracy with 256 labels
    "linear probe": (probe_bytes // 4, probe_bytes,
        embedding + seconds_of(lambda: linear_probe(x, y, len(topics), 0.3)), frozen[256]),
    "neighbours": (0, 4 * x.numel(), embedding, neighbours[5]),
    "specialist: tf-idf": (specialist_bytes // 4, specialist_bytes, seconds_of(
        lambda: linear_probe(tfidf(texts, texts), y, len(topics), 0.3)), specialist[256]),
}  # fmt: skip
print(f"{'':20}{'parameters':>12}{'bytes':>10}   seconds, accuracy")
for name, (parameters, size, seconds, right) in ways.items():
    print(f"{name:20}{parameters:>12,}{size:>10,} ≈ {seconds:.2f}, {right:.2f}")

# %%
encoder_bytes = 4 * count_parameters(encoder)
tasks_until_even = encoder_bytes / (specialist_bytes - probe_bytes)
claim("the tenth task adds less for the probe than for the specialist, but more than a thousand tasks must share "
    "the encoder before it has paid for its storage", probe_bytes < specialist_bytes and tasks_until_even > 1000,
    probe=probe_bytes, specialist=specialist_bytes, encoder=encoder_bytes, tasks=tasks_until_even)  # fmt: skip

# %% [markdown]
# So the gain is not in bytes, nor in running time, since every text must pass through the encoder. It is in *labels* and in *work*: a probe is fitted in a moment, and nobody has to design or train a network for the task.
#
# ## 4 · Few labels: what pretraining replaces
# It is often said that a specialist needs hundreds of thousands of labels where a foundation model needs a couple. How large is the factor here? Two of the tasks follow with 16 to 1,024 labels; the bands span three draws.
# For images there is a fourth line, our own encoder: the specialist's small network, pretrained without labels on the task's training images alone, by contrastive learning as in lesson 03.

# %%
counts = [16, 64, 256, 1024]
for key, name in {"topics": "topic of a definition", "emoji": "group of an emoji"}.items():
    runs = {way: [[few[key][part][str(n)][draw] for n in counts] for draw in range(3)] for way,
        part in {"frozen foundation model": "pretrained", "specialist model": "specialist",
        "untrained twin": "untrained"}.items()}  # fmt: skip
    if own := shipped["own_encoder"].get(key):
        runs["own encoder, self-supervised"] = [[own[str(n)][draw] for n in counts] for draw in range(3)]
    curves(counts, runs, xlabel="labels", ylabel="accuracy", title=name, xlog=True, styles=styles,
        baseline={"commonest class": shipped["chance"][key]},
        alt=f"{name}: accuracy against 16 to 1,024 labels. The frozen foundation model leads on average, its untrained "
        "twin stays lowest.")  # fmt: skip

# %% [markdown]
# Our own encoder does no better on emoji than a specialist trained from scratch. So self-supervision alone is no guarantee. EfficientNet had broader data, labels, a larger network and longer training; which of these matters, one comparison cannot say.
#
# Now read the figure sideways. Choose the accuracy that the frozen model reaches with 64 labels, and ask how many labels the specialist needs for the same. The ratio is what pretraining is worth, in labels.

# %% exercise="02.5"


# %%
def curve_of(key, way):
    return [mean(few[key][way][str(n)]) for n in counts]


budgets = {key: labels_needed(counts, curve_of(key, "specialist"), curve_of(key, "pretrained")[1]) for key in few}
for key, needed in budgets.items():
    says = "more than 1,024, the most that were tried" if math.isinf(needed) else f"{needed:,.0f}"
    print(f"{key:10} frozen, 64 labels: {curve_of(key, 'pretrained')[1]:.2f}; the specialist needs {says}")
own, made = shipped["own_encoder"]["emoji"], few["emoji"]
reported("in all four tasks the specialist needs more than 64 labels for that, with texts more than twice as many",
    min(budgets.values()) > 64 and min(budgets["topics"], budgets["wikipedia"]) > 128, table=shipped,
    **budgets)  # fmt: skip
reported("with 64 labelled emoji our own encoder stays below the frozen foundation model in every draw",
    max(own["64"]) < min(made["pretrained"]["64"]), table=shipped, own=own["64"],
    frozen=made["pretrained"]["64"])  # fmt: skip

# %% [markdown]
# The factor lies between about one and a half and six. That is far below "hundreds of thousands against a couple", and two reasons are likely. Our foundation models are small. And our specialists were tuned with care: against a weak rival every such factor looks larger. With three draws, and straight lines between few measured points, the factors are rough.

# %% [markdown]
# ## 5 · Task agnostic: what did nobody label?
# SmolLM2 was pretrained on one objective, the next token. Nobody labelled capitals for it, but to predict how "The capital of France is" goes on, it has to know. So any task that can be written as a text
# with a blank at its end can be posed to it without a label. Using a model so, with a pattern or an instruction and not one example, is called **zero-shot**. One reservation: our copy was then fine-tuned on conversations.
#
# We test with multiple choice: the right answer and three right answers of *other* questions. The model's answer is the option of the highest log-probability; a guess is right in a quarter. The control puts the same options after the bare word "Answer:".

# %%
patterns = {"capital": "The capital of {} is", "antonym": "The opposite of {} is",
    "past tense": "Today they {}, yesterday they", "French": "The French word for {} is",
    "plural": "One {}, two"}  # fmt: skip
words = load("tasks")


def four_options(items, n):
    """The right answer first, then three right answers of other items."""
    others = [items[(n + step) % len(items)].answer for step in range(1, len(items))]
    return [items[n].answer, *list(dict.fromkeys(answer for answer in others if answer != items[n].answer))[:3]]


def zero_shot_accuracy(items, prompts):
    right = 0
    for n, prompt in enumerate(prompts):
        options = [f" {option}" for option in four_options(items, n)]
        right += label_scores(language_model, tokenizer, [prompt], options).argmax().item() == 0
    return right / len(items)


# %%
predict("02.sums",
    'The same model, the same way, on sums: "3 + 5 =" with options 8, 9, 7 and 10. It is right in about',
    ["25 %, a guess", "60 %", "nearly all"])  # fmt: skip

# %%
zero_shot, without_question = {}, {}
for task, pattern in patterns.items():
    items = [item for item in words.test if item.task == task][:16]
    zero_shot[task] = zero_shot_accuracy(items, [pattern.format(item.given) for item in items])
    without_question[task] = zero_shot_accuracy(items, ["Answer:"] * len(items))
sums = [(a, b) for a in range(2, 10) for b in range(2, 10)][::4]
right = [label_scores(language_model, tokenizer, [f"{a} + {b} ="], [f" {a + b + d}" for d in (0, 1, -1,
    2)]).argmax().item() == 0 for a, b in sums]  # fmt: skip
zero_shot["sums"] = sum(right) / len(right)

# %%
bars(zero_shot, xlabel="accuracy, four options, no example and no label", baseline={"a guess": 0.25},
    alt="Accuracy of SmolLM2 without examples on six tasks. Word tasks lie far above a quarter, sums at about a "
    "quarter.")  # fmt: skip
claim("on each of five word tasks the language model is right at least twice as often as a guess, without an example "
    "or a label", min(zero_shot[task] for task in patterns) >= 0.5, **zero_shot)  # fmt: skip
claim("the same options without the question are not answered: the question is what decides",
    max(without_question.values()) < 0.5, **without_question)  # fmt: skip
resolve("02.sums",
    "25 %, a guess" if zero_shot["sums"] < 0.4 else "60 %" if zero_shot["sums"] < 0.8 else "nearly all",
    "Task agnostic does not mean that every task comes out: a model of this size has not learned to add.")  # fmt: skip

# %% [markdown]
# One objective poses many tasks, and the model does not solve all of them. But the result for sums holds for one wording and a small model: GPT-3, with examples, adds numbers of two digits without error [6, section 3.9]. And SmolLM2 reads numbers digit by digit, so that the option 10 has one token more than 9, which lowers its log-probability. In lesson 14 examples in the prompt change such numbers.
#
# **Change it:** write a pattern of your own for "first letter" (`load("tasks")` has that task too) and find the wording that works best. This is called prompt engineering.
#
# ## 6 · "Easy to train": who paid?
# Fitting a probe takes seconds, because somebody else has trained the encoder for much longer. How much longer?

# %% [markdown]
# One **FLOP** is one floating-point operation, an addition or a multiplication of two numbers. A training step costs about 6 FLOP for each parameter and token: 2 in the forward pass (one multiplication and one addition), 4 in the backward pass, which needs the gradients of the inputs and of the parameters [6, table D.1]. With $N$ parameters and $D$ tokens, pretraining costs
# $$C \approx 6\,N\,D \text{ FLOP}.$$
# The attention scores between tokens are left out; they add little as long as the text is not much longer than the model is wide.

# %% exercise="02.4"

# %%
predict("02.laptop",
    "Your own core does some 50 billion useful FLOP a second. To pretrain SmolLM2-135M on its 2 trillion tokens, it "
    "would take about", ["a month", "three years", "a thousand years"])  # fmt: skip

# %%
square = torch.randn(1024, 1024)
begin = time.perf_counter()
for _ in range(10):
    square @ square
flop_per_second = 10 * 2 * 1024**3 / (time.perf_counter() - begin)
years = training_days(134.5e6, 2e12, 1, flop_per_second, 0.5) / 365
days = training_days(134.5e6, 2e12, 64, 989e12, 0.3)
print(
    f"≈ here {flop_per_second:.2g} FLOP/s at most: {years:,.0f} years; 64 H100 at 30 % of their peak: {days:.1f} days"
)
claim("pretraining even this small model would keep one core busy for more than a century", years > 100, years=years)
resolve("02.laptop", "a thousand years",
    "6 times 134.5 million times 2 trillion is 1.6e21 FLOP: even at a hundred billion a second that is centuries."
    )  # fmt: skip

# %% [markdown]
# What others have published about their runs:
#
# | | parameters | tokens | FLOP | hardware and energy |
# |---|---|---|---|---|
# | BERT-large, 2018 [5] | 340 M | 3.3 B words, about 40 epochs | | 16 Cloud TPUs (64 chips), 4 days |
# | GPT-3, 2020 [6] | 175 B | 300 B | 3.14e23 | 1,287 MWh, estimated [7] |
# | Llama 2 70B, 2023 [8] | 70 B | 2 T | | 1,720,320 A100 hours |
# | Llama 3.1 405B, 2024 [9] | 405 B | 15.6 T | 3.8e25 | up to 16,384 H100; 30.84 M H100 hours |
#
# Four years separate GPT-3 from Llama 3.1, and a factor of about 120 in FLOP. The cost is paid once and shared by all who use the model. But only a few organisations can pay it, and they decide what the model reads; the report discusses at length what follows from this concentration of power [1].

# %%
flop = {  # your function once more: one device of 1 FLOP a second, so that its seconds are FLOP
    "GPT-3": training_days(175e9, 300e9, 1, 1.0, 1.0) * 86_400,
    "Llama 3.1 405B": training_days(405e9, 15.6e12, 1, 1.0, 1.0) * 86_400,
}
print({name: f"{value:.3g} FLOP" for name, value in flop.items()})
claim("the rule of 6 gives the published FLOP of both runs to 5 %",
    abs(flop["GPT-3"] / 3.14e23 - 1) < 0.05 and abs(flop["Llama 3.1 405B"] / 3.8e25 - 1) < 0.05,
    ratio=flop["Llama 3.1 405B"] / flop["GPT-3"])  # fmt: skip

# %% [markdown]
# ## 7 · "High performance"
# The claim rests on published results. Here are four that were much quoted, each with the rival that its own paper names:
#
# | task | rival | foundation model |
# |---|---|---|
# | GLUE, average of eight language tasks [5] | 75.1, the first GPT; 74.0, the best before it | 82.1, BERT-large, fine-tuned once for each task |
# | LAMBADA, the last word of a passage [6] | 68.0, Turing-NLG, a language model of 17 B parameters | 86.4, GPT-3, few-shot |
# | TriviaQA, open questions [6] | 68.0, RAG, fine-tuned; it looks passages up in Wikipedia | 71.2, GPT-3, few-shot, without looking anything up |
# | ImageNet, 1,000 classes [10] | 76.2, ResNet-50 of 2015, trained on its 1.28 M labels | 76.2, CLIP, zero-shot: none of these labels |
#
# Look at the rivals. Three of the four are pretrained themselves, so these rows compare pretrained models with each other more than with specialists. The fourth was six years old, and by then far from the best [10, section 6]. The same papers report failures, too: GPT-3 stayed far behind fine-tuned models on natural-language inference and on some reading comprehension; CLIP counted objects badly, and on handwritten digits logistic regression on raw pixels did better. An average over tasks does not show such failures.

# %% [markdown]
# ## 8 · Homogenization: one flaw for all
# **Homogenization** means that many applications rest on few models, so that strengths *and flaws* of one model appear in all of them [1]. Two experiments show what that means.
#
# First, an update. The provider of the encoder wants to save memory and stores each weight in 4 bits instead of 32 (*quantization*): every row of a matrix gets 16 evenly spaced values, and each weight becomes the nearest one. Careful methods make 4 bits work for many models; this one is the crudest. The applications do not know of the update: the probe and the stored neighbours stay as they were.

# %%
predict("02.update",
    "Three applications use the encoder: the probe for topics, the nearest neighbours and the article search. "
    "After the update", ["none of them notices", "all three fail", "the search alone fails"])  # fmt: skip


# %%
def rounded(weights, bits):
    """Each row's weights, moved to the nearest of 2**bits evenly spaced values."""
    step = weights.abs().amax(1, keepdim=True) / (2 ** (bits - 1) - 0.5)
    return ((weights / step - 0.5).round() + 0.5) * step


def compressed(bits):
    model = copy.deepcopy(encoder)
    for parameter in model.parameters():
        if parameter.dim() == 2:
            parameter.data = rounded(parameter.data, bits)
    return model


# %%
weights, broken = linear_probe(x, y, len(topics), 0.3), {}
for bits in (32, 8, 4):
    model = encoder if bits == 32 else compressed(bits)
    features = embed(test_texts, model)
    broken[f"{bits} bits"] = {
        "topic, linear probe": ((features @ weights).argmax(1) == y_test).float().mean().item(),
        "topic, neighbours": (nearest_labels(features, x, y, 5) == y_test).float().mean().item(),
        "article search": recall_at_k(embed(descriptions, model) @ embed(article_texts, model).T, 1),
    }

# %%
grouped_bars({task: {bits: row[task] for bits, row in broken.items()} for task in broken["32 bits"]},
    ylabel="accuracy or recall@1", ylim=(0, 1),
    alt="Three tasks with the encoder in 32, 8 and 4 bits. In 8 bits nothing changes; in 4 bits all three lose most "
    "of what they reached.")  # fmt: skip
kept = {bits: [broken[bits][task] / best for task, best in broken["32 bits"].items()] for bits in ("8 bits", "4 bits")}
claim("one careless update takes each of the three tasks down by more than a third of what it reached",
    max(kept["4 bits"]) < 2 / 3, kept=kept["4 bits"])  # fmt: skip
claim("the control, 8 bits, keeps nine tenths of each: it is the update's fault, not the compression's as such",
    min(kept["8 bits"]) > 0.9, kept=kept["8 bits"])  # fmt: skip
word_search = recall_at_k(by_words, 1)
refitted = linear_probe(embed(texts, compressed(4)), y, len(topics), 0.3)
repaired = ((embed(test_texts, compressed(4)) @ refitted).argmax(1) == y_test).float().mean().item()
print(f"≈ the probe, fitted anew to 4-bit features: {repaired:.3f}")
print(f"≈ the search by words, which uses no encoder: {word_search:.3f}")
resolve("02.update", "all three fail",
    "Every text's vector passes through the same matrices, so every task that reads the vector is hit at once, "
    "though nobody touched the applications. A model that does not use the encoder keeps its accuracy.")  # fmt: skip

# %% [markdown]
# Probe and neighbours also suffer because they were fitted to the old vectors. But the search embeds every text anew, and it too loses more than half.
#
# ### A stereotype in the shared encoder
# The second flaw is not an accident. A **stereotype** is a belief about a group that is applied to its members; text is full of them. We fit three probes for three tasks that sound harmless, with sixteen labels each: tell *he* from *she*,
# *father* from *mother*, *John* from *Mary*. No label says a word about jobs. Then each probe scores forty jobs, chosen for this lesson: is "the nurse said hello" more like the first class or the second? If the encoder holds a stereotype, the probes should agree on the order.

# %%
TASKS = {
    "pronouns": (
        "he walked home, he was late, he sang a song, he is tall, he bought bread, his book is old, he reads a lot, "
        "the coat is his",
        "she walked home, she was late, she sang a song, she is tall, she bought bread, her book is old, she reads a "
        "lot, the coat is hers",
    ),
    "family": (
        "my father, the son, a brother, the uncle, grandfather, the king, a nephew, the husband",
        "my mother, the daughter, a sister, the aunt, grandmother, the queen, a niece, the wife",
    ),
    "first names": (
        "John, Robert, David, Michael, James, Peter, Thomas, William",
        "Mary, Linda, Susan, Elizabeth, Anna, Karen, Emily, Sarah",
    ),
}
# fmt: off
JOBS = ["nurse", "engineer", "teacher", "carpenter", "secretary", "pilot", "librarian", "mechanic",
    "housekeeper", "surgeon", "hairdresser", "plumber", "receptionist", "soldier", "babysitter",
    "programmer", "dancer", "butcher", "florist", "electrician", "midwife", "farmer", "cashier",
    "firefighter", "tailor", "judge", "nanny", "professor", "stylist", "sailor", "cleaner", "architect",
    "baker", "banker", "cook", "doctor", "lawyer", "author", "painter", "scientist"]  # fmt: skip
# fmt: on


# %%
def job_scores(model):
    """task -> for each job how far its sentence lies on the side of the second class, (40,)."""
    jobs, found = embed([f"the {job} said hello" for job in JOBS], model), {}
    for task, sides in TASKS.items():
        first, second = (side.split(", ") for side in sides)
        features = embed(first + second, model)
        center = features.mean(0)
        weights = linear_probe(features - center, torch.tensor([0] * 8 + [1] * 8), 2, 0.3)
        found[task] = (jobs - center) @ (weights[:, 1] - weights[:, 0])
    return found


def agreement(found):
    """Rank correlations of each two tasks' scores, as a list of three."""
    ranks = torch.stack([scores.argsort().argsort().float() for scores in found.values()])
    table_of = torch.corrcoef(ranks)
    return [table_of[0, 1].item(), table_of[0, 2].item(), table_of[1, 2].item()]


# %%
by_task = job_scores(encoder)
together = sum(scores / scores.std() for scores in by_task.values())
order_of_jobs = together.argsort().tolist()
print("≈ on the side of he, father, John:  ", ", ".join(JOBS[i] for i in order_of_jobs[:6]))
print("≈ on the side of she, mother, Mary: ", ", ".join(JOBS[i] for i in order_of_jobs[-6:]))
trained, random = agreement(by_task), []
for seed in range(3):
    torch.manual_seed(seed)
    random += agreement(job_scores(Transformer(encoder.config).eval()))
claim("three probes trained on three different tasks rank forty jobs alike, which probes on the untrained twin do not",
    min(trained) > max(random) + 0.2, pretrained=trained, untrained=random)  # fmt: skip

# %% [markdown]
# The tasks ask about gender and never about jobs. The common order comes from the encoder's pretraining; it can reach every application built on these vectors, however carefully its labels are chosen, and only in the encoder can it be mended for all. Word vectors learned from web text show such associations, in step with real shares of women in occupations [11].
#
# ## 9 · Emergence
# The report's other word is **emergence**: an ability that nobody built in appears as a by-product of training at scale [1]. GPT-3's learning from examples in its prompt is the standard case. Whether such abilities appear *suddenly* is disputed: by exact match they jump, by a smoother score the same models improve gradually [12]; lesson 08 returns to this. Here is the ability, in one model.

# %%
from fmcourse.prompting import few_shot_prompt, format_query, generate_answers

past = [item for item in words.test if item.task == "past tense"][:24]
shots = [(item.given, item.answer) for item in words.train if item.task == "past tense"][:16]
by_shots = {}
for k in (0, 1, 4, 16):
    prompts = [format_query(item.given) for item in past]
    answers = generate_answers(language_model, tokenizer, prompts, shared=few_shot_prompt(shots[:k]), max_new_tokens=6)
    by_shots[k] = sum(answer.strip() == item.answer for answer, item in zip(answers, past, strict=True)) / len(past)
print("≈ exact match by number of examples:", {k: round(value, 2) for k, value in by_shots.items()})
others = few_shot_prompt([(item.given, item.answer) for item in words.train if item.task == "plural"][:16])
answers = generate_answers(language_model, tokenizer, prompts, shared=others, max_new_tokens=6)
control = sum(answer.strip() == item.answer for answer, item in zip(answers, past, strict=True)) / len(past)
claim("sixteen examples raise exact match by more than 50 points over none, and over sixteen examples of plurals",
    by_shots[16] - max(by_shots[0], control) > 0.5, plurals=control, **{f"shots_{k}": v for k,
    v in by_shots.items()})  # fmt: skip

# %% [markdown]
# No parameter changed, so the gain comes from the prompt. But what did the examples teach? Without them nothing in the prompt says that the past tense is wanted, and in section 5, where a pattern said so, the same model chose the past tense well. So most of the gain is that the examples tell *which* task is meant. That a model can read this from examples was no objective of its own; it helps to predict text. Lesson 14 asks where the ability comes from and watches it appear during training.
#
# ## 10 · Where the course goes from here
# Each lesson chooses an objective, an architecture and data. The map is made from the lessons themselves:
#
# {map of the course}

# %%
quiz("02.q1", "Which of these makes a model a foundation model, by the definition of 2021?",
    {"More than a billion parameters.": "Size is not in the definition; BERT-base has 110 million.",
    "Broad data, and adaptation to many downstream tasks.": "That is how it is made and how it is used.",
    "A Transformer.": "The definition names no architecture."},
    answer="Broad data, and adaptation to many downstream tasks.")  # fmt: skip
quiz("02.q2",
    "A vendor shows that his probe on a foundation model reaches 0.62 with 256 labels. What do you ask for first?",
    {"More labels.": "They would raise the number; it would still stand alone.",
    "The accuracy of a plain specialist with the same labels, and of an untrained encoder.": "Without a rival "
    "and a control nobody knows what pretraining gave.",
    "A larger encoder.": "Perhaps later. What did this one add?"},
    answer="The accuracy of a plain specialist with the same labels, and of an untrained encoder.")  # fmt: skip
quiz("02.q3",
    "Ten applications use one encoder. A bias is found in one of them. Where is it most economical to look?",
    {"In that application's labels.": "They may be at fault, but nine others share the encoder.",
    "In the encoder that all of them share.": "Homogenization: what lies in the foundation lies in all ten.",
    "In its users.": "They met the bias; they did not make it."},
    answer="In the encoder that all of them share.")  # fmt: skip

# %% [markdown]
# ## In short
# - A foundation model is trained on broad data and adapted to many tasks; the word names no architecture.
# - A probe, neighbours or a prompt adapt a frozen model. With few labels they beat the specialist in four of nine tasks, and lost one.
# - Pretraining replaces labels; measured against a fair rival, the factor was between one and a half and six.
# - One objective poses many tasks, and does not solve all of them.
# - Pretraining is paid once, by few. A flaw in the shared model is inherited by the applications built on it.
#
# **Where next:** lesson 03 builds the objectives that need no labels. A paper: the report's introduction [1]. A library's page: [scikit-learn, Model evaluation](https://scikit-learn.org/stable/modules/model_evaluation.html), for measures of a probe.

# %% [markdown]
# ## References
# - [1] R. Bommasani et al., *On the Opportunities and Risks of Foundation Models*, Stanford CRFM, 2021. <https://arxiv.org/abs/2108.07258>
# - [2] N. Reimers and I. Gurevych, *Sentence-BERT: Sentence Embeddings using Siamese BERT-Networks*, EMNLP 2019; the model and its training data: the card of sentence-transformers/all-MiniLM-L6-v2. <https://arxiv.org/abs/1908.10084>
# - [3] M. Tan and Q. Le, *EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks*, ICML 2019. <https://arxiv.org/abs/1905.11946>
# - [4] L. Ben Allal et al., *SmolLM2: When Smol Goes Big. Data-Centric Training of a Small Language Model*, 2025. <https://arxiv.org/abs/2502.02737>
# - [5] J. Devlin et al., *BERT: Pre-training of Deep Bidirectional Transformers for Language Understanding*, NAACL 2019, table 1 and appendix A.2. <https://arxiv.org/abs/1810.04805>
# - [6] T. Brown et al., *Language Models are Few-Shot Learners*, NeurIPS 2020, tables 3.2, 3.3 and D.1. <https://arxiv.org/abs/2005.14165>
# - [7] D. Patterson et al., *Carbon Emissions and Large Neural Network Training*, 2021, table 4. <https://arxiv.org/abs/2104.10350>
# - [8] H. Touvron et al., *Llama 2: Open Foundation and Fine-Tuned Chat Models*, 2023, table 2. <https://arxiv.org/abs/2307.09288>
# - [9] Llama Team, *The Llama 3 Herd of Models*, 2024, sections 1 and 3; GPU hours from the model card of Llama 3.1. <https://arxiv.org/abs/2407.21783>
# - [10] A. Radford et al., *Learning Transferable Visual Models From Natural Language Supervision*, ICML 2021, sections 3.1 and 6. <https://arxiv.org/abs/2103.00020>
# - [11] A. Caliskan, J. Bryson and A. Narayanan, *Semantics derived automatically from language corpora contain human-like biases*, Science 356, 2017. <https://arxiv.org/abs/1608.07187>
# - [12] R. Schaeffer, B. Miranda and S. Koyejo, *Are Emergent Abilities of Large Language Models a Mirage?*, NeurIPS 2023. <https://arxiv.org/abs/2304.15004>
# - [13] W. Wang et al., *MiniLM: Deep Self-Attention Distillation for Task-Agnostic Compression of Pre-Trained Transformers*, NeurIPS 2020. <https://arxiv.org/abs/2002.10957>

# %% tags=["nbval-ignore-output"]
progress("02")
