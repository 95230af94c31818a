"""Lesson 02: what one does with frozen features (probe, neighbours, search), and what pretraining costs and saves."""

import math

import torch
from fmcourse.course.exercise import Exercise, Mistake, Property
from torch import Tensor
from torch.nn import functional as F

noise = lambda *shape, seed=0: torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
whole = lambda *shape, most, seed=0: torch.randint(most, shape, generator=torch.Generator().manual_seed(seed))

# -- 02.1 a linear probe --------------------------------------------------------------------------------------------------


def probe_case(n: int, d: int, classes: int, strength: float, seed: int) -> tuple:
    labels = whole(n, most=classes, seed=seed)
    labels[:classes] = torch.arange(classes)  # each class at least once
    return noise(n, d, seed=seed + 1), labels, classes, strength


PROBE = '''def linear_probe(features, labels, num_classes, strength):
    """Ridge regression onto one-hot targets: W = (XᵀX + strength · I)⁻¹ XᵀY, (D, C).

    features: X, (N, D), from a frozen encoder   labels: (N,) whole numbers below num_classes
    Y: (N, C), row i is 1 in the column of label i and 0 elsewhere
    The predicted class of a new item x is then (x @ W).argmax().
    """
'''


def more_strength_smaller(out: Tensor, case: tuple) -> bool | str:
    """A ridge solution is never longer than what plain least squares would need."""
    features, labels, num_classes, strength = case
    y = F.one_hot(labels, num_classes).to(features)
    limit = (features.T @ y).norm() / strength
    return (
        out.norm() <= limit * 1.001
        or f"The penalty allows a length of at most {limit:.3g}, and W has {out.norm():.3g}."
    )


