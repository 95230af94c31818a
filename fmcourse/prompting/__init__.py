"""Prompting: the weights stay as they are, the text before the question changes.

`label_scores` classifies by the log-probabilities of labels, `generate_answers` writes. Both take
many prompts behind one shared prefix, whose keys and values are computed once.
"""

from fmcourse.prompting.answers import generate_answers
from fmcourse.prompting.fingerprint import fingerprint
from fmcourse.prompting.prefix import prepare_prompts, read_prefix
from fmcourse.prompting.scoring import batch_calibrate, calibrate, label_scores
from fmcourse.prompting.templates import few_shot_prompt, format_query

__all__ = [
    "batch_calibrate",
    "calibrate",
    "few_shot_prompt",
    "fingerprint",
    "format_query",
    "generate_answers",
    "label_scores",
    "prepare_prompts",
    "read_prefix",
]
