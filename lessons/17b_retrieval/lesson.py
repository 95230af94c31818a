# %% [raw]
# place = ["none: frozen models, an index", "BM25, sentence encoder, decoder", "Wikipedia, questions written here"]
# builds = "a search engine over ten thousand articles by words and by meaning, a language model that answers from what it finds, and a memory that outlives the session"
# terms = []
# [reads]
# "fmcourse.apps.retrieval" = ["BM25", "DenseIndex", "reciprocal_rank_fusion"]
# "fmcourse.apps.memory" = ["VectorStore"]

# %% [markdown]
# # 17b · Retrieval-augmented generation and memory
# **In this lesson you build a search engine over ten thousand articles, let a small language model answer from what it finds, and measure what that repairs and what it breaks.**
#
# {minutes} minutes to read and do · two minutes to compute · you need lessons 07b and 14.
#
# **Afterwards you can**
# - cut texts into passages and rank them by words, by meaning and by both.

# %%
from fmcourse.course import check, claim, hint, predict, progress, quiz, reported, resolve, solution

# %% exercise="17b.1"

# %% exercise="17b.2"

# %% exercise="17b.3"

# %% exercise="17b.4"

# %% [markdown]
# ## In short
#
# **Where next:** lesson 17.

# %% [markdown]
# ## References

# %% tags=["nbval-ignore-output"]
progress("17b")