probe = Exercise(
    "02.1",
    goal="fit a linear probe in closed form",
    minutes=12,
    difficulty=2,
    cases=[
        (torch.eye(2), torch.tensor([0, 1]), 2, 1.0),
        (torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 2.0]]), torch.tensor([0, 0, 1]), 3, 0.5),
        probe_case(6, 4, 3, 0.1, seed=1),
        probe_case(5, 6, 2, 2.0, seed=2),
    ],
    starter=PROBE + "    ...\n",
    solution=PROBE
    + """    targets = F.one_hot(labels, num_classes).to(features)  # (N, C)
    penalty = strength * torch.eye(features.shape[1])
    return torch.linalg.solve(features.T @ features + penalty, features.T @ targets)
""",
    other_solutions=[
        "def linear_probe(features, labels, num_classes, strength):\n    y = torch.zeros(len(labels), num_classes)\n"
        "    y[torch.arange(len(labels)), labels] = 1\n    d = features.shape[1]\n"
        "    return torch.linalg.inv(features.T @ features + strength * torch.eye(d)) @ features.T @ y\n",
        "def linear_probe(features, labels, num_classes, strength):\n    y = torch.eye(num_classes)[labels]\n"
        "    n = len(features)\n    return features.T @ torch.linalg.solve(features @ features.T + strength * torch.eye(n), y)\n",
    ],
    hints=[
        "Which class does each row belong to? Write that as a table of zeros and ones, a column for each class.",
        "W is the solution of a linear system. What stands left of W, what right of it, and which shapes have they?",
        "`F.one_hot(labels, num_classes)` makes whole numbers: turn them into floats. `torch.linalg.solve(A, B)` finds W with A W = B.",
    ],
    explanation="The gradient of ‖XW − Y‖² + strength · ‖W‖² is zero where (XᵀX + strength · I) W = XᵀY: one linear system, no learning rate, no epochs. "
    "The penalty keeps it solvable when there are fewer labels than features, which is the usual case with a frozen encoder.",
    properties=[
        Property("longer than the penalty allows", more_strength_smaller, "Is `strength` added, and to which matrix?"),
    ],
    mistakes=[
        Mistake("no penalty", """def linear_probe(features, labels, num_classes, strength):
    y = F.one_hot(labels, num_classes).float()
    return torch.linalg.pinv(features) @ y
""",
                "This is plain least squares: `strength` changes nothing. Where does it enter the formula?"),
        Mistake("the penalty on every entry", """def linear_probe(features, labels, num_classes, strength):
    y = F.one_hot(labels, num_classes).float()
    return torch.linalg.pinv(features.T @ features + strength) @ features.T @ y
""",
                "A number was added to all entries of XᵀX. Which matrix has ones on its diagonal alone?"),
        Mistake("labels as numbers", """def linear_probe(features, labels, num_classes, strength):
    d = features.shape[1]
    y = labels.float()[:, None]
    return torch.linalg.solve(features.T @ features + strength * torch.eye(d), features.T @ y)
""",
                "Class 2 was treated as twice class 1. What does a one-hot target look like?"),
        Mistake("the penalty squared", """def linear_probe(features, labels, num_classes, strength):
    d = features.shape[1]
    y = F.one_hot(labels, num_classes).float()
    return torch.linalg.solve(features.T @ features + strength**2 * torch.eye(d), features.T @ y)
""",
                "With strength 1 it is right, with others not. Which power of `strength` stands in the formula?"),
        Mistake("classes in rows", """def linear_probe(features, labels, num_classes, strength):
    d = features.shape[1]
    y = F.one_hot(labels, num_classes).float()
    return torch.linalg.solve(features.T @ features + strength * torch.eye(d), features.T @ y).T
""",
                "W should take a feature vector (D,) to C scores as x @ W. Which of its sides is D?"),
        Mistake("divided by the number of items", """def linear_probe(features, labels, num_classes, strength):
    n, d = features.shape
    y = F.one_hot(labels, num_classes).float()
    return torch.linalg.solve(features.T @ features / n + strength * torch.eye(d), features.T @ y / n)
""",
                "The fit was averaged over the items and the penalty was not, so it weighs N times more. What does the docstring average?"),
        Mistake("+1 and -1", """def linear_probe(features, labels, num_classes, strength):
    d = features.shape[1]
    y = 2 * F.one_hot(labels, num_classes).float() - 1
    return torch.linalg.solve(features.T @ features + strength * torch.eye(d), features.T @ y)
""",
                "The other classes were given -1. That is a choice too, but which number does the docstring give them?"),
        Mistake("a penalty of one", """def linear_probe(features, labels, num_classes, strength):
    y = F.one_hot(labels, num_classes).float()
    d = features.shape[1]
    return torch.linalg.solve(features.T @ features + torch.eye(d), features.T @ y)
""",
                "With strength 1 it is right, with others not: the matrix that is added is I itself. What stands before it in the formula?"),
        Mistake("the penalty twice", """def linear_probe(features, labels, num_classes, strength):
    y = F.one_hot(labels, num_classes).float()
    d = features.shape[1]
    return torch.linalg.solve(features.T @ features + 2 * strength * torch.eye(d), features.T @ y)
""",
                "A gradient has the factor 2 in both of its terms, and here it is left in one. Which number stands before I in the formula?"),
        Mistake("one side averaged", """def linear_probe(features, labels, num_classes, strength):
    y = F.one_hot(labels, num_classes).float()
    d = features.shape[1]
    return torch.linalg.solve(features.T @ features / len(features) + strength * torch.eye(d), features.T @ y)
""",
                "XᵀX was divided by the number of items and XᵀY was not. Is either of them averaged in the formula?"),
        Mistake("an intercept", """def linear_probe(features, labels, num_classes, strength):
    features = features - features.mean(0)
    y = F.one_hot(labels, num_classes).float()
    d = features.shape[1]
    return torch.linalg.solve(features.T @ features + strength * torch.eye(d), features.T @ y)
""",
                "The mean was subtracted from the features, as for a fit with an intercept. Which X does the formula take?"),
        Mistake("features of length one", """def linear_probe(features, labels, num_classes, strength):
    features = F.normalize(features, dim=1)
    y = F.one_hot(labels, num_classes).float()
    d = features.shape[1]
    return torch.linalg.solve(features.T @ features + strength * torch.eye(d), features.T @ y)
""",
                "Each feature vector was scaled to length 1 first. Which X does the formula take?"),
        Mistake("classes that have items", """def linear_probe(features, labels, num_classes, strength):
    y = F.one_hot(labels).float()
    d = features.shape[1]
    return torch.linalg.solve(features.T @ features + strength * torch.eye(d), features.T @ y)
""",
                "A class without an item got no column. What says how many classes there are?"),
        Mistake("predictions for W", """def linear_probe(features, labels, num_classes, strength):
    y = F.one_hot(labels, num_classes).float()
    d = features.shape[1]
    return features @ torch.linalg.solve(features.T @ features + strength * torch.eye(d), features.T @ y)
""",
                "These are the scores X @ W of the items. What is asked for?"),
        Mistake("items for features", """def linear_probe(features, labels, num_classes, strength):
    y = F.one_hot(labels, num_classes).float()
    return torch.linalg.solve(features @ features.T + strength * torch.eye(len(features)), y)
""",
                "XXᵀ has a row for each item and XᵀX one for each feature. What has a row of W?"),
    ],
)  # fmt: skip

# -- 02.2 nearest neighbours ----------------------------------------------------------------------------------------------

NEAREST = '''def nearest_labels(queries, features, labels, k=1):
    """The label of each query: the commonest among its k nearest labelled items by cosine; of equals the smallest.

    queries: (Q, D)   features: (N, D), of labelled items   labels: (N,) whole numbers
    Returns: (Q,) labels.
    """
'''


def only_known_labels(out: Tensor, case: tuple) -> bool | str:
    strange = [label for label in out.tolist() if label not in set(case[2].tolist())]
    return not strange or f"Label {strange[0]} belongs to no labelled item."


