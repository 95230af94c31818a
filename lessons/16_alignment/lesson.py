# %% [raw]
# place = ["preferences: reward model, policy gradient, DPO", "Transformer decoder", "recipes, simulated preferences"]
# builds = "an assistant in three steps: supervised fine-tuning, a reward model, reinforcement learning with a KL penalty; and DPO from the same pairs"
# terms = ["alignment", "base model", "assistant", "helpful, honest, harmless", "SFT", "chat template", "instruction tuning", "catastrophic forgetting", "preference", "Bradley-Terry model", "reward model", "label smoothing", "calibration", "length bias", "RLHF", "policy", "reference model", "KL penalty", "best-of-n", "policy gradient", "advantage", "PPO", "gold reward", "proxy reward", "reward hacking", "DPO", "alignment tax"]
# [reads]
# "fmcourse.alignment.losses" = ["bradley_terry_loss", "dpo_loss", "clipped_policy_loss"]
# "fmcourse.alignment.reward" = ["RewardModel"]

# %% [markdown]
# # 16 · Alignment: from continuing text to an assistant
# **You turn a model that continues text into one that answers, teach it what people prefer, and watch what happens when it is trained against a judge that can be fooled.**
#
# {minutes} minutes to read and do · two minutes to compute · you need lesson 06 (GPT), and lesson 13 for fine-tuning.
#
# **Afterwards you can**
# - train a model on answers alone, in a chat template, over several turns;
# - turn comparisons into a reward model, and test it for noise, calibration and length bias;
# - train a policy against a reward, with clipping and a KL penalty, or with DPO;
# - recognise reward hacking before your users do.

# %%
import copy
import math
import re

import torch
from fmcourse import alignment, pretrained
from fmcourse.alignment import losses, sample_responses
from fmcourse.course import check, claim, hint, predict, progress, quiz, reported, resolve, solution
from fmcourse.data import checkpoint, load, table
from fmcourse.generation import generate_batch
from fmcourse.generation.chat_template import apply_chat_template
from fmcourse.models.transformer import Transformer, modern
from fmcourse.plots import bars, bind_styles, curves, grouped_bars, scatter
from fmcourse.tokenizers import BPETokenizer
from fmcourse.training import RandomBatches, lesson_steps
from torch import nn
from torch.nn import functional as F

# %% [markdown]
# ## 1 · The gap
# A **base model** is a language model right after pretraining: it continues text, and it was never asked to do anything else. An **assistant** is a model that takes a message as a request and answers it. The difference is large. Asked to explain the moon landing to a
# six-year-old, GPT-3 went on with a list of further things to explain to a six-year-old [1]: on a web page, such a line is often followed by more lines like it.
#

# %% [markdown]
# **Alignment** is the training that makes a model do what its users and makers want, and not merely what is likely in text. InstructGPT did it in three steps, on which ChatGPT was built [1, 2]: examples of good answers, a model of what people prefer, and reinforcement learning against that model. You will build all three.
#
# What is wanted? A common summary is **helpful, honest, harmless**: do what is asked, do not say what is false, and do no damage [3]. The three conflict: a refusal is harmless and helps nobody. And somebody decides. For InstructGPT these were about forty contractors with written guidelines, who
# agreed with each other on 73 of 100 comparisons [1]; its authors say openly that they are not everybody.

# %% [markdown]
# Let us look at both ways of reading first, in a real assistant. SmolLM2-135M-Instruct was trained on conversations whose messages end with a special token, `<|im_end|>`. We give it only text, without any such token. How likely is it that the message ends here?

# %%
QUESTIONS = ["What is the capital of France?", "How do I boil an egg?", "Who wrote Hamlet?", "Why is the sky blue?"]
BEGINNINGS = ["The capital of France", "I like to boil", "In Hamlet there is", "The sky was blue"]
predict("16.marks", "Without any special token, SmolLM2 gives to 'end of the message' after a question",
        ["nearly no probability: no conversation was opened", "more than a tenth"])  # fmt: skip

# %%
smollm, pieces = pretrained.load("smollm2-135m-instruct")
(IM_END,) = pieces.encode("<|im_end|>", allow_special=True)


def next_probabilities(ids):
    with torch.inference_mode():
        return smollm(torch.tensor([ids]))[0, -1].softmax(-1)


after = {kind: [next_probabilities(pieces.encode(text))[IM_END].item() for text in texts]
         for kind, texts in {"a question": QUESTIONS, "an unfinished sentence": BEGINNINGS}.items()}  # fmt: skip
bars(after, xlabel="probability that the message ends",
     alt="Probability of the end of the message: about 0.4 after questions, else zero.")  # fmt: skip
lowest, highest = min(after["a question"]), max(after["an unfinished sentence"])
claim("after each question the message is likelier to end than after any unfinished sentence, and by more than 0.1",
      lowest > 0.1 + highest, lowest_question=lowest, highest_sentence=highest)  # fmt: skip
resolve("16.marks", "more than a tenth" if lowest > 0.1 else "nearly no probability: no conversation was opened",
        "Conversations changed what a question is for the model: the end of somebody's message.")  # fmt: skip

# %% [markdown]
# So alignment is not a layer around the model. It is in the probabilities of the next token, which describe conversations. (SmolLM2's base model is not here to compare.)
#
# ### Harm
# What a model continues, it also continues when it is unkind. Gehman et al. found that language models complete even harmless beginnings with insults now and then, and hostile ones much more often [4]. Our test is mild: four beginnings of sentences that announce something unkind, and four that differ in a word or two. Among the next words that are
# opinions, which share of the probability is negative? A list of 714 such words, with labels, ships with the course.

# %%
UNKIND = ["The angry customer shouted that the waiter was", "In her cruel review she wrote that the young singer was",
          "The rude man said that old people are", "Furious fans wrote that the referee was"]  # fmt: skip
KIND = ["The happy customer said that the waiter was", "In her kind review she wrote that the young singer was",
        "The polite man said that old people are", "Grateful fans wrote that the referee was"]  # fmt: skip
opinions = load("opinions")
labels = dict([*opinions.train, *opinions.validation, *opinions.test])
tokens = {ids[0]: label for word, label in labels.items() if len(ids := pieces.encode(" " + word)) == 1}
negative, positive = ([i for i, label in tokens.items() if label == one] for one in ("negative", "positive"))
ASKED = apply_chat_template(pieces, [{"role": "user", "content": "Please finish this sentence kindly."}])


def negative_share(sentences, before=()):
    """Of the probability on opinion words, the share of the negative ones, for each sentence."""
    rows = [next_probabilities([*before, *pieces.encode(sentence)]) for sentence in sentences]
    return [(p[negative].sum() / p[[*negative, *positive]].sum()).item() for p in rows]


# %%
plain, control, asked = negative_share(UNKIND), negative_share(KIND), negative_share(UNKIND, ASKED)
bars({"unkind beginning": plain, "unkind, asked to be kind": asked, "kind beginning": control},
     xlabel="negative share of opinions (mean and range of four sentences)",
     alt="Negative share: 0.75 after unkind beginnings, hardly less when asked, 0.3 after kind ones.")  # fmt: skip
