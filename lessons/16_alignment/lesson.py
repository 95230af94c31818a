# %% [raw]
# place = ["preferences: reward, policy, DPO", "Transformer decoder", "Wikipedia, recipes"]
# builds = "an assistant in three steps: supervised fine-tuning, a reward model, and reinforcement learning; then DPO from the same pairs"
# terms = ["alignment"]

# %% [markdown]
# # 16 · Alignment: from continuing text to an assistant
# **You turn a model that continues text into one that answers, teach it what people prefer, and see what happens when it is trained against a judge that can be fooled.**
#
# {minutes} minutes to read and do · two minutes to compute · you need lessons 06 (GPT) and 13 (fine-tuning).
#
# **Afterwards you can**
# - train a model on answers alone;
# - train a reward model on preferences;
# - improve a policy against a reward, and hold it near a reference;
# - do the same with DPO, without a reward model;
# - recognise reward hacking.

# %%
from fmcourse.course import check, claim, hint, predict, progress, quiz, reported, resolve, solution

# %% [markdown]
# ## 1 · Supervised fine-tuning
# **Alignment** is the training that makes a model do what people want.

# %% exercise="16.1"

# %% [markdown]
# ## 2 · A reward model

# %% exercise="16.2"

# %% [markdown]
# ## 3 · Direct preference optimization

# %% exercise="16.3"

# %% [markdown]
# ## 4 · Reinforcement learning

# %% exercise="16.4"

# %% [markdown]
# ## Summary
#
# **Where next:** lesson 13.

# %% [markdown]
# ## References
# - [1] L. Ouyang et al., *Training language models to follow instructions with human feedback*, NeurIPS 2022. <https://arxiv.org/abs/2203.02155>

# %% tags=["nbval-ignore-output"]
progress("16")
