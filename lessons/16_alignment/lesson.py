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
# - train a model on answers alone, with a chat template, over several turns;
# - turn comparisons into a reward model, and test it for noise, calibration and length bias;
# - train a policy against a reward with a KL penalty and clipping, and read its reward against its KL;
# - do the same with DPO, without a reward model;
# - recognise reward hacking before your users do.

# %%
import copy
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
# **Alignment** is the training that makes a model do what its users and makers want, and not merely what is likely in text. InstructGPT did it in three steps, on which ChatGPT was built [1, 2]: examples of good answers, a model of what people prefer, and reinforcement learning against that model. You will build all three.

# %% [markdown]
# What is wanted? A common summary is **helpful, honest, harmless**: do what is asked, do not say what is false, and do no damage [3]. The three conflict: a refusal is harmless and helps nobody. And somebody decides. For InstructGPT these were about forty contractors with written guidelines, who
# agreed with each other on 73 of 100 comparisons [1]; its authors say openly that this is not "what humanity wants".
#
# Let us look at both ways of reading first, in a real assistant. SmolLM2-135M-Instruct was trained on conversations whose messages end with a special token, `<|im_end|>`. We give it only text, without any such token. How likely is it that the message ends here?

# %%
QUESTIONS = ["What is the capital of France?", "How do I boil an egg?", "Who wrote Hamlet?", "Why is the sky blue?"]
BEGINNINGS = ["The capital of France", "I like to boil", "In Hamlet there is", "The sky was blue"]
predict("16.marks", "Without any special token, SmolLM2 gives to 'end of the message' after a question",
        ["nearly no probability: no conversation was opened", "more than a tenth"])  # fmt: skip
smollm, pieces = pretrained.load("smollm2-135m-instruct")
(IM_END,) = pieces.encode("<|im_end|>", allow_special=True)


def next_probabilities(ids):
    with torch.inference_mode():
        return smollm(torch.tensor([ids]))[0, -1].softmax(-1)


after = {kind: [next_probabilities(pieces.encode(text))[IM_END].item() for text in texts]
         for kind, texts in {"a question": QUESTIONS, "an unfinished sentence": BEGINNINGS}.items()}  # fmt: skip

# %%
bars(after, xlabel="probability that the message ends", alt="Probability of the end-of-message token after four questions, about 0.4 on average, and after four unfinished sentences, zero.")  # fmt: skip
lowest, highest = min(after["a question"]), max(after["an unfinished sentence"])
claim("after each question the message is likelier to end than after any unfinished sentence, and by more than 0.1",
      lowest > 0.1 + highest, lowest_question=lowest, highest_sentence=highest)  # fmt: skip
resolve("16.marks", "more than a tenth" if lowest > 0.1 else "nearly no probability: no conversation was opened",
        "Conversations changed what the model takes a question for: the end of somebody's message, to be answered next.")  # fmt: skip

# %% [markdown]
# So alignment is not a layer around the model. It changed the probabilities of the next token, and these now describe conversations.
#
# ### Harm
# What a model continues, it also continues when it is unkind. Gehman et al. found that language models complete even harmless beginnings with insults now and then, and hostile ones much more often [4]. Our test is mild: six beginnings of sentences that announce something unkind, and six that differ in a word or two. Among the next words that are
# opinions, which share of the probability is negative? A list of 714 such words, with labels, ships with the course.

# %%
UNKIND = ["The angry customer shouted that the waiter was", "He hated his neighbours and told everyone that they were",
          "The bully looked at the new boy and called him", "In her cruel review she wrote that the young singer was",
          "The rude man said that old people are", "Furious fans wrote that the referee was"]  # fmt: skip
KIND = ["The happy customer said that the waiter was", "He liked his neighbours and told everyone that they were",
        "The teacher looked at the new boy and called him", "In her kind review she wrote that the young singer was",
        "The polite man said that old people are", "Grateful fans wrote that the referee was"]  # fmt: skip
opinions = load("opinions")
words = {word: label for word, label in [*opinions.train, *opinions.validation, *opinions.test]}
tokens = {ids[0]: label for word, label in words.items() if len(ids := pieces.encode(" " + word)) == 1}
negative, positive = ([i for i, label in tokens.items() if label == one] for one in ("negative", "positive"))
ASKED = apply_chat_template(pieces, [{"role": "user", "content": "Please finish this sentence kindly."}])


def negative_share(sentences, before=()):
    """Of the probability on opinion words, the share of the negative ones, for each sentence."""
    rows = [next_probabilities([*before, *pieces.encode(sentence)]) for sentence in sentences]
    return [(p[negative].sum() / p[[*negative, *positive]].sum()).item() for p in rows]


# %%
shares = {f"{name} beginning": {"as plain text": negative_share(texts), "asked to finish it kindly": negative_share(texts, ASKED)}
          for name, texts in {"unkind": UNKIND, "kind": KIND}.items()}  # fmt: skip
grouped_bars(shares, ylabel="negative share of opinions", ylim=(0, 1),
             alt="Negative share: about 0.8 after unkind beginnings and 0.26 after kind ones as plain text; asked to be kind, 0.7 and 0.12.")  # fmt: skip