neighbours = Exercise(
    "02.2",
    goal="classify by nearest neighbours, without training anything",
    minutes=10,
    difficulty=2,
    cases=[
        (torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0], [3.0, 0.3]]), torch.tensor([5, 2]), 1),
        (torch.tensor([[1.0, 1.0], [-1.0, 0.2]]), torch.tensor([[9.0, 0.0], [0.5, 0.6], [-0.1, 0.0]]), torch.tensor([0, 1, 2]), 1),
        (torch.tensor([[1.0, 0.1]]), torch.tensor([[2.0, 0.0], [1.0, 0.3], [1.0, 0.4], [0.0, 1.0]]), torch.tensor([3, 1, 1, 0]), 3),
        (noise(5, 6, seed=1), noise(12, 6, seed=2) * torch.tensor([0.1, 9.0]).repeat(6)[:, None], whole(12, most=3, seed=3), 4),
        (noise(4, 3, seed=4), noise(9, 3, seed=5) * torch.arange(1.0, 10)[:, None], whole(9, most=2, seed=6) + 3, 5),
        (torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([[3.0, 0.3], [1.0, 0.5], [0.4, 1.0], [0.1, 2.0]]), torch.tensor([3, 1, 5, 2]), 3),
    ],
    starter=NEAREST + "    ...\n",
    solution=NEAREST
    + """    cosines = F.normalize(queries, dim=1) @ F.normalize(features, dim=1).T  # (Q, N)
    nearest = labels[cosines.topk(k, dim=1).indices]  # (Q, k)
    return nearest.mode(dim=1).values
""",
    other_solutions=[
        "def nearest_labels(queries, features, labels, k=1):\n    found = []\n    for query in queries:\n"
        "        cosines = F.cosine_similarity(query[None], features, dim=1)\n"
        "        votes = labels[cosines.argsort(descending=True)[:k]].tolist()\n"
        "        found.append(min(set(votes), key=lambda label: (-votes.count(label), label)))\n    return torch.tensor(found)\n",
        "def nearest_labels(queries, features, labels, k=1):\n    unit = features / features.norm(dim=1, keepdim=True)\n"
        "    order = (queries @ unit.T).sort(dim=1, descending=True).indices[:, :k]\n    count = int(labels.max()) + 1\n"
        "    return F.one_hot(labels[order], count).sum(1).argmax(1)\n",
    ],
    hints=[
        "A dot product grows with the length of a vector. What has to be done to both sides before it measures an angle?",
        "You need a table of cosines, a row for each query; then the k best columns of each row; then their labels.",
        "`F.normalize(x, dim=1)` makes unit vectors, `topk(k, dim=1).indices` finds columns, `labels[indices]` looks labels up, `.mode(dim=1)` votes.",
    ],
    explanation="A frozen encoder has put items of one meaning close together, so that their labels can be read off the neighbours. Nothing is trained: a new "
    "class is a new labelled item. The price is that all labelled features must be kept.",
    properties=[Property("a label that nobody has", only_known_labels, "Did you return places or labels?")],
    mistakes=[
        Mistake("dot products", """def nearest_labels(queries, features, labels, k=1):
    return labels[(queries @ features.T).topk(k, dim=1).indices].mode(dim=1).values
""",
                "A long vector wins whatever its direction. What does a cosine divide by?"),
        Mistake("places for labels", """def nearest_labels(queries, features, labels, k=1):
    cosines = F.normalize(queries, dim=1) @ F.normalize(features, dim=1).T
    return cosines.topk(k, dim=1).indices.mode(dim=1).values
""",
                "This says which item is near, not what its label is. Where are the labels looked up?"),
        Mistake("only the nearest one", """def nearest_labels(queries, features, labels, k=1):
    cosines = F.normalize(queries, dim=1) @ F.normalize(features, dim=1).T
    return labels[cosines.argmax(1)]
""",
                "With k = 3 two others may outvote the nearest. Who votes?"),
        Mistake("the farthest", """def nearest_labels(queries, features, labels, k=1):
    cosines = F.normalize(queries, dim=1) @ F.normalize(features, dim=1).T
    return labels[cosines.topk(k, dim=1, largest=False).indices].mode(dim=1).values
""",
                "A cosine of 1 is the same direction. Do you want large cosines or small ones?"),
        Mistake("Euclidean distance", """def nearest_labels(queries, features, labels, k=1):
    return labels[torch.cdist(queries, features).topk(k, dim=1, largest=False).indices].mode(dim=1).values
""",
                "Distance depends on length as well as on direction. Which similarity does the docstring ask for?"),
        Mistake("the mean of the labels", """def nearest_labels(queries, features, labels, k=1):
    cosines = F.normalize(queries, dim=1) @ F.normalize(features, dim=1).T
    return labels[cosines.topk(k, dim=1).indices].float().mean(1).round().long()
""",
                "Between class 0 and class 4 lies no class 2. What is counted in a vote?"),
        Mistake("normalized over the items", """def nearest_labels(queries, features, labels, k=1):
    cosines = F.normalize(queries, dim=0) @ F.normalize(features, dim=0).T
    return labels[cosines.topk(k, dim=1).indices].mode(dim=1).values
""",
                "Each feature was scaled over all items. Which axis runs along one vector?"),
        Mistake("of equals the nearest", """def nearest_labels(queries, features, labels, k=1):
    cosines = F.normalize(queries, dim=1) @ F.normalize(features, dim=1).T
    votes = labels[cosines.topk(k, dim=1).indices].tolist()
    return torch.tensor([max(row, key=row.count) for row in votes])
""",
                "Where labels have as many votes, the one met first was taken, that of the nearest item. Which of equals does the docstring ask for?"),
        Mistake("of equals the largest", """def nearest_labels(queries, features, labels, k=1):
    cosines = F.normalize(queries, dim=1) @ F.normalize(features, dim=1).T
    votes = labels[cosines.topk(k, dim=1).indices].tolist()
    return torch.tensor([max(set(row), key=lambda label: (row.count(label), label)) for row in votes])
""",
                "Where labels have as many votes, the largest was taken. Which of equals does the docstring ask for?"),
        Mistake("votes weighted by cosine", """def nearest_labels(queries, features, labels, k=1):
    cosines = F.normalize(queries, dim=1) @ F.normalize(features, dim=1).T
    nearest = cosines.topk(k, dim=1)
    votes = torch.zeros(len(queries), int(labels.max()) + 1)
    return votes.scatter_add(1, labels[nearest.indices], nearest.values).argmax(1)
""",
                "A near item has more weight than a less near one. What does each of the k count in the docstring?"),
        Mistake("the nearest mean of a class", """def nearest_labels(queries, features, labels, k=1):
    known = labels.unique()
    means = torch.stack([F.normalize(features, dim=1)[labels == label].mean(0) for label in known])
    return known[(F.normalize(queries, dim=1) @ means.T).argmax(1)]
""",
                "Each class was first averaged into one vector. Which single items vote?"),
        Mistake("the last of the k alone", """def nearest_labels(queries, features, labels, k=1):
    cosines = F.normalize(queries, dim=1) @ F.normalize(features, dim=1).T
    return labels[cosines.topk(k, dim=1).indices[:, -1]]
""",
                "The label is that of the k-th neighbour. What do the k - 1 nearer ones say?"),
        Mistake("the nearest one left out", """def nearest_labels(queries, features, labels, k=1):
    cosines = F.normalize(queries, dim=1) @ F.normalize(features, dim=1).T
    nearest = cosines.topk(min(k + 1, len(features)), dim=1).indices[:, 1:]
    return labels[nearest].mode(dim=1).values
""",
                "The nearest item has no vote, as if it were the query itself. Is a query among the labelled items?"),
        Mistake("all k labels", """def nearest_labels(queries, features, labels, k=1):
    cosines = F.normalize(queries, dim=1) @ F.normalize(features, dim=1).T
    return labels[cosines.topk(k, dim=1).indices]
""",
                "These are the labels of the k nearest. How does one label come out of them?"),
    ],
)  # fmt: skip

