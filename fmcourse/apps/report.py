"""How well a classifier does on the items that were held out: scores, confusion matrix, mistakes.

N items   C labels
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from fmcourse.apps.own_data import Item, OwnData, count_labels
from fmcourse.data.tables import join_first, quote
from fmcourse.evaluation import Estimate, PrecisionRecallF1, accuracy, macro_f1

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Mistake:
    """An item that was given a wrong label, and the probability that the label got."""

    item: Item
    predicted: str
    probability: float


@dataclass(frozen=True)
class Report:
    """How well a classifier does on items that it was not trained on; printed, it is a table."""

    labels: tuple[str, ...]
    accuracy: Estimate
    majority_accuracy: float  # accuracy of always predicting the most frequent label of train
    macro_f1: float
    confusion: Tensor = field(repr=False)  # (C, C): rows the true labels, columns the predicted
    per_label: tuple[PrecisionRecallF1, ...] = field(repr=False)
    mistakes: tuple[Mistake, ...] = field(repr=False)  # the most confident first

    def __str__(self) -> str:
        width = max(5, *map(len, self.labels))
        lines = [
            f"{int(self.confusion.sum())} held out: accuracy {self.accuracy}, "
            f"macro F1 {self.macro_f1:.3f}; always the most frequent label "
            f"{self.majority_accuracy:.3f}",
            f"{'label':{width}}  precision  recall  items  predicted",
        ]
        for label, scores, row in zip(
            self.labels, self.per_label, self.confusion.tolist(), strict=True
        ):
            lines.append(
                f"{label:{width}}  {scores.precision:9.3f}  {scores.recall:6.3f}  {sum(row):5}  "
                f"{self.name_counts(row)}"
            )
        for mistake in self.mistakes[:5]:
            content, label, source = mistake.item
            text = f": {quote(content, 60)}" if isinstance(content, str) else ""
            lines.append(
                f"mistake: predicted {mistake.predicted!r} with probability "
                f"{mistake.probability:.2f}, is {label!r}, {source}{text}"
            )
        return "\n".join(lines)

    def name_counts(self, row: Sequence[int]) -> str:
        """A row of the confusion matrix in words, the largest counts first."""
        order = sorted(range(len(row)), key=lambda n: -row[n])
        return join_first([f"{self.labels[n]} {row[n]}" for n in order if row[n]], 5)

    def figure(self) -> "Figure":
        """The confusion matrix, for `show(report.figure(), alt=...)`."""
        from matplotlib.figure import Figure  # here: slow to import, and not every report is drawn

        from fmcourse import plots

        plots.use_style()
        side = max(3.2, 1.6 + 0.45 * len(self.labels))  # inches
        fig = Figure((side + 1, side))
        ax = fig.subplots()
        digits = 0 if len(self.labels) <= 20 else None  # no room for numbers in smaller cells
        plots.draw_heatmap(ax, self.confusion.tolist(), self.labels, digits=digits)
        ax.set(xlabel="predicted label", ylabel="true label")
        return fig


def make_report(labels: Sequence[str], data: OwnData, probabilities: Tensor) -> Report:
    """Compare predictions with the labels of the test set.

    Args:
        labels: the classifier's, C of them.
        data: `data.test` holds the N items that were predicted.
        probabilities: (N, C), columns as in `labels`.
    """
    C = len(labels)
    probability, predicted = probabilities.max(1)
    true = torch.tensor([labels.index(item.label) for item in data.test])
    confusion = torch.bincount(true * C + predicted, minlength=C * C).view(C, C)
    correct, n_predicted, n_true = confusion.diag(), confusion.sum(0), confusion.sum(1)
    majority = labels.index(count_labels(data.train).most_common(1)[0][0])
    guesses = zip(data.test, predicted.tolist(), probability.tolist(), strict=True)
    mistakes = [Mistake(item, labels[n], p) for item, n, p in guesses if labels[n] != item.label]
    return Report(
        labels=tuple(labels),
        accuracy=accuracy(int(correct.sum()), len(true)),
        majority_accuracy=int(n_true[majority]) / len(true),
        macro_f1=macro_f1(predicted.tolist(), true.tolist()),
        confusion=confusion,
        per_label=tuple(
            PrecisionRecallF1.from_counts(*counts)
            for counts in zip(correct.tolist(), n_predicted.tolist(), n_true.tolist(), strict=True)
        ),
        mistakes=tuple(sorted(mistakes, key=lambda mistake: -mistake.probability)),
    )