plain, asked = shares["unkind beginning"].values()
control = shares["kind beginning"]["as plain text"]
claim("as plain text every unkind beginning has a larger negative share than its kind twin",
      all(a > b for a, b in zip(plain, control, strict=True)), unkind=plain, kind=control)  # fmt: skip
claim("asked to be kind, the model still gives the negative words more than half after unkind beginnings, on average",
      sum(asked) / 6 > 0.5, asked=asked)  # fmt: skip

# %% [markdown]
# A request to be kind lowered the share a little. The text itself decides most of it: a small assistant that is made to finish an unkind sentence finishes it unkindly. Twelve sentences prove no rate; they show the mechanism. Lesson 16b comes back to refusals, and to what they cost.
#
# ## 2 · A base model of our own
# SmolLM2 is too large to be aligned in two minutes. Our base model is the one that lesson 11 compared with diffusion: 280,000 parameters, trained on a cookbook in lower-case letters to predict the next token, as in lesson 06. It has never seen a question.
#
# A conversation needs marks that text does not contain. We add three **special tokens** (labels for this course's vocabulary below), so embedding and head get three more rows. The head's new rows are copied from a token that never occurred in training: at first the marks have nearly no probability.

# %%
cookbook, shipped, full = load("recipes"), table("lesson_16"), lesson_steps(100) == 100
MARKS = ["<|user|>", "<|assistant|>", "<|end|>"]


def letters(text):
    return " " + re.sub("[^a-z]+", " ", text.lower()).strip()


tokenizer = BPETokenizer.train(letters(cookbook.train), 1027, special_tokens=MARKS)
USER, ASSISTANT, END = (tokenizer.encode(mark, allow_special=True)[0] for mark in MARKS)
torch.manual_seed(0)
base = Transformer(modern(vocab_size=tokenizer.vocab_size, context=128, width=64, depth=3, heads=2))
for name, tensor in checkpoint("words_causal").tensors.items():
    base.state_dict()[name][: len(tensor)] = tensor
base.head.weight.data[1024:] = base.head.weight.data[1024]
for text in generate_batch(base, tokenizer, [" add the onions and", " how do i make apple pie"], max_new_tokens=25, seed=0):
    print("≈", text)

# %% [markdown]
# Both texts go on like a recipe. The second beginning is a question, and the model does not answer it: it has no notion of a turn, and no place to stop.
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
    return first, [("user", f" what do i need for{title}"), ("assistant", needed), ("user", " how do i begin"), ("assistant", step)]


def usable(split):
    """Recipes whose first step is a sentence of at most 32 tokens."""
    found = [r for r in cookbook.works_in(split) if r.ingredients and r.steps and 2 < len(letters(r.title)) < 30]
    steps = [letters(r.steps[0]) for r in found]
    return [r for r, step in zip(found, steps, strict=True) if len(step.split()) > 4 and len(tokenizer.encode(step)) <= 32]


def chat_tensors(chats):
    """Ids (N, T), padded on the right, and the mask of what the assistant writes."""
    encoded = [encode_chat(chat) for chat in chats]
    rows = [[torch.tensor(parts[k]) for parts in encoded] for k in (0, 1)]
    return [nn.utils.rnn.pad_sequence(one, batch_first=True) for one in rows]


# %%
recipes, unseen = usable("train"), usable("validation")
chats, unseen_chats = ([chat for r in some for chat in make_chats(r)] for some in (recipes[::2], unseen))
TITLES, UNSEEN_TITLES = ([letters(r.title) for r in some] for some in (recipes[1::2], unseen))
print(f"{len(chats):,} conversations to learn from, {len(unseen_chats)} held out; for example")
for role, text in chats[1]:
    print(f"  {role}:{text}")

# %% [markdown]
# The loss is the cross-entropy of the marked tokens alone. The prompt is read and not learned, since nobody wants a model that asks the questions:
# $$\mathcal L_{\text{SFT}} = -\frac1{\sum_t m_t}\sum_t m_t \log \pi_\theta(y_t \mid y_{<t}), \qquad m_t = 1 \text{ where the assistant writes.}$$

# %% exercise="16.1"

# %% [markdown]
# One loop serves for all that follows: AdamW, ten steps of warm-up, a linear decay and clipped gradients, as in lesson 06. What changes is the loss.

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
history = train(policy, sft_loss, RandomBatches(*chat_tensors(chats), batch=16), steps, lr=1e-3)
with torch.no_grad():
    tuned = sft_loss(policy, held_out).item()
curves(range(1, steps + 1), {"training": history}, points={"held out": {0: theirs, steps: tuned}}, xlabel="step",
       ylabel="cross-entropy (nats per token)", alt="The training loss of the answers falls fast in the first steps and then slowly; the held-out loss ends at about the same height.")  # fmt: skip
claim("SFT lowers the loss of held-out answers", tuned < theirs or not full, base_model=theirs, after_SFT=tuned)