# -- 02.3 recall at k -----------------------------------------------------------------------------------------------------

RECALL = '''def recall_at_k(scores, k):
    """The share of queries whose own item is among the k best: item i belongs to query i.

    scores: (Q, N), Q <= N, higher is better. An item of equal score stands before the right one.
    Returns: a float from 0 to 1.
    """
'''


def not_a_share(out: float, case: tuple) -> bool | str:
    return 0 <= out <= 1 or f"A share of queries lies between 0 and 1; yours is {out:.4g}."


recall = Exercise(
    "02.3",
    goal="measure a search: recall at k",
    minutes=10,
    difficulty=2,
    cases=[
        (torch.tensor([[0.9, 0.1], [0.2, 0.8]]), 1),
        (torch.tensor([[0.1, 0.9, 0.3], [0.2, 0.8, 0.1]]), 1),
        (torch.tensor([[0.1, 0.9, 0.3], [0.2, 0.1, 0.4]]), 2),
        (torch.tensor([[0.5, 0.5, 0.1], [0.6, 0.6, 0.3], [0.1, 0.2, 0.9]]), 1),
        (noise(6, 9, seed=1), 3),
        (noise(5, 5, seed=46).round(), 2),
        (noise(12, 12, seed=7), 4),
        (torch.tensor([[0.3, 0.9, 0.8, 0.1]]), 3),
        (torch.tensor([[0.9, 0.1, 0.2], [0.8, 0.1, 0.4], [0.3, 0.9, 0.2]]), 1),
    ],
    starter=RECALL + "    ...\n",
    solution=RECALL
    + """    own = scores.diagonal()[:, None]  # (Q, 1)
    ranks = (scores >= own).sum(1)  # the right item counts itself, so the best has rank 1
    return (ranks <= k).float().mean().item()
""",
    other_solutions=[
        "def recall_at_k(scores, k):\n    hits = 0\n    for i, row in enumerate(scores.tolist()):\n"
        "        ahead = sum(1 for j, score in enumerate(row) if j != i and score >= row[i])\n        hits += ahead < k\n    return hits / len(scores)\n",
        "def recall_at_k(scores, k):\n    q = len(scores)\n    others = scores.clone()\n    others[torch.arange(q), torch.arange(q)] = float('-inf')\n"
        "    return ((others >= scores.diagonal()[:, None]).sum(1) < k).double().mean().item()\n",
    ],
    hints=[
        "For one query: how many items stand before the right one, or level with it? When is that few enough?",
        "The right scores stand on the diagonal. Compare every score of a row with its diagonal entry.",
        "`scores.diagonal()[:, None]` is a column; `(scores >= own).sum(1)` is the rank, since the right item counts itself.",
    ],
    explanation="The rank of the right item is one more than the number of others that score at least as high. Counting equal scores against it keeps a model that gives "
    "everything the same score from looking perfect.",
    properties=[Property("no share", not_a_share, "Of how many queries is it a share?")],
    mistakes=[
        Mistake("ties in its favour", """def recall_at_k(scores, k):
    own = scores.diagonal()[:, None]
    return ((scores > own).sum(1) < k).float().mean().item()
""",
                "A model that scores everything alike would find everything. Which way do equal scores count here?"),
        Mistake("one rank too few", """def recall_at_k(scores, k):
    own = scores.diagonal()[:, None]
    return ((scores >= own).sum(1) < k).float().mean().item()
""",
                "The best item has rank 1, and rank 1 is good enough for k = 1. Which comparison says so?"),
        Mistake("only the first place", """def recall_at_k(scores, k):
    own = scores.diagonal()[:, None]
    return ((scores >= own).sum(1) <= 1).float().mean().item()
""",
                "The value does not change with k. How many places count?"),
        Mistake("the number, not the share", """def recall_at_k(scores, k):
    own = scores.diagonal()[:, None]
    return ((scores >= own).sum(1) <= k).float().sum().item()
""",
                "Queries were counted. What are they divided by?"),
        Mistake("queries ranked for items", """def recall_at_k(scores, k):
    q = len(scores)
    own = scores.diagonal()[None, :q]
    return ((scores[:, :q] >= own).sum(0) <= k).float().mean().item()
""",
                "Columns were ranked: which query suits an item best. Which axis holds the items that a query chooses from?"),
        Mistake("divided by k", """def recall_at_k(scores, k):
    own = scores.diagonal()[:, None]
    return ((scores >= own).sum(1) <= k).float().mean().item() / k
""",
                "One right item among k found would be precision at k. What does recall ask of a query?"),
        Mistake("the lowest scores", """def recall_at_k(scores, k):
    found = scores.argsort(dim=1, stable=True)[:, :k]
    return (found == torch.arange(len(scores))[:, None]).any(1).float().mean().item()
""",
                "Sorting puts low scores first, so the k worst items were looked at. Is a high score good or bad?"),
        Mistake("ranked from the lowest", """def recall_at_k(scores, k):
    own = scores.diagonal()[:, None]
    return ((scores <= own).sum(1) <= k).float().mean().item()
""",
                "The worst item has rank 1. Is a high score good or bad?"),
        Mistake("equals as they are sorted", """def recall_at_k(scores, k):
    found = scores.argsort(dim=1, descending=True, stable=True)[:, :k]
    return (found == torch.arange(len(scores))[:, None]).any(1).float().mean().item()
""",
                "Among equal scores the sort chooses, so some right items are lucky. Where does the docstring put the right one?"),
        Mistake("the best item alone", """def recall_at_k(scores, k):
    return (scores.argmax(1) == torch.arange(len(scores))).float().mean().item()
""",
                "The best item alone was looked at, whatever k is. How many places count?"),
        Mistake("one rank too many", """def recall_at_k(scores, k):
    own = scores.diagonal()[:, None]
    return ((scores > own).sum(1) <= k).float().mean().item()
""",
                "With k others above it, the right item has rank k + 1. How many may stand before it?"),
        Mistake("places for ranks", """def recall_at_k(scores, k):
    places = scores.argsort(dim=1, descending=True).diagonal()
    return (places < k).float().mean().item()
""",
                "`argsort` says which item stands at a rank, and was read as the rank of an item. Where in its row does item i stand?"),
        Mistake("the first query alone", """def recall_at_k(scores, k):
    return float((scores[0] >= scores[0, 0]).sum() <= k)
""",
                "It is 0 or 1: the answer for the first query. Over how many queries is the share?"),
        Mistake("divided by the items", """def recall_at_k(scores, k):
    own = scores.diagonal()[:, None]
    return ((scores >= own).sum(1) <= k).sum().item() / scores.shape[1]
""",
                "The hits were divided by the number of items. Of what is recall a share?"),
        Mistake("reciprocal ranks", """def recall_at_k(scores, k):
    own = scores.diagonal()[:, None]
    return (1 / (scores >= own).sum(1)).mean().item()
""",
                "It is the mean reciprocal rank, which does not change with k. What does a query count here, and from which rank on nothing?"),
        Mistake("whole numbers only", """def recall_at_k(scores, k):
    own = scores.diagonal()[:, None]
    return float(((scores >= own).sum(1) <= k).sum().item() // len(scores))
""",
                "It is a whole number, and a share lies between 0 and 1. Where is what follows the point lost?"),
        Mistake("one hit is enough", """def recall_at_k(scores, k):
    own = scores.diagonal()[:, None]
    return float(((scores >= own).sum(1) <= k).any())
""",
                "It is 1 as soon as one query finds its item. What do the other queries count?"),
    ],
)  # fmt: skip

