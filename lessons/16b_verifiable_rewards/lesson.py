# %% [raw]
# place = ["reward from a checker: GRPO; refusals: LoRA", "Transformer decoder", "sums, requests written here"]
# builds = "GRPO against a checker, from sampling to update; a refusal taught to a real model, and how it breaks"
# terms = []
# [reads]
# "fmcourse.alignment.policy" = ["policy_gradient", "Rollouts"]
# "fmcourse.alignment.losses" = ["group_advantages", "clipped_policy_loss", "kl_k3"]

# %% [markdown]
# # 16b · Verifiable rewards, and alignment of a real model
# **You train a small model with a checker for a reward, measure whether it learned something new, and then teach a real model to refuse and see how that breaks.**
#
# {minutes} minutes to read and do · two minutes to compute · you need lesson 16 (Alignment), Python and a little PyTorch.

# %%
from fmcourse.course import check, hint, progress, solution

# %% exercise="16b.4"

# %% exercise="16b.2"

# %% exercise="16b.1"

# %% exercise="16b.3"

# %% [markdown]
# ## Summary
#
# **Where next:** lesson 15 compares fine-tuning with prompting.

# %% tags=["nbval-ignore-output"]
progress("16b")