claim("every unkind beginning has a larger negative share than its kind twin",
      all(a > b for a, b in zip(plain, control, strict=True)), unkind=plain, kind=control)  # fmt: skip
claim("asked to be kind, the model still gives the negative words more than half, on average",
      sum(asked) / len(asked) > 0.5, asked=asked)  # fmt: skip

# %% [markdown]
# A request to be kind lowered the mean share a little, and raised it for one of the four. The text itself decides most of it: a small assistant that is made to finish an unkind sentence finishes it unkindly. Eight sentences prove no rate; they show the mechanism. Lesson 16b comes back to refusals, and to what they cost.

# %% [markdown]
# ## 2 · A base model of our own
# SmolLM2 is too large to be aligned in two minutes. Our base model is the one that lesson 11 compared with diffusion: 280,000 parameters, trained on a cookbook in lower-case letters to predict the next token, as in lesson 06. It has never seen a question.
#
# A conversation needs marks that text does not contain. We add three tokens, so embedding and head get three more rows. The head's new rows are copied from a token that never occurred in training: at first the marks have nearly no probability.

# %%
cookbook, shipped, full = load("recipes"), table("lesson_16"), lesson_steps(100) == 100
MARKS = ["<|user|>", "<|assistant|>", "<|end|>"]


def letters(text):
    return " " + re.sub("[^a-z]+", " ", text.lower()).strip()


tokenizer = BPETokenizer.train(letters(cookbook.train), 1027, special_tokens=MARKS)
USER, ASSISTANT, END = (tokenizer.encode(mark, allow_special=True)[0] for mark in MARKS)
torch.manual_seed(0)
base = Transformer(modern(vocab_size=tokenizer.vocab_size, context=160, width=64, depth=3, heads=2))
for name, tensor in checkpoint("words_causal").tensors.items():
    base.state_dict()[name][: len(tensor)] = tensor
base.head.weight.data[1024:] = base.head.weight.data[1024]
beginnings = [" add the onions and", " how do i make apple pie"]
for beginning, text in zip(
    beginnings, generate_batch(base, tokenizer, beginnings, max_new_tokens=25, seed=0), strict=True
):
    print(f"{beginning} ≈{text}")

# %% [markdown]
# Both texts go on like a recipe. The second is a question, and the model does not answer it: it knows no turns, and no place to stop.
#
# ## 3 · Step one: supervised fine-tuning
# **SFT** (supervised fine-tuning) trains on examples of what the assistant should write, with the same cross-entropy as in pretraining. If the examples are instructions of many kinds with their answers, one speaks of **instruction tuning**: the model learns to follow instructions that it was not trained on.
#
# A conversation has to become one sequence of tokens. A **chat template** is the fixed form in which that is done: special tokens say who speaks and where a message ends. Only what the assistant writes is to be learned, so our function also marks these tokens.


# %%
def encode_chat(messages):
    """Token ids of a conversation, and for each whether the assistant has to write it."""
    ids, is_response = [], []
    for role, text in messages:
        body = [*tokenizer.encode(text), END]  # the end belongs to the message: the model must learn to stop
        ids += [USER if role == "user" else ASSISTANT, *body]
        is_response += [False] + [role == "assistant"] * len(body)
    return ids, is_response


def ask(question):
    """The ids up to where the assistant's answer begins."""
    return [*encode_chat([("user", question)])[0], ASSISTANT]


shown = encode_chat([("user", " how do i make tea"), ("assistant", " boil the water")])
for i, learn in zip(*shown, strict=True):
    print(f"{tokenizer.decode([i])}{'*' if learn else ''}", end=" ")

# %% [markdown]
# (A star marks what is learned.) The examples are made from the cookbook by a program. Each recipe with a short first step gives two conversations: how one makes the dish, answered by the first step; and what one needs for it, answered by the ingredients, with a second turn, "how do i begin". Every other recipe is kept for later.


# %%
def make_chats(recipe):
    title, step = letters(recipe.title), letters(recipe.steps[0])
    needed = letters(" ".join(recipe.ingredients[:4]))
    first = [("user", f" how do i make{title}"), ("assistant", step)]
    needs = [("user", f" what do i need for{title}"), ("assistant", needed)]
    return first, [*needs, ("user", " how do i begin"), ("assistant", step)]


def usable(split):
    """Recipes whose first step is a sentence of at most 32 tokens."""
    found = [r for r in cookbook.works_in(split) if r.ingredients and r.steps and 2 < len(letters(r.title)) < 30]
    steps = [letters(r.steps[0]) for r in found]
    return [
        r for r, step in zip(found, steps, strict=True) if len(step.split()) > 4 and len(tokenizer.encode(step)) <= 32
    ]


def chat_tensors(chats):
    """Ids (N, T), padded on the right, and the mask of what the assistant writes."""
    encoded = [encode_chat(chat) for chat in chats]
    rows = [[torch.tensor(parts[k]) for parts in encoded] for k in (0, 1)]
    return [nn.utils.rnn.pad_sequence(one, batch_first=True) for one in rows]


# %%
recipes, unseen = usable("train"), usable("validation")
chats, unseen_chats = ([chat for r in some for chat in make_chats(r)] for some in (recipes[::2], unseen))
TITLES, UNSEEN_TITLES = ([letters(r.title) for r in some] for some in (recipes[1::2], unseen))
print(f"{len(chats):,} conversations to learn from, {len(unseen_chats)} held out")
print(*chats[1], sep="\n")

# %% [markdown]
# The loss is the cross-entropy of the marked tokens alone. The prompt is read and not learned, since nobody wants a model that asks the questions:
# $$\mathcal L_{\text{SFT}} = -\frac1{\sum_t m_t}\sum_t m_t \log \pi_\theta(y_t \mid y_{<t}), \qquad m_t = 1 \text{ where the assistant writes.}$$
#
# One loop serves for all that follows: AdamW, ten steps of warm-up, a linear decay and clipped gradients, as in lesson 06. What changes is the loss.

# %% exercise="16.1"


# %%
def train(model, loss_of, data, steps, lr):
    """Minimize loss_of(model, data[step]); returns the losses."""
    optimizer, found = torch.optim.AdamW(model.parameters(), lr=lr, betas=(0.9, 0.98), weight_decay=0.0), []
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = lr * min(1, (step + 1) / 10) * (1 - step / steps)
        loss = loss_of(model, data[step])
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        found.append(loss.item())
    return found


def without_padding(ids, mask):
    """Without the last columns, in which no row has a token: (..., T)."""
    length = int(mask.flatten(0, -2).any(0).nonzero().max()) + 1
    return ids[..., :length], mask[..., :length]


def sft_loss(model, batch):
    ids, mask = without_padding(*batch)
    return response_loss(model(ids), ids, mask)


# %%
held_out = chat_tensors(unseen_chats[:128])
with torch.no_grad():
    ours, theirs = sft_loss(base, held_out).item(), alignment.supervised_fine_tuning(base, held_out).value.item()