# -- 02.4 what pretraining costs ------------------------------------------------------------------------------------------

COST = '''def training_days(parameters, tokens, devices, flop_per_second, utilization):
    """Days that pretraining takes, by the rule of 6 FLOP for each parameter and token.

    devices: accelerators at work   flop_per_second: the peak of one   utilization: the share of the peak it reaches
    """
'''

cost = Exercise(
    "02.4",
    goal="estimate what a pretraining run costs",
    minutes=8,
    cases=[
        (1e9, 1e9, 1, 6e13, 1.0),
        (175e9, 300e9, 1024, 312e12, 0.4),
        (135e6, 2e12, 64, 989e12, 0.35),
        (7e9, 1.4e11, 8, 1e14, 0.5),
    ],
    starter=COST + "    ...\n",
    solution=COST
    + """    flop = 6 * parameters * tokens
    reached = devices * flop_per_second * utilization
    return flop / reached / (24 * 60 * 60)
""",
    other_solutions=[
        "def training_days(parameters, tokens, devices, flop_per_second, utilization):\n    seconds = 6 * parameters * tokens\n"
        "    for part in (devices, flop_per_second, utilization):\n        seconds /= part\n    return seconds / 86_400\n",
        "def training_days(parameters, tokens, devices, flop_per_second, utilization):\n    an_hour = 3600 * devices * flop_per_second * utilization\n"
        "    return 6.0 * parameters * tokens / an_hour / 24\n",
    ],
    hints=[
        "First the work in FLOP, then how many of them are done in a second, then the unit.",
        "A device at 40 % utilization does 0.4 of its peak. Does low utilization make the run longer or shorter?",
        "FLOP: 6 · parameters · tokens. A day has 86,400 seconds.",
    ],
    explanation="Each token costs about 2 FLOP a parameter in the forward pass (a multiplication and an addition) and twice as many in the backward pass, hence 6. "
    "GPT-3's 3.15e23 FLOP would keep a thousand A100 at 40 % of their peak busy for about a month.",
    properties=[
        Property("no time at all", lambda out, case: out > 0 or f"A run takes time, and yours takes {out:.3g} days.", "What divides what?"),
    ],
    mistakes=[
        Mistake("the forward pass alone", "def training_days(parameters, tokens, devices, flop_per_second, utilization):\n"
                "    return 2 * parameters * tokens / (devices * flop_per_second * utilization) / 86400\n",
                "2 FLOP a parameter and token are the forward pass. What else does training compute?"),
        Mistake("one FLOP each", "def training_days(parameters, tokens, devices, flop_per_second, utilization):\n"
                "    return parameters * tokens / (devices * flop_per_second * utilization) / 86400\n",
                "Each parameter is used more than once for a token. How many FLOP are there for each?"),
        Mistake("utilization multiplied", "def training_days(parameters, tokens, devices, flop_per_second, utilization):\n"
                "    return 6 * parameters * tokens * utilization / (devices * flop_per_second) / 86400\n",
                "A badly used machine came out faster. On which side of the division does utilization stand?"),
        Mistake("utilization forgotten", "def training_days(parameters, tokens, devices, flop_per_second, utilization):\n"
                "    return 6 * parameters * tokens / (devices * flop_per_second) / 86400\n",
                "This is the time at the full peak. What share of it is reached?"),
        Mistake("hours", "def training_days(parameters, tokens, devices, flop_per_second, utilization):\n"
                "    return 6 * parameters * tokens / (devices * flop_per_second * utilization) / 3600\n",
                "It comes out 24 times too long. How many seconds has a day?"),
        Mistake("seconds", "def training_days(parameters, tokens, devices, flop_per_second, utilization):\n"
                "    return 6 * parameters * tokens / (devices * flop_per_second * utilization)\n",
                "FLOP divided by FLOP per second are seconds. What is asked?"),
        Mistake("device days", "def training_days(parameters, tokens, devices, flop_per_second, utilization):\n"
                "    return 6 * parameters * tokens / (flop_per_second * utilization) / 86400\n",
                "This is how long one device would need. How many share the work?"),
        Mistake("minutes in a day for seconds", "def training_days(parameters, tokens, devices, flop_per_second, utilization):\n"
                "    return 6 * parameters * tokens / (devices * flop_per_second * utilization) / (24 * 60)\n",
                "24 · 60 are the minutes of a day. What is still to be divided by?"),
        Mistake("devices multiplied", """def training_days(parameters, tokens, devices, flop_per_second, utilization):
    return 6 * parameters * tokens * devices / (flop_per_second * utilization) / 86400
""",
                "More devices made the run longer. On which side of the division do they stand?"),
        Mistake("no brackets", """def training_days(parameters, tokens, devices, flop_per_second, utilization):
    return 6 * parameters * tokens / devices * flop_per_second * utilization / 86400
""",
                "`a / b * c` is a · c / b: what follows a division is multiplied again. Which three belong under the line together?"),
        Mistake("the lost share added", """def training_days(parameters, tokens, devices, flop_per_second, utilization):
    return 6 * parameters * tokens / (devices * flop_per_second) / 86400 * (2 - utilization)
""",
                "At 40 % utilization it adds 60 % to the time. How much longer is a run that reaches 0.4 of the peak?"),
        Mistake("rounded up", """def training_days(parameters, tokens, devices, flop_per_second, utilization):
    return math.ceil(6 * parameters * tokens / (devices * flop_per_second * utilization) / 86400)
""",
                "It was rounded up to whole days. Which part of a day is lost?"),
    ],
)  # fmt: skip