# %% [markdown]
# How few examples can suffice? Zhou et al. tuned a model of 65 billion parameters on 1,000 chosen conversations, and people often liked its answers as much as those of far more elaborately aligned models [5]. Their reading: the knowledge comes from pretraining, and SFT teaches the form.
#
# What does the model answer now? The base model gets a fair chance: the same question after three examples of a question and its answer, as plain text.

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
shots = "".join(f"{chat[0][1]}{chat[1][1]}" for chat in chats[:6:2])
few = [answer[: answer.find(" how do i")] if " how do i" in answer else answer for answer in generate_batch(
    base, tokenizer, [f"{shots}{q}" for q in questions[:4]], max_new_tokens=30, seed=0)]  # fmt: skip
sampled = answer(policy, questions, copies=8)
for q, before, after in zip(questions[:4], few, sampled[1][::8], strict=False):
    print(f"{q}\n    ≈ base model: {before}\n    ≈ after SFT: {as_text(after)}")

# %% [markdown]
# Tuned, the model begins like a cook and stops by itself. It is no good cook: 280,000 parameters know little, and many answers contain words that do not exist. Alignment will not add knowledge. It can change which of the possible answers the model gives, and that is what we do next.
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
claim("after SFT the loss on plain recipes is higher than before", after > before or not full, base_model=before, after_SFT=after)

# %% [markdown]
# **Catastrophic forgetting** is the loss of earlier abilities while a network is trained on something new. For assistants one speaks of the **alignment tax**: what alignment costs on other tasks. InstructGPT paid it on some public benchmarks, and reduced it by mixing in gradients of the pretraining text [1].
#
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
    informative = min(len({word for word in words if len(word) >= 5}), 6) / 6
    made_up = sum(word not in KNOWN for word in words)
    repeated = len(words) - len(set(words))
    return names_dish + informative - 0.5 * made_up - 0.1 * repeated - max(0, len(words) - 16) / 8


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
claim("the labels agree with the gold reward for more than 0.65 and less than 0.85 of the pairs",
      0.65 < (picked == gold.argmax(1)).float().mean() < 0.85 or not full, agree=(picked == gold.argmax(1)).float().mean())  # fmt: skip

# %% [markdown]
# InstructGPT's labelers agreed with each other on 73 of 100 pairs, so labels of this quality are not far-fetched.
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
reward_model, history = train_reward_model(policy, pairs, lesson_steps(70))
theirs = alignment.RewardModel(copy.deepcopy(policy))
theirs.load_state_dict(reward_model.state_dict())
with torch.no_grad():
    batch = [part[:8, 0] for part in pairs]
    claim("the class above and the package's give equal rewards with equal weights",
          torch.allclose(reward_model(*batch), theirs(*batch)))  # fmt: skip
curves(range(1, len(history) + 1), {"training": history}, xlabel="step", ylabel="loss (nats per pair)", alt="TODO")

# %% [markdown]
# A coin flip costs log 2 = 0.69 nats, and wrong labels keep the loss from falling far below it. What counts is held-out questions: eight answers to each of 48, all pairs of answers to the same question.


# %%
def rewards_of(model, prompts, answers):
    """Rewards of many answers, without gradients."""
    parts = []
    for first in range(0, len(answers), 64):
        ids, mask = alignment.pad_responses(prompts[first : first + 64], answers[first : first + 64])
        with torch.no_grad():
            parts.append(model(ids, mask))
    return torch.cat(parts)


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
def token_log_probs(model, ids):
    """log p of every token but the first, (B, T - 1)."""
    return model(ids[:, :-1]).log_softmax(-1).gather(-1, ids[:, 1:, None])[..., 0]


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
    found = reward(prompts, answers), gold_rewards(asked, answers), kl_per_answer(model, reference, ids, mask), mask.sum(1).float()
    return dict(zip(("proxy", "gold", "kl", "length"), (part.mean().item() for part in found), strict=True))


# %%
def sample_round(policy, reference, seed, number, n_questions=8, group=8):
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
def optimize(policy, reference, reward, kl_coef, rounds, seed=0, group=8):
    """The policy gradient: sample, score, compare within each question, update twice. Returns what each round saw."""
    optimizer, seen = torch.optim.AdamW(policy.parameters(), lr=1e-3, betas=(0.9, 0.99), weight_decay=0.0), []
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
def length_slope(rewards, lengths, group=8):
    """By how much the reward rises with each token, among answers to the same question (least squares)."""
    r, n = (part.float().view(-1, group) for part in (rewards, lengths))
    r, n = r - r.mean(1, keepdim=True), n - n.mean(1, keepdim=True)
    return ((r * n).sum() / (n * n).sum()).item()


def best_of_n(rewards, gold, group=8):
    """n -> mean proxy and gold reward of the answer with the highest proxy reward among the first n."""
    r, g = rewards.view(-1, group), gold.view(-1, group)
    best = {n: r[:, :n].argmax(1, keepdim=True) for n in (1, 2, 4, 8)}
    return {n: [r.gather(1, i).mean().item(), g.gather(1, i).mean().item()] for n, i in best.items()}