claim("the loss of exercise 16.1 equals the package's", abs(ours - theirs) < 1e-4, ours=ours, package=theirs)
policy, steps = copy.deepcopy(base), lesson_steps(150)
history = train(policy, sft_loss, RandomBatches(*chat_tensors(chats), batch=16), steps, lr=3e-3)
with torch.no_grad():
    tuned = sft_loss(policy, held_out).item()
curves(range(1, steps + 1), {"training": history}, points={"held out": {0: theirs, steps: tuned}}, xlabel="step",
       ylabel="cross-entropy (nats per token)",
       alt="The loss of the answers falls fast, then slowly; held out it ends half a nat higher.")  # fmt: skip
claim("SFT lowers the loss of held-out answers", tuned < theirs or not full, base_model=theirs, after_SFT=tuned)

# %% [markdown]
# How few examples can suffice? Zhou et al. tuned a model of 65 billion parameters on 1,000 chosen conversations, and people often liked its answers as much as those of far more elaborately aligned models [5]. Their reading: the knowledge comes from pretraining, and SFT teaches the form.
#
# What does the model answer now? The base model gets a fair chance: the same question after two examples of a question and its answer, as plain text.


# %%
def answer(model, questions, seed=0, copies=1):
    """Sampled answers of at most 40 tokens: the prompts and the answers, as lists of ids."""
    prompts, answers = [ask(q) for q in questions for _ in range(copies)], []
    for first in range(0, len(prompts), 128):
        batch = prompts[first : first + 128]
        answers += sample_responses(model, tokenizer, batch, max_new_tokens=40, end_id=END, seed=seed + first)
    return prompts, answers


def as_text(ids):
    return tokenizer.decode([i for i in ids if i != END])


questions = [f" how do i make{title}" for title in UNSEEN_TITLES[:48]]
shots = "".join(f"{chat[0][1]}{chat[1][1]}" for chat in chats[2:6:2])
few = [answer[: answer.find(" how do i")] if " how do i" in answer else answer for answer in generate_batch(
    base, tokenizer, [f"{shots}{q}" for q in questions[:4]], max_new_tokens=30, seed=0)]  # fmt: skip
sampled = answer(policy, questions, copies=8)
for q, before, after in zip(questions[:4], few, sampled[1][::8], strict=False):
    print(f"{q}\n    ≈ base model: {before}\n    ≈ after SFT: {as_text(after)}")

# %% [markdown]
# Tuned, the model often begins like a cook and mostly stops by itself; of the four above one is empty and one runs on to the limit. It is no good cook: 280,000 parameters know little, and many answers contain words that do not exist. Alignment will not add knowledge. It can change which of the possible answers the model gives, and that is what we do next.
#
# ### Several turns, and what is forgotten
# Half of our conversations have a second turn, "how do i begin", which names no dish. Does the model use the first turn? We measure the loss of the second answer in its own conversation, and as a control behind the first turn of another one.


# %%
def second_turn_loss(model, pairs):
    """Loss of the second answers, behind the first turns given with them: nats per token."""
    ids, mask = chat_tensors([[*before, *turn] for before, turn in pairs])
    starts = torch.tensor([len(encode_chat([*before, turn[0]])[0]) for before, turn in pairs])
    mask = mask & (torch.arange(ids.shape[1]) >= starts[:, None])
    with torch.no_grad():
        return response_loss(model(ids), ids, mask).item()


two = [chat for chat in unseen_chats if len(chat) == 4][:96]
own = second_turn_loss(policy, [(chat[:2], chat[2:]) for chat in two])
swapped = second_turn_loss(policy, [(one[:2], chat[2:]) for chat, one in zip(two, two[1:] + two[:1], strict=True)])
claim("a second answer costs less behind its own first turn than behind another's", own < swapped or not full,
      own=own, swapped=swapped)  # fmt: skip

# %%
options = ["falls: the answers were recipes, too", "stays within 0.05 nats per token", "rises by more than 0.05"]
predict("16.forget", "SFT has seen nothing but conversations. On plain recipes, held out, the loss", options)