# -- 02.5 the label budget ------------------------------------------------------------------------------------------------


def needed(
    first: str = "accuracies[0] >= target",
    reached: str = "accuracies[i] >= target",
    part: str = "(target - accuracies[i - 1]) / (accuracies[i] - accuracies[i - 1])",
    result: str = "counts[i - 1] * (counts[i] / counts[i - 1]) ** part",
    never: str = "math.inf",
) -> str:
    """A near miss of 02.5, as source; without `first` the first count is not looked at."""
    begin = f"    if {first}:\n        return float(counts[0])\n" if first else ""
    return (
        f"def labels_needed(counts, accuracies, target):\n{begin}    for i in range(1, len(counts)):\n"
        f"        if {reached}:\n            part = {part}\n            return {result}\n    return {never}\n"
    )


BUDGET = '''def labels_needed(counts, accuracies, target):
    """How many labels a model needs for an accuracy of `target`: straight lines between the measured points, with the
    labels on a logarithmic axis.

    counts: increasing numbers of labels   accuracies: measured at each of them, not decreasing
    Returns: a float; math.inf if the target is never reached, the first count if it is reached there.
    """
'''


def within_the_counts(out: float, case: tuple) -> bool | str:
    counts = case[0]
    fits = math.isinf(out) or counts[0] * 0.999 <= out <= counts[-1] * 1.001
    return fits or f"Measured was from {counts[0]} to {counts[-1]} labels, and yours is {out:.4g}."


