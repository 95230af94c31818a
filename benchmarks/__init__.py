"""Ours and a peer measured in one run, printed as a ratio: `python -m benchmarks`.

One thread for everything; the variables below must be set before anything loads torch.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["MKL_NUM_THREADS"] = "1"
os.environ["OMP_WAIT_POLICY"] = "passive"
os.environ["RAYON_NUM_THREADS"] = "1"  # the tokenizers library
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["HF_HUB_OFFLINE"] = "1"