# %%
def plain_loss(model, text):
    """Nats per token of a plain text, in windows of 32 tokens as in the base model's training."""
    ids = torch.tensor(tokenizer.encode(text))
    ids = ids[: len(ids) // 32 * 32].view(-1, 32)
    with torch.no_grad():
        return F.cross_entropy(model(ids[:, :-1]).flatten(0, 1), ids[:, 1:].flatten()).item()


plain = letters(cookbook.validation[:40_000])
before, after = plain_loss(base, plain), plain_loss(policy, plain)
resolve("16.forget", options[(after > before - 0.05) + (after > before + 0.05)],
        "The weights moved towards first steps and lists; nothing in the loss asked to keep the rest.")  # fmt: skip
claim("after SFT the loss on plain recipes is higher than before", after > before or not full,
      base_model=before, after_SFT=after)  # fmt: skip

# %% [markdown]
# The second answer lost only 0.02 nats behind another's first turn: the model hardly uses it. Plain recipes cost 0.3 nats more than before. **Catastrophic forgetting** is the loss of earlier abilities while a network is trained on something new. For assistants one speaks of the **alignment tax**: what alignment costs on other tasks. InstructGPT paid it on some public benchmarks, and reduced it by mixing in gradients of the pretraining text [1].

# %% [markdown]
# ## 4 · Step two: a model of what people prefer
# Nobody can write down a loss for "a good answer", but people can say which of two answers they like better. Such a comparison is called a **preference**: for one prompt, a chosen answer and a rejected one.
#
# We have no people here, so a program plays them. The **gold reward** is the rating that is really wanted, which in real life only careful people could give. Gao et al. let a large reward model play this part, since a program may be asked as often as one likes [6]. Ours is a list of rules that you can read.

# %%
KNOWN = set(letters(cookbook.train).split())


def gold_reward(title, text):
    """What our simulated people like: words of the dish, information, no made-up or repeated words, brevity."""
    words = text.split()
    names_dish = any(word in words for word in title.split() if len(word) >= 4)
    informative = min(len({word for word in words if len(word) >= 4}), 8) / 8
    made_up = sum(word not in KNOWN for word in words) / max(1, len(words))
    repeated = 1 - len(set(words)) / max(1, len(words))
    return names_dish + 2 * informative - 2 * made_up - repeated - max(0, len(words) - 16) / 8


def gold_rewards(titles, answers):
    return torch.tensor([gold_reward(title, as_text(ids)) for title, ids in zip(titles, answers, strict=True)])


for text in (" preheat the oven and butter a large pan", " melt the butter melt the butter in a sarlow pan"):
    print(f"{gold_reward(' butter cake', text):5.2f} {text}")

# %% [markdown]
# These people want short answers: beyond sixteen words every further word costs. Remember that; it is what the reward model will get wrong.
#
# Now 500 questions about the recipes that we kept get two answers each from our policy, and our people choose. They are not perfect: three in ten are in a hurry and take the longer answer without reading, and one in ten clicks the wrong button.


# %%
def random_titles(n, seed, number):
    generator = torch.Generator().manual_seed(1000 * seed + number)
    return [TITLES[i] for i in torch.randint(len(TITLES), (n,), generator=generator)]


def ask_for_pairs(model, n, seed):
    """Two answers to each of n random questions: titles, prompts, answers; their gold rewards and lengths (n, 2)."""
    titles = [title for title in random_titles(n, seed, 500) for _ in range(2)]
    prompts, answers = answer(model, [f" how do i make{title}" for title in titles[::2]], 7000 * seed + 5, copies=2)
    lengths = torch.tensor([len(ids) for ids in answers])
    return prompts, answers, gold_rewards(titles, answers).view(-1, 2), lengths.view(-1, 2)


def choose(gold, lengths, hurried, wrong, seed):
    """Which of two answers (N, 2) each person picks, (N,): a share takes the longer, a share errs."""
    draw = torch.rand(2, len(gold), generator=torch.Generator().manual_seed(seed))
    picked = torch.where(draw[0] < hurried, lengths.argmax(1), gold.argmax(1))
    return torch.where(draw[1] < wrong, 1 - picked, picked)


def sorted_pairs(prompts, answers, picked):
    """Ids and mask (N, 2, T), the picked answer first; `answers` holds the two of each prompt in turn."""
    order = (2 * torch.arange(len(picked))[:, None] + torch.stack([picked, 1 - picked], 1)).flatten().tolist()
    ids, mask = alignment.pad_responses([prompts[i] for i in order], [answers[i] for i in order])
    return ids.unflatten(0, (-1, 2)), mask.unflatten(0, (-1, 2))


# %%
prompts, answers, gold, lengths = ask_for_pairs(policy, 500 if full else 32, seed=0)
picked = choose(gold, lengths, hurried=0.3, wrong=0.1, seed=0)
pairs = sorted_pairs(prompts, answers, picked)
for i in (0, 1):
    first, second = (as_text(answers[2 * i + k]) for k in (picked[i], 1 - picked[i]))
    print(f"{as_text(prompts[2 * i][1:-1])}\n    ≈ chosen:   {first}\n    ≈ rejected: {second}")
agree = (picked == gold.argmax(1)).float().mean()
claim("between 0.65 and 0.85 of the labels agree with the gold reward", 0.65 < agree < 0.85 or not full, agree=agree)

# %% [markdown]
# InstructGPT's labelers agreed with each other on 73 of 100 pairs, so noisy labels are the rule; ours agree with the gold reward on 78 of 100, which is another measure.
#
# How do comparisons become a number? The **Bradley-Terry model** gives each answer a reward r, and the probability that one is preferred depends on the difference alone [7]:
# $$P(a \succ b) = \sigma(r_a - r_b) = \frac{1}{1 + e^{-(r_a - r_b)}} .$$
# A **reward model** is a network that computes such an r from a prompt and an answer. Its loss is the cross-entropy of the labels under this probability. **Label smoothing** replaces the label "the first was preferred" by "with probability 1 - s the first", so that one wrong label cannot demand an endless difference.

# %% exercise="16.2"

# %% [markdown]
# The network is the policy itself, with one number in place of the logits, read at the last token of the answer, which has seen all of it.


# %%
class RewardModel(nn.Module):
    """A causal language model with one number as its head, read at the last token of an answer."""

    def __init__(self, backbone):
        super().__init__()
        self.backbone, self.head = backbone, nn.Linear(backbone.config.width, 1)

    def forward(self, ids, mask):  # (B, T) -> (B,)
        last = mask.int().cumsum(1).argmax(1)  # the first place where the count is complete
        return self.head(self.backbone.states(ids)[torch.arange(len(ids)), last])[:, 0]


def reward_loss(model, batch):
    ids, mask = without_padding(*batch)  # (B, 2, T), the chosen answer first
    rewards = model(ids.flatten(0, 1), mask.flatten(0, 1)).view(-1, 2)
    return preference_loss(rewards[:, 0], rewards[:, 1])


def train_reward_model(policy, pairs, steps, seed=0):
    torch.manual_seed(seed)
    model = RewardModel(copy.deepcopy(policy))
    return model, train(model, reward_loss, RandomBatches(*pairs, batch=16, seed=seed), steps, lr=1e-3)


# %%
chosen, rejected = torch.randn(2, 8, generator=torch.Generator().manual_seed(0))
ours, theirs = preference_loss(chosen, rejected).item(), losses.bradley_terry_loss(chosen, rejected).item()
claim(
    "without smoothing, exercise 16.2 equals the package's loss", abs(ours - theirs) < 1e-6, ours=ours, package=theirs
)
reward_model, history = train_reward_model(policy, pairs, lesson_steps(50))
theirs = alignment.RewardModel(copy.deepcopy(policy))
theirs.load_state_dict(reward_model.state_dict())
with torch.no_grad():
    batch = [part[:8, 0] for part in pairs]
    claim("the class above and the package's give equal rewards with equal weights",
          torch.allclose(reward_model(*batch), theirs(*batch)))  # fmt: skip
curves(range(1, len(history) + 1), {"training": history}, xlabel="step", ylabel="loss (nats per pair)",
       alt="The loss falls from about 0.7 to somewhat above 0.6, with much noise.")  # fmt: skip

# %% [markdown]
# A coin flip costs log 2 = 0.69 nats, and wrong labels keep the loss from falling far below it. What counts are questions and answers that were not used: eight answers to each of 48 held-out questions, in all pairs of answers to the same question, judged by the gold reward itself.


# %%
def rewards_of(model, prompts, answers):
    """Rewards of many answers, without gradients."""
    return alignment.score_responses(model, *alignment.pad_responses(prompts, answers))


def proxy_reward(prompts, answers):
    return rewards_of(reward_model, prompts, answers)


def differences(values, group=8):
    """Differences within all pairs of a group of answers to one question: (N G,) -> (N, pairs)."""
    values = values.float().view(-1, group)
    i, j = torch.triu_indices(group, group, 1)
    return values[:, i] - values[:, j]


def measure_rewards(rewards, gold, lengths):
    """Accuracy against the gold reward; and how often the longer of two about equally good answers is preferred."""
    d_reward, d_gold, d_length = map(differences, (rewards, gold, lengths))
    differ, alike = d_gold.abs() > 0.01, (d_gold.abs() < 0.2) & (d_length.abs() > 3)
    accuracy = ((d_reward > 0) == (d_gold > 0))[differ].float().mean().item()
    return accuracy, ((d_reward > 0) == (d_length > 0))[alike].float().mean().item()


# %%
asked = [title for title in UNSEEN_TITLES[:48] for _ in range(8)]
unseen_gold, unseen_lengths = gold_rewards(asked, sampled[1]), torch.tensor([len(ids) for ids in sampled[1]])
rewards = rewards_of(reward_model, *sampled)
accuracy, longer = measure_rewards(rewards, unseen_gold, unseen_lengths)
claim("on held-out pairs the reward model agrees with the gold reward more often than a coin",
      accuracy > 0.5 or not full, accuracy=accuracy)  # fmt: skip

# %% [markdown]
# ### Wrong labels
# How much do wrong labels harm? For the table, reward models were trained on 500 pairs with all labels right or a fifth of them wrong, without people in a hurry.

# %%
predict("16.noise", "With a fifth of the labels wrong, the accuracy on correctly labelled pairs is",
        ["near 0.5: it learns the mistakes", "more than half of its gain over a coin is left"])  # fmt: skip

# %%
seeds = shipped["seeds"]
noise = {share: [one["wrong"][share]["accuracy"] for one in seeds] for share in seeds[0]["wrong"]}
bars({f"{float(share):.0%} wrong": values for share, values in noise.items()}, baseline={"a coin": 0.5},
     xlabel=f"accuracy on held-out pairs ({len(seeds)} seeds)",
     alt="Accuracy of reward models without wrong labels and with a fifth wrong, beside a coin's 0.5.")  # fmt: skip
means = {share: sum(values) / len(seeds) for share, values in noise.items()}
kept = (means["0.2"] - 0.5) / (means["0.0"] - 0.5)
resolve("16.noise", ["near 0.5: it learns the mistakes", "more than half of its gain over a coin is left"][kept > 0.5],
        "Errors that fall on all pairs alike cancel out over many pairs. They slow learning down.")  # fmt: skip
reported("with a fifth of the labels wrong the mean accuracy is lower", means["0.0"] > means["0.2"], table=shipped, **{
    f"wrong_{share}": values for share, values in noise.items()})  # fmt: skip

# %% [markdown]
# ### Is it as sure as it is right?
# The difference of two rewards is also a statement of confidence: σ(d) is the probability that the preferred answer is the better one. **Calibration** means that such probabilities are right: of the pairs with confidence 0.8, eight in ten are decided rightly [8].

# %%
pairs_of_rewards = differences(rewards).flatten(), differences(unseen_gold).flatten()
told_apart = pairs_of_rewards[1].abs() > 0.01
d = (pairs_of_rewards[0] * pairs_of_rewards[1].sign())[told_apart]  # the better answer's reward minus the other's
diagram = alignment.calibration(torch.stack([d, torch.zeros_like(d)], 1))
sure, right = [one.confidence for one in diagram], [one.accuracy for one in diagram]
curves(sure, {"reward model": right, "calibrated": sure}, xlabel="confidence", ylabel="accuracy", ylim=(0.4, 1.0),
       alt="Accuracy against confidence in bins, beside the diagonal of a calibrated model.")  # fmt: skip
gap = sum(one.count * (one.accuracy - one.confidence) for one in diagram) / len(d)
print(f"≈ accuracy minus confidence, averaged over the pairs: {gap:+.3f}")

# %% [markdown]
# The line runs a little below the diagonal: the model is right somewhat less often than it is sure. One possible reason is what the labels say about length, which the gold reward does not confirm; we did not test it.
#
# ### What the hurried people taught
# Three in ten labels say only which answer is longer. A **length bias** is a preference for longer answers beyond what their quality deserves; reward models trained on real comparisons have it, too, and much of what RLHF gained on some benchmarks was length [9]. To see it, take pairs that are about equally good by the gold reward, and of different length.

# %%
hurried = {label: [one["hurried"][key]["longer"] for one in seeds] for label, key in
           {"three in ten in a hurry": "as trained", "the same, length removed": "length removed"}.items()}  # fmt: skip
careful = {"nobody in a hurry": [one["wrong"]["0.0"]["longer"] for one in seeds]}
bars(careful | hurried, baseline={"as often": 0.5},
     xlabel=f"longer of two equally good answers preferred ({len(seeds)} seeds)",
     alt="How often the longer answer is preferred, by three reward models, beside 0.5.")  # fmt: skip
more = [one["hurried"]["as trained"]["longer"] - one["wrong"]["0.0"]["longer"] for one in seeds]
reported("people in a hurry make the model prefer the longer more often, in each seed", min(more) > 0, table=shipped)  # fmt: skip


def length_slope(rewards, lengths, group=8):
    """By how much the reward rises with each token, among answers to the same question (least squares)."""
    r, n = (part.float().view(-1, group) for part in (rewards, lengths))
    r, n = r - r.mean(1, keepdim=True), n - n.mean(1, keepdim=True)
    return ((r * n).sum() / (n * n).sum()).item()


slope = length_slope(rewards, unseen_lengths)
corrected = measure_rewards(rewards - slope * unseen_lengths, unseen_gold, unseen_lengths)
claim("without its slope in length the reward prefers the longer of two equally good answers less often",
      corrected[1] < longer or not full, slope=slope, before=longer, after=corrected[1])  # fmt: skip

# %% [markdown]
# The cure is simple: fit a line to the reward against the length, among answers to the same question, and subtract it. Dubois et al. did so, with a regression, for a benchmark whose judge liked long answers [10]. It is not free: where length and quality belong together, the line takes some quality with it.

# %% [markdown]
# ## 5 · Step three: reinforcement learning
# **RLHF**, reinforcement learning from human feedback, lets the model write, has the reward model rate what it wrote, and makes what was rated highly likelier. The model that writes is called the **policy**, π. A frozen copy of it as it was before, the **reference model**, π_ref, is kept beside it. One maximizes
# $$\mathbb E_{y\sim\pi}\,\big[r(x,y)\big] \;-\; \beta\,\mathrm{KL}\big(\pi(\cdot\mid x)\,\|\,\pi_{\text{ref}}(\cdot\mid x)\big).$$
# The **KL penalty** charges the policy for every nat by which it moves away from the reference. Why that is needed we will see. The reward model's rating is called the **proxy reward**: it stands for the gold reward, and only near the answers it was trained on.

# %% [markdown]
# ### Without training: best-of-n
# The simplest way to more reward is to write n answers and give the one with the highest proxy reward; this is called **best-of-n**. Its KL to the reference is at most about log n - (n - 1) / n, 1.2 nats for n = 8 [6]. It needs no training, and n times the work for every answer.


# %%
def best_of_n(rewards, gold, group=8):
    """n -> mean proxy and gold reward of the answer with the highest proxy reward among the first n."""
    r, g = rewards.view(-1, group), gold.view(-1, group)
    best = {n: r[:, :n].argmax(1, keepdim=True) for n in (1, 2, 4, 8)}
    return {n: [r.gather(1, i).mean().item(), g.gather(1, i).mean().item()] for n, i in best.items()}


chosen = best_of_n(rewards, unseen_gold)
lines = {name: [row[k] for row in chosen.values()] for k, name in enumerate(("proxy reward", "gold reward"))}
curves(list(chosen), lines, xlog=True, xlabel="n", ylabel="mean reward of the chosen answers",
       alt="With n the proxy reward rises all the way; the gold reward rises at first and then no more.")  # fmt: skip
claim("the best of eight has a higher proxy reward than a single answer", chosen[8][0] > chosen[1][0],
      proxy=[chosen[1][0], chosen[8][0]], gold=[chosen[1][1], chosen[8][1]])  # fmt: skip

# %% [markdown]
# ### The policy gradient
# To train the policy itself, we need the gradient of an expected reward. The **policy gradient** estimates it from the policy's own samples:
# $$\nabla\, \mathbb E_{y\sim\pi}[r(y)] = \mathbb E_{y\sim\pi}\big[A(y)\, \nabla \log \pi(y)\big] :$$
# raise the log-probability of every sampled answer in proportion to its **advantage** A, which says how much better than expected it turned out. We sample eight answers to each question; the advantage is the reward minus the mean of the eight, divided by their standard deviation, as in GRPO [11]. (InstructGPT's PPO trained a second network to say what is to be expected.)

# %% [markdown]
# Sampling is expensive, so one wants several updates from one batch of answers. But after the first update the answers no longer come from the current policy. **PPO** (proximal policy optimization) is a policy gradient that weighs each token by the ratio ρ of its new to its old probability, and clips this ratio: once a token's ratio has left 1 ± ε in the direction of its advantage, its gradient is zero [12].
#
# The KL of an answer is estimated by log π - log π_ref of its own tokens, and subtracted from its reward. First we leave it away, and maximize the proxy reward with nothing to hold the policy back. That nobody should do, and it shows what the penalty is for.

# %% exercise="16.4"


# %%
new, old, advantages = torch.randn(3, 4, 6, generator=torch.Generator().manual_seed(0))
ours = clipped_loss(new, old, advantages, torch.ones(4, 6).bool(), 0.2).item()
theirs = losses.clipped_policy_loss(new, old, advantages, 0.2).mean().item()
claim("exercise 16.4 equals the package's loss", abs(ours - theirs) < 1e-6, ours=ours, package=theirs)


def token_log_probs(model, ids):
    """log p of every token but the first, (B, T - 1)."""
    return model(ids[:, :-1]).log_softmax(-1).gather(-1, ids[:, 1:, None])[..., 0]


def sample_round(policy, reference, seed, number, n_questions=6, group=8):
    """Answers of the policy to random questions: titles, prompts, answers, ids, mask, and log p under both models."""
    titles = random_titles(n_questions, seed, number)
    prompts, answers = answer(policy, [f" how do i make{title}" for title in titles], 1000 * seed + number, group)
    ids, mask = alignment.pad_responses(prompts, answers)
    with torch.no_grad():
        old, before = token_log_probs(policy, ids), token_log_probs(reference, ids)
    return [title for title in titles for _ in range(group)], prompts, answers, ids, mask[:, 1:], old, before


def policy_step(policy, optimizer, ids, mask, old, advantages):
    """One step on the clipped loss of some of the answers."""
    loss = clipped_loss(token_log_probs(policy, ids), old, advantages[:, None], mask, 0.2)
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(policy.parameters(), 1.0)
    optimizer.step()


# %%
def optimize(policy, reference, reward, kl_coef, rounds, seed=0, lr=1e-3, group=8):
    """The policy gradient: sample, score, compare within each question, update twice. Returns what each round saw."""
    optimizer, seen = torch.optim.AdamW(policy.parameters(), lr=lr, betas=(0.9, 0.99), weight_decay=0.0), []
    for number in range(rounds):
        titles, prompts, answers, ids, mask, old, before = sample_round(policy, reference, seed, number, group=group)
        proxy, kl = reward(prompts, answers), ((old - before) * mask).sum(1)
        penalized = (proxy - kl_coef * kl).view(-1, group)
        spread = penalized.std(1, keepdim=True) + 1e-4
        advantages = ((penalized - penalized.mean(1, keepdim=True)) / spread).flatten()
        for part in torch.randperm(len(ids), generator=torch.Generator().manual_seed(number)).chunk(2):
            policy_step(policy, optimizer, ids[part], mask[part], old[part], advantages[part])
        gold = gold_rewards(titles, answers)
        seen.append([part.float().mean().item() for part in (proxy, gold, kl, mask.sum(1))])
    return seen


# %%
options = ["the gold reward rises as long as the proxy reward does", "the proxy reward rises, the gold reward hardly",
           "the proxy reward rises, the gold reward falls"]  # fmt: skip
predict("16.hack", "Without a penalty, from the rounds 9 to 12 to the rounds 21 to 24", options)

# %%
free = copy.deepcopy(policy)
rounds = optimize(free, policy, proxy_reward, 0.0, 24 if full else 3, lr=3e-3)
proxy, gold_seen, kl, length = (torch.tensor(column) for column in zip(*rounds, strict=True))
curves(range(1, len(rounds) + 1), {"proxy reward": proxy.tolist(), "gold reward": gold_seen.tolist()}, xlabel="round",
       ylabel="mean reward of the round's answers",
       alt="The proxy reward climbs over all rounds; the gold reward rises much less and flattens.")  # fmt: skip

# %%
middle, end = slice(8, 12) if full else slice(0, 1), slice(-4, None)
rise, change = ((part[end].mean() - part[middle].mean()).item() for part in (proxy, gold_seen))
resolve("16.hack", options[0 if change > 0.1 else 1 if change > -0.1 else 2],
        "What both rewards agree on was found first; the rest is the reward model's own taste.")  # fmt: skip
claim(
    "the KL to the reference ends above 10 nats an answer", kl[-1] > 10 or not full, kl=kl[-1], proxy=rise, gold=change
)


def different_words(model):
    """Answers to the 48 questions, and how many different words they have in all."""
    texts = [as_text(ids) for ids in answer(model, questions, seed=1)[1]]
    return texts, len({word for text in texts for word in text.split()})


(tuned_texts, n_tuned), (free_texts, n_free) = different_words(policy), different_words(free)
for q, text in zip(questions[:5], free_texts, strict=False):
    print(f"{q} ≈ {text}")
claim("without a penalty the answers to 48 questions have fewer different words", n_free < n_tuned or not full,
      before=float(n_tuned), without_penalty=float(n_free))  # fmt: skip

# %% [markdown]
# **Reward hacking** means getting reward in ways that the reward was not meant to pay. The answers above string kitchen words together, yet the gold reward did not fall in this seed. Our rules count real and different words, so even the gold reward is a stand-in and pays for that. Gao et al. measured such curves for reward models of many sizes: against √KL the gold reward rises and falls again, while the proxy reward goes on rising [6]. A larger reward model moves the maximum.
#
# ### With the penalty
# The table has training at a third of the rate above, with and without a penalty, the run above in three seeds (fast), and β = 0.1 against the reward without its slope in length (repaired).


# %%
def kl_per_answer(policy, reference, ids, mask):
    """KL(policy, reference) over the whole vocabulary, added up over the tokens of each answer: (B,), nats."""
    with torch.no_grad():
        log_p, log_q = (model(ids[:, :-1]).log_softmax(-1) for model in (policy, reference))
    return ((log_p.exp() * (log_p - log_q)).sum(-1) * mask[:, 1:]).sum(1)


def evaluate(model, reference, reward, titles, copies=2):
    """Held-out questions: proxy reward, gold reward, KL to the reference and length of the answers."""
    asked = [title for title in titles for _ in range(copies)]
    prompts, answers = answer(model, [f" how do i make{title}" for title in titles], 99, copies)
    ids, mask = alignment.pad_responses(prompts, answers)
    found = {"proxy": reward(prompts, answers), "gold": gold_rewards(asked, answers)}
    found |= {"kl": kl_per_answer(model, reference, ids, mask), "length": mask.sum(1).float()}
    return {key: values.mean().item() for key, values in found.items()}


live = {name: evaluate(model, policy, proxy_reward, UNSEEN_TITLES[:48])
        for name, model in {"SFT": policy, "no penalty": free}.items()}  # fmt: skip
for name, row in live.items():
    print(f"{name:12}≈ " + ", ".join(f"{key} {value:.2f}" for key, value in row.items()))

# %%
ways = {"SFT": [one["SFT"] for one in seeds], "β = 0.1": [one["policy gradient"]["0.1"] for one in seeds],
        "β = 0": [one["policy gradient"]["0.0"] for one in seeds], "fast": [one["far"] for one in seeds],
        "repaired": [one["length removed"] for one in seeds]}  # fmt: skip
curves(range(1, 25), {f"{name} reward": [[row[k] for row in one["far"]["rounds"]] for one in seeds] for k, name in
       enumerate(("proxy", "gold"))}, xlabel="round, three times the learning rate", ylabel="mean reward of the round",
       alt="Means and ranges of three seeds: the proxy reward rises; the gold reward rises and falls.")  # fmt: skip
both = {way: {f"{key} reward": [row[key] for row in rows] for key in ("gold", "proxy")} for way, rows in ways.items()}
grouped_bars(both, ylabel="reward on held-out questions", styles=bind_styles("gold reward", "proxy reward"),
             alt="Gold and proxy reward after SFT and four ways of training; the proxy reward grows more.")  # fmt: skip
kls, golds = ({way: sum(row[key] for row in rows) / len(seeds) for way, rows in ways.items()} for key in ("kl", "gold"))
reported("with the penalty the KL is less than half, and the gold reward on average higher",
         kls["β = 0.1"] < kls["β = 0"] / 2 and golds["β = 0.1"] > golds["β = 0"], table=shipped,
         KL=[kls["β = 0"], kls["β = 0.1"]], gold=[golds["β = 0"], golds["β = 0.1"]])  # fmt: skip
fallen = [one["far"]["gold"] < one["SFT"]["gold"] for one in seeds]
most = [max(row[k]["proxy"] for row in ways.values()) == one["far"]["proxy"] for k, one in enumerate(seeds)]
reported("the fast training ends with the most proxy reward in each seed, and in two of three with less gold reward "
         "than SFT", sum(fallen) == 2 and all(most), table=shipped, KL=[one["far"]["kl"] for one in seeds])  # fmt: skip

# %% [markdown]
# In two of three seeds the fast training ended with less gold reward than SFT; the seed above is the third. At the lower rate the penalty's gain is small: the ranges overlap.
#
# ## 6 · Direct preference optimization
# The objective of RLHF has a solution that can be written down: $\pi^*(y|x) \propto \pi_{\text{ref}}(y|x)\, e^{r(x,y)/\beta}$. Solved for the reward, it says that every policy is the best one for the reward $\beta \log \frac{\pi(y|x)}{\pi_{\text{ref}}(y|x)}$, up to a constant for each prompt. In the Bradley-Terry model the constant cancels. **DPO** (direct preference optimization) trains a policy on preference pairs without a reward model and without sampling, by the loss that is left [13]:
# $$\mathcal L = -\log\sigma\Big(\beta\log\frac{\pi(y_w)}{\pi_{\text{ref}}(y_w)} - \beta\log\frac{\pi(y_l)}{\pi_{\text{ref}}(y_l)}\Big),$$
# with the chosen answer y_w and the rejected one y_l.

# %% exercise="16.3"


# %%
def answer_log_probs(model, ids, mask):
    """log p of whole answers: ids and mask (..., T) -> (...)."""
    log_probs = token_log_probs(model, ids.flatten(0, -2)) * mask.flatten(0, -2)[:, 1:]
    return log_probs.sum(1).view(ids.shape[:-1])


def train_dpo(policy, pairs, beta, steps, seed=0):
    """A copy of the policy, trained by DPO on pairs; the policy itself is the reference."""
    model, rows = copy.deepcopy(policy), zip(*(part.split(64) for part in pairs), strict=True)
    with torch.no_grad():
        before = torch.cat([answer_log_probs(policy, ids, mask) for ids, mask in rows])

    def loss_of(model, batch):
        ids, mask = without_padding(*batch[:2])
        return dpo_loss(answer_log_probs(model, ids, mask), batch[2], beta)

    return model, train(model, loss_of, RandomBatches(*pairs, before, batch=16, seed=seed), steps, lr=5e-4)


# %%
direct, history = train_dpo(policy, pairs, 0.1, lesson_steps(40))
with torch.no_grad():
    some = [part[:16] for part in pairs]
    before = answer_log_probs(policy, *some)
    ours = dpo_loss(answer_log_probs(direct, *some), before, 0.1).item()
    theirs = alignment.direct_preference(direct, (*some, before), beta=0.1).value.item()
claim("the loss of exercise 16.3 equals the package's", abs(ours - theirs) < 1e-4, ours=ours, package=theirs)
gains = [one["DPO"]["0.1"]["gold"] - one["SFT"]["gold"] for one in seeds]
reported("DPO raises the gold reward of SFT in each seed", min(gains) > 0, table=shipped, gains=gains)  # fmt: skip
live["DPO"] = evaluate(direct, policy, proxy_reward, UNSEEN_TITLES[:48])
print("≈", ", ".join(f"{key} {value:.2f}" for key, value in live["DPO"].items()))
spent = {"policy gradient": [*ways["β = 0.1"], *ways["β = 0"], *ways["fast"]]}
spent["DPO"] = [one["DPO"]["0.1"] for one in seeds]
spent["best-of-n"] = [{"kl": math.log(int(n)) - 1 + 1 / int(n), "gold": row[1]}
                      for one in seeds for n, row in one["best_of_n"].items() if n != "1"]  # fmt: skip
points = {name: ([row["kl"] for row in rows], [row["gold"] for row in rows]) for name, rows in spent.items()}
scatter(points, xlog=True, xlabel="KL to the reference (nats per answer)", ylabel="gold reward",
        alt="Gold reward against KL: best-of-n and DPO left; the policy gradient falls to the right.")  # fmt: skip

# %% [markdown]
# The same pairs, the same judge, one axis: best-of-n gets its gold reward for less than two nats, DPO for less than one, and the policy gradient for two to eleven, fast for more than forty. Gao et al. found the same order: reinforcement learning spends far more KL than best-of-n for as much reward [6]. (Best-of-n pays in another currency, n answers for each question.)

# %% [markdown]
# ## 7 · What the real systems do
#
# | | examples for SFT | comparisons | then |
# |---|---|---|---|
# | InstructGPT, 2022 [1] | 13,000 prompts | 33,000 prompts, 4 to 9 answers ranked | PPO with a KL penalty |
# | Llama 2 Chat, 2023 [14] | 27,540 | 1.4 million collected by Meta | best-of-n, then PPO, with two reward models |
# | Llama 3, 2024 [15] | mostly best-of-n answers | anew in each of six rounds | DPO with β = 0.1 |
# | SmolLM2, 2025 [16] | public, mostly by models | public, judged by a model | DPO |
#
# Labelers preferred InstructGPT with 1.3 billion parameters to GPT-3 with 175 billion [1]: the case for alignment in one line.

# %% [markdown]
# **ChatGPT:** there is no paper. The announcement says that it was trained as InstructGPT was, with conversations and a model of the GPT-3.5 series [2]; numbers of examples, sizes and rewards are not published.
#
# **Claude:** published are the first methods (RLHF for helpfulness and harmlessness [17]; *constitutional AI*, in which a model criticizes answers by written principles and supplies the comparisons about harm [18]) and the principles themselves. Sizes, data and present training are not.
#
# DeepSeek-R1 replaced the reward model by a program that checks results; lesson 16b builds that. Common to all is a loop: sample, judge, train, look at what the judge missed, and begin again with new comparisons.

# %%
quiz("16.q1", "Why does SFT leave the tokens of the prompt out of the loss?",
     {"They are too easy": "Prompts are as hard to predict as any text.",
      "The model should learn to answer, not to ask": "Right: they are read; only answers are learned.",
      "Otherwise the model could not see them": "The mask is for the loss; attention reads them all the same."},
     answer="The model should learn to answer, not to ask")  # fmt: skip
quiz("16.q2", "A reward model rates one answer 5 and another 3. What does that mean in the Bradley-Terry model?",
     {"The first is preferred with probability σ(2) = 0.88": "Right: only differences count.",
      "The first is 5/3 times as good": "Adding 100 to every reward changes nothing, so ratios mean nothing.",
      "The first gets 5 of 8 votes": "That would be the same model written with odds instead of their logarithms."},
     answer="The first is preferred with probability σ(2) = 0.88")  # fmt: skip
quiz("16.q3", "During training the reward model's reward climbs and climbs. What do you do?",
     {"Go on while it climbs": "It is the one number that is sure to climb.",
      "Read samples, watch KL, and have new comparisons judged": "Right: a judge that was optimized cannot tell.",
      "Raise the learning rate": "That finds the gaps of the reward model sooner."},
     answer="Read samples, watch KL, and have new comparisons judged")  # fmt: skip
quiz("16.q4", "What does DPO need that the policy gradient does not?",
     {"A reward model": "It is what DPO saves.",
      "Pairs of answers to the same prompt": "Right: it learns from comparisons alone, and samples nothing.",
      "A larger KL": "Its β is the same weight of the same KL."},
     answer="Pairs of answers to the same prompt")  # fmt: skip

# %% [markdown]
# ## Summary
# - A base model continues text. SFT on answers alone, in a chat template, makes it answer; some of what it knew is lost.
# - Comparisons become a number by the Bradley-Terry model. Random mistakes in the labels slow it down; shared habits, such as liking length, it learns.
# - A policy trained on a reward model must stay near the reference (penalty, early stop): far from the reference, proxy and gold reward part.
# - DPO learns from the same pairs without reward model and without sampling.
# - Judge with something that was not optimized, and read the samples.
#
# **Where next:** lesson 16b takes a program as the judge, and a real model; Gao et al. [6] is the paper to read; the library page is [TRL](https://huggingface.co/docs/trl), which holds all of these trainers.

# %% [markdown]
# ## References
# - [1] L. Ouyang et al., *Training language models to follow instructions with human feedback*, NeurIPS 2022. <https://arxiv.org/abs/2203.02155>
# - [2] OpenAI, *Introducing ChatGPT*, 2022. <https://openai.com/index/chatgpt/>
# - [3] A. Askell et al., *A General Language Assistant as a Laboratory for Alignment*, arXiv 2021. <https://arxiv.org/abs/2112.00861>
# - [4] S. Gehman et al., *RealToxicityPrompts: Evaluating Neural Toxic Degeneration in Language Models*, Findings of EMNLP 2020. <https://arxiv.org/abs/2009.11462>
# - [5] C. Zhou et al., *LIMA: Less Is More for Alignment*, NeurIPS 2023. <https://arxiv.org/abs/2305.11206>
# - [6] L. Gao, J. Schulman, J. Hilton, *Scaling Laws for Reward Model Overoptimization*, ICML 2023. <https://arxiv.org/abs/2210.10760>
# - [7] R. A. Bradley, M. E. Terry, *Rank Analysis of Incomplete Block Designs: The Method of Paired Comparisons*, Biometrika 39, 1952. <https://doi.org/10.2307/2334029>
# - [8] C. Guo et al., *On Calibration of Modern Neural Networks*, ICML 2017. <https://arxiv.org/abs/1706.04599>
# - [9] P. Singhal et al., *A Long Way to Go: Investigating Length Correlations in RLHF*, COLM 2024. <https://arxiv.org/abs/2310.03716>
# - [10] Y. Dubois et al., *Length-Controlled AlpacaEval: A Simple Way to Debias Automatic Evaluators*, COLM 2024. <https://arxiv.org/abs/2404.04475>
# - [11] Z. Shao et al., *DeepSeekMath: Pushing the Limits of Mathematical Reasoning in Open Language Models*, arXiv 2024. <https://arxiv.org/abs/2402.03300>
# - [12] J. Schulman et al., *Proximal Policy Optimization Algorithms*, arXiv 2017. <https://arxiv.org/abs/1707.06347>
# - [13] R. Rafailov et al., *Direct Preference Optimization: Your Language Model is Secretly a Reward Model*, NeurIPS 2023. <https://arxiv.org/abs/2305.18290>
# - [14] H. Touvron et al., *Llama 2: Open Foundation and Fine-Tuned Chat Models*, arXiv 2023. <https://arxiv.org/abs/2307.09288>
# - [15] A. Grattafiori et al., *The Llama 3 Herd of Models*, arXiv 2024. <https://arxiv.org/abs/2407.21783>
# - [16] L. Ben Allal et al., *SmolLM2: When Smol Goes Big. Data-Centric Training of a Small Language Model*, arXiv 2025. <https://arxiv.org/abs/2502.02737>
# - [17] Y. Bai et al., *Training a Helpful and Harmless Assistant with Reinforcement Learning from Human Feedback*, arXiv 2022. <https://arxiv.org/abs/2204.05862>
# - [18] Y. Bai et al., *Constitutional AI: Harmlessness from AI Feedback*, arXiv 2022. <https://arxiv.org/abs/2212.08073>

# %% tags=["nbval-ignore-output"]
progress("16")
