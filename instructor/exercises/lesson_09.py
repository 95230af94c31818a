"""Assigned in lesson 09: nats that every dimension may spend, and what an empty code costs."""

import torch

from fmcourse.classroom.assigned import Assigned
from fmcourse.course.exercises import Mistake, Property

noise = lambda *shape, seed, scale=1.0: torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * scale

# -- 09.A1 free nats ------------------------------------------------------------------------------------------------------

FREE = '''def free_nats(mean, log_variance, free):
    """What a VAE pays for its codes when each dimension has some nats for nothing.

    mean, log_variance: (B, D), of the normal distribution that the encoder gives for each of B pictures   free: nats, at least 0   ->   ()

    For each dimension: its divergence from a standard normal distribution, in nats, averaged over the batch; if that average is below
    `free`, `free` in its place. Then the sum over the D dimensions.
    """
'''

free_nats = Assigned(
    "09.A1",
    goal="nats for nothing",
    minutes=15,
    difficulty=2,
    text="A VAE often gives up dimensions: it is cheaper to say nothing in them (*posterior collapse*). Kingma et al. 2016 give each dimension some **free nats**: below "
    "that amount saving brings nothing, so the dimension may as well be used. The divergence of a normal distribution with mean m and variance v from the standard one is "
    "(m² + v − log v − 1) / 2.",
    cases=[
        (torch.tensor([[1.0, 0.0], [3.0, 0.0]]), torch.zeros(2, 2), 0.5),
        (noise(4, 3, seed=1), noise(4, 3, seed=2, scale=0.5), 0.0),
        (noise(6, 5, seed=3, scale=0.8), noise(6, 5, seed=4, scale=0.4), 0.4),
    ],
    hidden=[
        (noise(1, 1, seed=5), noise(1, 1, seed=6), 0.1),
        (noise(8, 4, seed=7) * torch.tensor([0.1, 0.5, 1.0, 2.0]), noise(8, 4, seed=8, scale=0.3), 0.3),
        (noise(8, 4, seed=9, scale=0.1), noise(8, 4, seed=10, scale=0.1), 2.0),
        (noise(3, 7, seed=11), noise(3, 7, seed=12, scale=0.5) - 1, 0.7),
        ((noise(5, 2, seed=13)).requires_grad_(), noise(5, 2, seed=14), 0.2),
    ],
    starter=FREE + "    ...\n",
    solution=FREE + '''    nats = (mean**2 + log_variance.exp() - log_variance - 1) / 2       # (B, D)
    return nats.mean(0).clamp(min=free).sum()
''',
    other_solutions=[
        "def free_nats(mean, log_variance, free):\n    from torch.distributions import Normal, kl_divergence\n    kl = kl_divergence(Normal(mean, (log_variance / 2).exp()), Normal(torch.zeros_like(mean), torch.ones_like(mean)))\n"
        "    per = kl.mean(dim=0)\n    return torch.where(per < free, torch.full_like(per, free), per).sum()\n",
        "def free_nats(mean, log_variance, free):\n    total = 0.0\n    for d in range(mean.shape[1]):\n        m, s = mean[:, d], log_variance[:, d]\n"
        "        total = total + torch.relu((0.5 * (m * m + torch.exp(s) - s - 1)).mean() - free) + free\n    return total\n",
    ],
    explanation="The mean over the batch comes first: a dimension may be silent for one picture and speak for another. Only the average of a dimension is held to the floor.",
    properties=[Property("below the floor", '''def test(out, case):
    floor = case[0].shape[1] * case[2]
    return bool(out >= floor - 1e-4) or f"{case[0].shape[1]} dimensions with {case[2]} nats each are {floor:.4g}; yours is {float(out):.4g}."
''', "What does each dimension cost at the least?")],
    mistakes=[
        Mistake("a floor for each picture", "def free_nats(mean, log_variance, free):\n    nats = (mean**2 + log_variance.exp() - log_variance - 1) / 2\n    return nats.clamp(min=free).mean(0).sum()\n",
                "Each picture is held to the floor. May a dimension be silent for one picture, and speak for another?"),
        Mistake("a floor for all together", "def free_nats(mean, log_variance, free):\n    nats = (mean**2 + log_variance.exp() - log_variance - 1) / 2\n    return nats.mean(0).sum().clamp(min=free * mean.shape[1])\n",
                "One floor for the whole code: one busy dimension pays for silent ones. Who has free nats?"),
        Mistake("no floor", "def free_nats(mean, log_variance, free):\n    nats = (mean**2 + log_variance.exp() - log_variance - 1) / 2\n    return nats.mean(0).sum()\n",
                "Nothing is free. What does a silent dimension cost?"),
        Mistake("summed over the batch", "def free_nats(mean, log_variance, free):\n    nats = (mean**2 + log_variance.exp() - log_variance - 1) / 2\n    return nats.sum(0).clamp(min=free).sum()\n",
                "More pictures, more nats. What was asked over the batch?"),
        Mistake("taken off", "def free_nats(mean, log_variance, free):\n    nats = (mean**2 + log_variance.exp() - log_variance - 1) / 2\n    return (nats.mean(0) - free).clamp(min=0).sum()\n",
                "The free nats are taken off. What stands where the average is below them?"),
        Mistake("without the half", "def free_nats(mean, log_variance, free):\n    nats = mean**2 + log_variance.exp() - log_variance - 1\n    return nats.mean(0).clamp(min=free).sum()\n",
                "Every divergence is twice what it should be. By what is it divided?"),
    ],
)  # fmt: skip

