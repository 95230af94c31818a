"""Evaluation: how good a model is, in numbers that can be compared, each with its uncertainty."""

from fmcourse.evaluation.classification import (
    PrecisionRecallF1,
    answer_scores,
    entity_scores,
    entity_spans,
    macro_f1,
)
from fmcourse.evaluation.language_models import (
    bits_per_byte,
    bits_per_byte_interval,
    perplexity,
    token_nats,
)
from fmcourse.evaluation.statistics import (
    Estimate,
    PairedTest,
    RunSummary,
    accuracy,
    mean_interval,
    paired_test,
    summarize_runs,
    t_quantile,
)

__all__ = [
    "Estimate",
    "PairedTest",
    "PrecisionRecallF1",
    "RunSummary",
    "accuracy",
    "answer_scores",
    "bits_per_byte",
    "bits_per_byte_interval",
    "entity_scores",
    "entity_spans",
    "macro_f1",
    "mean_interval",
    "paired_test",
    "perplexity",
    "summarize_runs",
    "t_quantile",
    "token_nats",
]
