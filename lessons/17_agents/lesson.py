# %% [raw]
# place = ["next token of traces made by a program", "Transformer decoder, LoRA", "sums, dates, units, Wikipedia"]
# builds = "an agent: tool calls held to a grammar, the ReAct loop, where a small model fails, what training buys, and rules that no page can talk its way around"
# terms = ["agent", "tool", "tool call", "function calling", "schema"]
# [reads]
# "fmcourse.apps.tools" = ["make_tool", "parse_call", "run_tool"]
# "fmcourse.apps.agent" = ["Agent"]
# "fmcourse.apps.local_model" = ["LocalModel", "reply_form"]

# %% [markdown]
# # 17 · Agents: models that use tools
# **You give a small language model tools and a loop, measure where it fails, train it on traces, and build the rules that keep it from doing harm.**
#
# {minutes} minutes to read and do · two minutes to compute · you need lessons 06 (GPT), 13 (LoRA) and 14 (prompting, constrained decoding).

# %%
from fmcourse.course import check, claim, hint, predict, progress, quiz, reported, resolve, solution
from fmcourse.data import load, table

# %% [markdown]
# ## 1 · A tool call is text

# %% exercise="17.1"

# %% [markdown]
# ## 2 · The loop

# %% exercise="17.2"

# %% [markdown]
# ## 3 · How often is often enough?

# %% exercise="17.3"

# %% [markdown]
# ## 4 · What an agent may do

# %% exercise="17.4"

# %% [markdown]
# ## Summary
#
# **Where next:** lesson 15.

# %% [markdown]
# ## References
# - [1] S. Yao et al., *ReAct: Synergizing Reasoning and Acting in Language Models*, ICLR 2023. <https://arxiv.org/abs/2210.03629>

# %% tags=["nbval-ignore-output"]
progress("17")