# -- 09.A2 an empty code --------------------------------------------------------------------------------------------------

empty_code = Assigned(
    "09.A2",
    goal="what does an empty code cost?",
    minutes=12,
    text="An autoencoder whose code is empty can only draw one picture, always the same. With a square loss the best it can do is the **mean picture** of what it was "
    "trained on. That is the mark for every other autoencoder. Train on `load(\"fashion\").train.pixels[first : first + many]`, brought from 0..255 to 0..1, and give "
    "the mean square error of a pixel on the 500 pictures that follow these in the training split. (In float64.)",
    starter='''mine = variant("09.A2")  # your numbers
error_of_an_empty_code = ...  # a float
''',
    solution='''from fmcourse.data import load


def error_of_an_empty_code(mine):
    x = load("fashion").train.pixels.double() / 255
    end = mine["first"] + mine["many"]
    picture = x[mine["first"] : end].mean(0)
    return float((x[end : end + 500] - picture).pow(2).mean())
''',
    other_solutions=['''def error_of_an_empty_code(mine):
    import numpy as np
    from fmcourse.data import load
    x = load("fashion").train.pixels.numpy().astype("float64").reshape(-1, 784) / 255.0
    train, after = np.split(x[mine["first"]: mine["first"] + mine["many"] + 500], [mine["many"]])
    return float(((after - train.mean(axis=0)) ** 2).mean())
'''],
    vary=lambda draw: {"first": draw.randrange(0, 8000), "many": draw.randrange(60, 600)},
    explanation="The mean picture is what the decoder's biases learn first; all that a code can save is what pictures differ by.",
    properties=[Property("not an error", "def test(out, case):\n    return 0.01 < out < 0.2 or f'Pixels lie between 0 and 1 and differ by some tenths; yours is {out:.4g}.'\n", "In which units are the pixels?")],
    mistakes=[
        Mistake("on what it was trained on", '''def error_of_an_empty_code(mine):
    from fmcourse.data import load
    x = load("fashion").train.pixels[mine["first"]:][:mine["many"]].double() / 255
    return float((x - x.mean(0)).pow(2).mean())
''', "It is measured on the training pictures. On which was it asked?"),
        Mistake("one grey for all", '''def error_of_an_empty_code(mine):
    from fmcourse.data import load
    x = load("fashion").train.pixels.double() / 255
    end = mine["first"] + mine["many"]
    return float((x[end:end + 500] - x[mine["first"]:end].mean()).pow(2).mean())
''', "It draws one grey everywhere. How many numbers has the mean picture?"),
        Mistake("its own mean picture", '''def error_of_an_empty_code(mine):
    from fmcourse.data import load
    x = load("fashion").train.pixels[mine["first"] + mine["many"]:][:500].double() / 255
    return float((x - x.mean(0)).pow(2).mean())
''', "It knows the mean of the pictures that it is tested on. From which was it to be learnt?"),
        Mistake("a sum over the picture", '''def error_of_an_empty_code(mine):
    from fmcourse.data import load
    x = load("fashion").train.pixels.double() / 255
    end = mine["first"] + mine["many"]
    return float((x[end:end + 500] - x[mine["first"]:end].mean(0)).pow(2).sum((1, 2)).mean())
''', "That is the error of a whole picture. Of what was it asked?"),
        Mistake("absolute", '''def error_of_an_empty_code(mine):
    from fmcourse.data import load
    x = load("fashion").train.pixels.double() / 255
    end = mine["first"] + mine["many"]
    return float((x[end:end + 500] - x[mine["first"]:end].mean(0)).abs().mean())
''', "It takes the absolute error. Which loss makes the mean the best picture?"),
    ],
)  # fmt: skip