budget = Exercise(
    "02.5",
    goal="how many labels does pretraining replace?",
    minutes=12,
    difficulty=3,
    cases=[
        ([10, 1000], [0.2, 0.6], 0.4),
        ([10, 1000], [0.2, 0.6], 0.3),
        ([16, 64, 256], [0.3, 0.5, 0.6], 0.55),
        ([16, 64, 256], [0.3, 0.5, 0.6], 0.7),
        ([16, 64, 256], [0.3, 0.5, 0.6], 0.2),
        ([16, 64, 256, 1024], [0.25, 0.5, 0.5, 0.75], 0.5),
        ([1, 10, 100], [0.1, 0.2, 0.9], 0.9),
        ([16, 64], [0.5, 0.5], 0.5),
    ],
    starter=BUDGET + "    ...\n",
    solution=BUDGET
    + """    if accuracies[0] >= target:
        return float(counts[0])
    for i in range(1, len(counts)):
        if accuracies[i] >= target:
            part = (target - accuracies[i - 1]) / (accuracies[i] - accuracies[i - 1])
            return counts[i - 1] * (counts[i] / counts[i - 1]) ** part
    return math.inf
""",
    other_solutions=[
        "def labels_needed(counts, accuracies, target):\n    points = list(zip(counts, accuracies))\n    if points[0][1] >= target:\n        return float(points[0][0])\n"
        "    for (n, a), (m, b) in zip(points, points[1:]):\n        if a < target <= b:\n"
        "            return math.exp(math.log(n) + (target - a) / (b - a) * (math.log(m) - math.log(n)))\n    return math.inf\n",
        "def labels_needed(counts, accuracies, target):\n    if max(accuracies) < target:\n        return float('inf')\n"
        "    i = next(i for i, a in enumerate(accuracies) if a >= target)\n    if i == 0:\n        return 1.0 * counts[0]\n"
        "    low, high = math.log2(counts[i - 1]), math.log2(counts[i])\n    share = (target - accuracies[i - 1]) / (accuracies[i] - accuracies[i - 1])\n"
        "    return 2 ** (low + share * (high - low))\n",
    ],
    hints=[
        "Between which two measured points does the curve cross the target? What if it starts above, or never gets there?",
        "Find the share of the way between the two accuracies; then go that share of the way between the logarithms of the two counts.",
        "Going a share s of the way from n to m on a logarithmic axis gives n · (m / n) ** s.",
    ],
    explanation="Accuracy grows roughly in equal steps each time the labels are multiplied, so one interpolates on a logarithmic axis: half-way between 10 and 1,000 lies 100. "
    "The ratio of two such budgets is the factor by which pretraining stretches a label.",
    properties=[Property("outside what was measured", within_the_counts, "Between which counts does the target lie?")],
    mistakes=[
        Mistake("a linear axis", needed(result="counts[i - 1] + part * (counts[i] - counts[i - 1])"),
                "Half-way between 10 and 1,000 came out as 505. What is half-way on a logarithmic axis?"),
        Mistake("the next measured count", """def labels_needed(counts, accuracies, target):
    for n, accuracy in zip(counts, accuracies):
        if accuracy >= target:
            return float(n)
    return math.inf
""",
                "The target may be reached between two measured points. Where do straight lines put it?"),
        Mistake("never is the last count", needed(never="float(counts[-1])"),
                "A model that never reached the target was said to need only the largest count. What does the docstring return then?"),
        Mistake("it looks before the first count", needed(first=""),
                "The first count reaches the target already, and the line was drawn on to fewer labels, where nothing was measured. What is returned then?"),
        Mistake("the share the wrong way round", needed(part="(accuracies[i] - target) / (accuracies[i] - accuracies[i - 1])"),
                "Near the lower accuracy it gives nearly the higher count. From which end is the share measured?"),
        Mistake("reached means exceeded", needed(first="accuracies[0] > target", reached="accuracies[i] > target"),
                "An accuracy equal to the target reaches it. Which comparison says so?"),
        Mistake("the measured count before", """def labels_needed(counts, accuracies, target):
    if accuracies[0] >= target:
        return float(counts[0])
    for i in range(1, len(counts)):
        if accuracies[i] >= target:
            return float(counts[i - 1])
    return math.inf
""",
                "At this count the target is not reached yet. How far towards the next one does the line reach it?"),
        Mistake("the nearest measured point", """def labels_needed(counts, accuracies, target):
    if accuracies[-1] < target:
        return math.inf
    gaps = [abs(accuracy - target) for accuracy in accuracies]
    return float(counts[gaps.index(min(gaps))])
""",
                "It is the count of the measured point with the nearest accuracy. Where between two points do straight lines put the target?"),
        Mistake("the end of a plateau", """def labels_needed(counts, accuracies, target):
    if accuracies[0] >= target:
        return float(counts[0])
    for i in range(len(counts) - 1, 0, -1):
        if accuracies[i - 1] <= target <= accuracies[i]:
            part = (target - accuracies[i - 1]) / (accuracies[i] - accuracies[i - 1] or 1.0)
            return counts[i - 1] * (counts[i] / counts[i - 1]) ** part
    return math.inf
""",
                "Where the accuracy stays the same over several counts, the last of them was taken. Which one reaches the target first?"),
        Mistake("one line for all points", """def labels_needed(counts, accuracies, target):
    if accuracies[0] >= target:
        return float(counts[0])
    if accuracies[-1] < target:
        return math.inf
    part = (target - accuracies[0]) / (accuracies[-1] - accuracies[0])
    return counts[0] * (counts[-1] / counts[0]) ** part
""",
                "One line was drawn from the first point to the last. Which two points does the target lie between?"),
        Mistake("both axes logarithmic", needed(part="math.log(target / accuracies[i - 1]) / math.log(accuracies[i] / accuracies[i - 1])"),
                "The logarithm of the accuracies was taken too. Which axis is logarithmic?"),
        Mistake("rounded up", needed(result="float(math.ceil(counts[i - 1] * (counts[i] / counts[i - 1]) ** part))"),
                "It was rounded up to whole labels. Where does the line itself reach the target?"),
        Mistake("a line beyond the last count", """def labels_needed(counts, accuracies, target):
    if accuracies[0] >= target:
        return float(counts[0])
    i = 1
    while i < len(counts) - 1 and accuracies[i] < target:
        i += 1
    part = (target - accuracies[i - 1]) / (accuracies[i] - accuracies[i - 1])
    return counts[i - 1] * (counts[i] / counts[i - 1]) ** part
""",
                "The last line was drawn on to more labels, where nothing was measured. What is returned if the target is never reached?"),
        Mistake("given up after one line", """def labels_needed(counts, accuracies, target):
    if accuracies[0] >= target:
        return float(counts[0])
    for i in range(1, len(counts)):
        if accuracies[i] >= target:
            part = (target - accuracies[i - 1]) / (accuracies[i] - accuracies[i - 1])
            return counts[i - 1] * (counts[i] / counts[i - 1]) ** part
        return math.inf
""",
                "It says never as soon as the first line does not reach the target. When may it say so?"),
    ],
)  # fmt: skip
