"""Lesson 09: how good are made pictures, a draw that can be learnt from, what a code costs, and what generator and discriminator are paid for."""

import torch
from fmcourse.course.exercise import Exercise, Mistake, Property
from torch import Tensor
from torch.nn import functional as F

noise = lambda *shape, seed=0: torch.randn(*shape, generator=torch.Generator().manual_seed(seed))

# -- 09.1 precision -------------------------------------------------------------------------------------------------------

reach = lambda points, k: torch.cdist(points, points).sort(1).values[:, k]  # the nearest of all is the point itself
share = lambda inside: inside.double().mean().item()


def real_ones_are_real(out: float, case: tuple) -> bool | str:
    real, made, k = case
    if real.shape != made.shape or not torch.equal(real, made):
        return True
    return out == 1 or f"Here the made points *are* the real ones, so all of them are good; it says {out:.3g}."


def a_share(out: float, case: tuple) -> bool | str:
    return 0 <= out <= 1 or f"A share lies between 0 and 1; it says {out:.3g}."


precision = Exercise(
    "09.1",
    goal="which share of the made is good?",
    minutes=12,
    difficulty=2,
    cases=[
        (torch.tensor([[0.0], [1.0], [3.0]]), torch.tensor([[0.5], [5.5], [-1.0], [4.5]]), 1),
        (torch.tensor([[0.0], [1.0], [3.0]]), torch.tensor([[-2.5], [0.5]]), 1),
        (torch.tensor([[0.0, 0.0], [0.0, 1.0], [2.0, 0.0], [9.0, 9.0]]), torch.tensor([[0.0, 2.5], [4.0, 3.0], [30.0, 3.0]]), 2),
        (noise(30, 3), noise(20, 3, seed=1) * 1.5, 3),
        (noise(40, 2), 3 * noise(25, 2, seed=2), 1),
        (noise(12, 4), noise(12, 4), 2),
    ],
    starter='''def precision(real, made, k):
    """Share of made points that lie among the real ones. A point does if, for at least one real point, it is no
    further from it than that one's k-th nearest other real point.

    real: (N, F)   made: (M, F)   ->   float
    """
    ...
''',
    solution='''def precision(real, made, k):
    """Share of made points that lie among the real ones. A point does if, for at least one real point, it is no
    further from it than that one's k-th nearest other real point.

    real: (N, F)   made: (M, F)   ->   float
    """
    reach = torch.cdist(real, real).kthvalue(k + 1).values  # (N,): the nearest of all is the point itself
    inside = torch.cdist(made, real) <= reach               # (M, N)
    return inside.any(1).double().mean().item()
''',
    other_solutions=[
        "def precision(real, made, k):\n    good = 0\n    for point in made:\n        for n, centre in enumerate(real):\n"
        "            others = torch.cat([real[:n], real[n + 1:]])\n            radius = (others - centre).norm(dim=1).sort().values[k - 1]\n"
        "            if (point - centre).norm() <= radius:\n                good += 1\n                break\n    return good / len(made)\n",
        "def precision(real, made, k):\n    radii = torch.cdist(real, real).topk(k + 1, largest=False).values[:, -1]\n"
        "    return float(((torch.cdist(real, made) - radii[:, None]).min(0).values <= 0).double().mean())\n",
    ],
    hints=[
        "Around each real point draw a circle that just reaches its k-th neighbour. What is good lies in one of the circles, whichever.",
        "First one radius for each real point; mind that in a table of all distances each point is its own nearest. Then a table (made, real): inside or not?",
        "`torch.cdist(real, real).kthvalue(k + 1).values` are the radii; `(torch.cdist(made, real) <= radii).any(1)` is who is good.",
    ],
    explanation="The real points' circles together are a guess at where real pictures can lie: small where they lie close, large where they are "
    "rare. One circle is enough. With the two clouds changed over, the same function is the *recall*: is each real point among the made?",
    properties=[
        Property("no share", a_share, "Which two counts does a share divide?"),
        Property("real points are not good", real_ones_are_real, "How far is a real point from itself?"),
    ],
    mistakes=[
        Mistake("the point counts as its own neighbour", lambda real, made, k: share((torch.cdist(made, real) <= reach(real, k - 1)).any(1)),
                "The circles are one neighbour too small. At which distance does a point find the first of \"its neighbours\" in the table?"),
        Mistake("one neighbour too many", lambda real, made, k: share((torch.cdist(made, real) <= reach(real, min(k + 1, len(real) - 1))).any(1)),
                "The circles reach one neighbour too far. `kthvalue` counts from one, an index from zero: which did you use?"),
        Mistake("recall", lambda real, made, k: share((torch.cdist(real, made) <= reach(made, k)).any(1)),
                "It asks whether the *real* ones lie among the made. Around whom must the circles stand?"),
        Mistake("circles round the made", lambda real, made, k: share((torch.cdist(made, real) <= reach(made, k)[:, None]).any(1)),
                "Each made point brings its own circle: scattered wildly enough, all of them are good. Whose circles say where real things lie?"),
        Mistake("in every circle", lambda real, made, k: share((torch.cdist(made, real) <= reach(real, k)).all(1)),
                "A point must lie in all circles at once here. Must a good shoe look like a shirt, too?"),
        Mistake("pairs counted", lambda real, made, k: share(torch.cdist(made, real) <= reach(real, k)),
                "It is the share of pairs. In how many circles must a point lie to be good?"),
        Mistake("one radius for all", lambda real, made, k: share((torch.cdist(made, real) <= reach(real, k).mean()).any(1)),
                "All circles are equally large. Should one be as large where real points are rare as where they crowd?"),
        Mistake("how many, not which share", lambda real, made, k: float((torch.cdist(made, real) <= reach(real, k)).any(1).sum()),
                "It counts the good ones. Out of how many?"),
        Mistake("squares for distances", lambda real, made, k: share((torch.cdist(made, real).square() <= reach(real, k)).any(1)),
                "A squared distance is compared with one that is not. Which of the two lost its root?"),
        Mistake("the farthest neighbours", """def precision(real, made, k):
    reach = torch.cdist(real, real).topk(k + 1).values[:, -1]
    return (torch.cdist(made, real) <= reach).any(1).float().mean().item()
""",
                "`topk` begins with the largest distances. Which end holds the nearest?"),
        Mistake("the rim left out", """def precision(real, made, k):
    reach = torch.cdist(real, real).kthvalue(k + 1).values
    return (torch.cdist(made, real) < reach).any(1).float().mean().item()
""",
                "A point exactly on a circle is not counted. \"No further than\": does that hold the rim?"),
        Mistake("which circle is hit", """def precision(real, made, k):
    reach = torch.cdist(real, real).kthvalue(k + 1).values
    return (torch.cdist(made, real) <= reach).any(0).float().mean().item()
""",
                "It is the share of *circles* with a made point in them. Along which axis do the made points stand?"),
        Mistake("the nearest circle alone", """def precision(real, made, k):
    far = torch.cdist(made, real)
    reach = torch.cdist(real, real).kthvalue(k + 1).values
    near = far.argmin(1)
    return (far.amin(1) <= reach[near]).float().mean().item()
""",
                "It asks the nearest real point alone, and its circle may be small. May a larger circle, farther "
                "off, hold the point?"),
        Mistake("the largest circle for all", """def precision(real, made, k):
    reach = torch.cdist(real, real).kthvalue(k + 1).values.max()
    return (torch.cdist(made, real) <= reach).any(1).float().mean().item()
""",
                "All circles are as large as the largest. Should one be as large where real points crowd as where "
                "they are rare?"),
        Mistake("outside, not inside", """def precision(real, made, k):
    reach = torch.cdist(real, real).kthvalue(k + 1).values
    return (torch.cdist(made, real) >= reach).any(1).float().mean().item()
""",
                "It counts the points that lie outside some circle. Which way does the comparison go?"),
        Mistake("the mean of k neighbours", """def precision(real, made, k):
    reach = torch.cdist(real, real).sort(1).values[:, 1 : k + 1].mean(1)
    return (torch.cdist(made, real) <= reach).any(1).float().mean().item()
""",
                "The circle reaches as far as the k nearest do on average. How far away is the k-th?"),
        Mistake("in k circles", """def precision(real, made, k):
    reach = torch.cdist(real, real).kthvalue(k + 1).values
    return ((torch.cdist(made, real) <= reach).sum(1) >= k).float().mean().item()
""",
                "A point must lie in k circles here. In how many is enough?"),
    ],
)  # fmt: skip

# -- 09.2 a draw ----------------------------------------------------------------------------------------------------------


def no_noise(out: Tensor, case: tuple) -> bool | str:
    mean, _, noise = case
    if noise.any():
        return True
    return torch.allclose(out, mean) or "With noise 0 a draw is the mean itself; here it is not."


def with_gradients(candidate, case: tuple) -> Tensor | tuple[Tensor, ...]:
    """The draw, and where the inputs ask for it how it changes with mean and log-variance."""
    out = candidate(*case)
    if not case[0].requires_grad or not isinstance(out, Tensor):
        return out
    gradients = torch.autograd.grad(out.sum(), case[:2], retain_graph=True, allow_unused=True) if out.requires_grad else (None, None)  # fmt: skip
    return (
        out,
        *(torch.zeros_like(x) if gradient is None else gradient for x, gradient in zip(case, gradients, strict=False)),
    )


draw = Exercise(
    "09.2",
    goal="a draw that can be learnt from",
    minutes=6,
    run=with_gradients,
    cases=[
        (torch.tensor([[1.0, -2.0]]), torch.tensor([[0.0, 2.0]]), torch.tensor([[0.5, -1.0]])),
        (noise(3, 4, seed=1), noise(3, 4, seed=2), torch.zeros(3, 4)),
        (noise(2, 5, seed=3).requires_grad_(), noise(2, 5, seed=4).requires_grad_(), noise(2, 5, seed=5)),
        (noise(2, 3, 2, 2, seed=6), -3 + noise(2, 3, 2, 2, seed=7), noise(2, 3, 2, 2, seed=8)),
    ],
    starter='''def draw(mean, log_variance, noise):
    """A draw from the bell curve with this mean and variance, made of `noise`, which comes from the standard one.

    All (B, K) or of any one shape. Gradients must reach mean and log_variance.
    """
    ...
''',
    solution='''def draw(mean, log_variance, noise):
    """A draw from the bell curve with this mean and variance, made of `noise`, which comes from the standard one.

    All (B, K) or of any one shape. Gradients must reach mean and log_variance.
    """
    return mean + (log_variance / 2).exp() * noise  # the root of e^s is e^(s/2)
''',
    other_solutions=[
        lambda mean, log_variance, noise: mean + log_variance.exp().sqrt() * noise,
        "def draw(mean, log_variance, noise):\n    std = torch.exp(0.5 * log_variance)\n    return torch.addcmul(mean, std, noise)\n",
        lambda mean, log_variance, noise: torch.distributions.Normal(mean, (0.5 * log_variance).exp()).loc + noise * torch.distributions.Normal(mean, (0.5 * log_variance).exp()).scale,
    ],
    hints=[
        "The standard bell has its middle at 0 and is 1 wide. Two moves make any other bell of it. Which two?",
        "Stretch by the standard deviation, then move by the mean. The network gave you the logarithm of the *variance*: what is the root of it?",
        "`mean + std * noise`, with `std = (log_variance / 2).exp()`.",
    ],
    explanation="Chance comes in from outside, as `noise`, and mean and spread only move and stretch it: a sum and a product, through which "
    "gradients flow. A network may put out any number, so it gives log σ², and e to the half of that is σ: always above 0.",
    properties=[Property("noise of nothing", no_noise, "Is the mean only moved, or stretched as well?")],
    mistakes=[
        Mistake("stretched by the variance", lambda mean, log_variance, noise: mean + log_variance.exp() * noise,
                "It stretches by σ². If all lengths double, does a bell's width double, or its variance?"),
        Mistake("stretched by the logarithm", lambda mean, log_variance, noise: mean + log_variance * noise,
                "The logarithm is taken for the width, so some widths are below zero. What undoes a logarithm?"),
        Mistake("twice instead of half", lambda mean, log_variance, noise: mean + (2 * log_variance).exp() * noise,
                "It stretches by σ⁴. Does a root halve a logarithm or double it?"),
        Mistake("no spread", lambda mean, log_variance, noise: mean + noise,
                "All bells are equally wide. Where does log_variance come in?"),
        Mistake("no mean", lambda mean, log_variance, noise: (log_variance / 2).exp() * noise,
                "All bells stand at zero. What moves them?"),
        Mistake("the mean alone", lambda mean, log_variance, noise: mean + 0 * log_variance,
                "No chance is left: each picture has one code, and the places between them mean nothing. What was the noise for?"),
        Mistake("moved, then stretched", lambda mean, log_variance, noise: (mean + noise) * (log_variance / 2).exp(),
                "The mean is stretched too. Which of the two moves comes first?"),
        Mistake("the other way round", lambda mean, log_variance, noise: (noise - mean) / (log_variance / 2).exp(),
                "This makes the standard bell of another. You have the standard one already. Which way do you want to go?"),
        Mistake("the mean learns nothing", lambda mean, log_variance, noise: mean.detach() + (log_variance / 2).exp() * noise,
                "The numbers are right, but no gradient comes back to the mean. Who cut its way, with `detach` or `.data`?"),
        Mistake("the spread learns nothing", lambda mean, log_variance, noise: mean + (log_variance.detach() / 2).exp() * noise,
                "The numbers are right, but no gradient comes back to log_variance. How would the encoder learn how sure to be?"),
        Mistake("the sign in the exponent", lambda mean, log_variance, noise: mean + (-log_variance / 2).exp() * noise,
                "The wider it should be, the narrower it gets. Is a minus too many in the exponent?"),
        Mistake("noise of its own", """def draw(mean, log_variance, noise):
    return mean + (log_variance / 2).exp() * torch.randn_like(mean)
""",
                "It draws noise itself, and what was handed in as `noise` is not used. Who decides about chance "
                "here, so that a draw can be repeated?"),
        Mistake("noise of its own, and no way back", """def draw(mean, log_variance, noise):
    std = (log_variance / 2).exp()
    return torch.distributions.Normal(mean, std).sample()
""",
                "`sample()` and `torch.normal` draw by themselves and let no gradient through; what was handed in as `noise` is not used. "
                "Which sum and product make the draw of it?"),
        Mistake("half of the variance", """def draw(mean, log_variance, noise):
    return mean + log_variance.exp() / 2 * noise
""",
                "The half stands outside the exponential. Is half the variance its root?"),
        Mistake("the root of a logarithm", """def draw(mean, log_variance, noise):
    return mean + log_variance.sqrt() * noise
""",
                "The root of log σ², which may be below zero. What must be undone before the root is taken?"),
        Mistake("the mean times the noise", """def draw(mean, log_variance, noise):
    return mean * noise + (log_variance / 2).exp()
""",
                "Mean and spread have changed places. Which of them stretches the noise, and which moves it?"),
        Mistake("all of it times the noise", """def draw(mean, log_variance, noise):
    return (mean + (log_variance / 2).exp()) * noise
""",
                "The mean is multiplied by the noise, too. Where do brackets belong?"),
        Mistake("noise taken away", """def draw(mean, log_variance, noise):
    return mean - (log_variance / 2).exp() * noise
""",
                "Chance would not mind, but it cannot be compared then. Which sign is plain?"),
        Mistake("no gradient at all", """def draw(mean, log_variance, noise):
    with torch.no_grad():
        return mean + (log_variance / 2).exp() * noise
""",
                "The numbers are right, and nothing can be learnt from them. What does the docstring say of "
                "gradients?"),
        Mistake("moved in place", """def draw(mean, log_variance, noise):
    mean += (log_variance / 2).exp() * noise
    return mean
""",
                "`+=` writes into the mean that was handed in. Which operator makes a new tensor?"),
    ],
)  # fmt: skip

# -- 09.3 what a code costs -----------------------------------------------------------------------------------------------


def one_a_picture(out: Tensor, case: tuple) -> bool | str:
    mean, _ = case
    return (
        tuple(out.shape) == (len(mean),) or f"{len(mean)} pictures: ({len(mean)},) is wanted, got {tuple(out.shape)}."
    )


def never_negative(out: Tensor, case: tuple) -> bool | str:
    return bool((out >= -1e-5).all()) or f"A divergence is never below zero; here one is {out.min().item():.3g}."


def nothing_for_nothing(out: Tensor, case: tuple) -> bool | str:
    mean, log_variance = case
    if mean.any() or log_variance.any() or tuple(out.shape) != (len(mean),):
        return True
    return (
        bool(out.abs().max() < 1e-5)
        or f"Here each bell *is* the standard one, which tells nothing; it says {out[0].item():.3g}."
    )


terms = lambda mean, s: (mean.square() + s.exp() - 1 - s) / 2
cost = Exercise(
    "09.3",
    goal="what does a code tell, in nats?",
    minutes=10,
    difficulty=2,
    cases=[
        (torch.zeros(2, 3), torch.zeros(2, 3)),
        (torch.tensor([[1.0, 0.0], [0.0, 3.0]]), torch.tensor([[0.0, -2.0], [1.0, 0.0]])),
        (noise(4, 5, seed=1), noise(4, 5, seed=2)),
        (noise(3, 2, seed=3).requires_grad_(), noise(3, 2, seed=4).requires_grad_()),
    ],
    starter='''def kl(mean, log_variance):
    """KL(q ‖ p) in nats for each picture, summed over the numbers of its code: from q, a bell curve for each number,
    to p, the standard one. For one number it is half of  mean² + variance - 1 - log variance.

    mean, log_variance: (B, K)   ->   (B,)
    """
    ...
''',
    solution='''def kl(mean, log_variance):
    """KL(q ‖ p) in nats for each picture, summed over the numbers of its code: from q, a bell curve for each number,
    to p, the standard one. For one number it is half of  mean² + variance - 1 - log variance.

    mean, log_variance: (B, K)   ->   (B,)
    """
    each = (mean.square() + log_variance.exp() - 1 - log_variance) / 2  # (B, K)
    return each.sum(1)                                                  # independent numbers: their nats add up
''',
    other_solutions=[
        lambda mean, log_variance: -0.5 * torch.sum(1 + log_variance - mean**2 - log_variance.exp(), dim=1),
        "def kl(mean, log_variance):\n    from torch.distributions import Normal, kl_divergence\n"
        "    q, p = Normal(mean, (log_variance / 2).exp()), Normal(torch.zeros_like(mean), torch.ones_like(mean))\n"
        "    return kl_divergence(q, p).sum(-1)\n",
    ],
    hints=[
        "How much do you learn about a picture's code when somebody tells you its bell? Nothing, if it is the standard one you knew of.",
        "The formula is given for one number. The network gives you log variance: which of the terms needs an exponential, which does not?",
        "`(mean.square() + log_variance.exp() - 1 - log_variance) / 2`, and `.sum(1)`.",
    ],
    explanation="A mean away from 0 costs, and so does a variance away from 1, below as well as above: a narrow bell names its place exactly. "
    "Since the numbers of a code are independent, their costs add up; pictures stay apart.",
    properties=[
        Property("another shape", one_a_picture, "Over which axis do costs add up, and which counts the pictures?"),
        Property("a cost for nothing", nothing_for_nothing, "What do the four terms make of mean 0 and variance 1?"),
        Property("below zero", never_negative, "Which of the four terms has the wrong sign?"),
    ],
    mistakes=[
        Mistake("one number for the batch", lambda mean, log_variance: terms(mean, log_variance).sum(),
                "It adds up over pictures, too. Which axis counts the pictures?"),
        Mistake("a mean over the code", lambda mean, log_variance: terms(mean, log_variance).mean(1),
                "Two numbers told cost as much as one. Do nats add up, or average out?"),
        Mistake("for each number", lambda mean, log_variance: terms(mean, log_variance),
                "This is the cost of each number, (B, K), and right. What does the whole code cost?"),
        Mistake("summed over pictures", lambda mean, log_variance: terms(mean, log_variance).sum(0),
                "This is the cost of each place of the code, all pictures together. Which axis is which?"),
        Mistake("not halved", lambda mean, log_variance: 2 * terms(mean, log_variance).sum(1),
                "It is twice too much. Where did the half go?"),
        Mistake("the wrong sign", lambda mean, log_variance: -terms(mean, log_variance).sum(1),
                "It is below zero. In the bound it is *taken away*; is it negative itself?"),
        Mistake("log variance for variance", lambda mean, log_variance: (mean.square() + log_variance - 1 - log_variance).sum(1) / 2,
                "The spread cancels out: log variance stands where variance should. Which term needs an exponential?"),
        Mistake("the width for the variance", lambda mean, log_variance: (mean.square() + (log_variance / 2).exp() - 1 - log_variance).sum(1) / 2,
                "It takes σ for σ². Is e^(s/2) the variance?"),
        Mistake("the mean not squared", lambda mean, log_variance: (mean + log_variance.exp() - 1 - log_variance).sum(1) / 2,
                "A mean of -3 makes it cheaper than 0 does. What is done to the mean first?"),
        Mistake("no minus one", lambda mean, log_variance: (mean.square() + log_variance.exp() - log_variance).sum(1) / 2,
                "The standard bell itself costs half a nat a number. Which term makes it free?"),
        Mistake("from the standard one", lambda mean, log_variance: ((1 + mean.square()) * (-log_variance).exp() - 1 + log_variance).sum(1) / 2,
                "This is KL(p ‖ q), from the standard bell to the other. Which of the two is the code drawn from?"),
        Mistake("the mean over the batch", """def kl(mean, log_variance):
    return ((mean.square() + log_variance.exp() - 1 - log_variance) / 2).sum(1).mean()
""",
                "It averages over the pictures at the end. That is done later, in the loss; what has each picture "
                "here?"),
        Mistake("the mean of everything", """def kl(mean, log_variance):
    return ((mean.square() + log_variance.exp() - 1 - log_variance) / 2).mean()
""",
                "One mean over pictures and numbers of the code. Which axis adds up, and which is left alone?"),
        Mistake("the logarithm twice", """def kl(mean, log_variance):
    return ((mean.square() + log_variance - 1 - log_variance.log()) / 2).sum(1)
""",
                "log variance was taken for the variance, and its logarithm once more. Which term needs an "
                "exponential?"),
        Mistake("a square for the exponential", """def kl(mean, log_variance):
    return ((mean.square() + log_variance.square() - 1 - log_variance) / 2).sum(1)
""",
                "log variance is squared. What undoes a logarithm?"),
        Mistake("a half too many", """def kl(mean, log_variance):
    return ((mean.square() + (log_variance / 2).exp() - 1 - log_variance / 2) / 2).sum(1)
""",
                "log variance is halved before it is used. Does the formula ask for variances, or for standard "
                "deviations?"),
        Mistake("half of the last term", """def kl(mean, log_variance):
    return (mean.square() + log_variance.exp() - 1 - log_variance / 2).sum(1)
""",
                "Only the last of the four terms is halved. Where do brackets belong?"),
        Mistake("the mean without its square", """def kl(mean, log_variance):
    return ((mean.abs() + log_variance.exp() - 1 - log_variance) / 2).sum(1)
""",
                "The size of the mean, not its square. What stands in the formula?"),
        Mistake("one for the whole code", """def kl(mean, log_variance):
    return ((mean.square() + log_variance.exp() - log_variance).sum(1) - 1) / 2
""",
                "The 1 is taken off once, after the sum. How many numbers has a code, and what does each cost for "
                "nothing?"),
        Mistake("log variance added", """def kl(mean, log_variance):
    return ((mean.square() + log_variance.exp() - 1 + log_variance) / 2).sum(1)
""",
                "The last term has the wrong sign, and a narrow bell costs less than nothing. What should a narrow "
                "one cost?"),
        Mistake("an axis kept", """def kl(mean, log_variance):
    return ((mean.square() + log_variance.exp() - 1 - log_variance) / 2).sum(1, keepdim=True)
""",
                "The costs are right, and an axis of size 1 is left. What does `keepdim` do?"),
    ],
)  # fmt: skip

# -- 09.4 the two losses --------------------------------------------------------------------------------------------------


def a_guess(out: tuple, case: tuple) -> bool | str:
    real, fake = case
    if real.any() or fake.any():
        return True
    wanted = 2 * torch.tensor(2.0).log().item()
    return abs(float(out[0]) - wanted) < 1e-3 or (
        f"A discriminator that says 0 of everything calls all of it even odds: log 2 for the real and log 2 for the fake, {wanted:.3f}; it says {float(out[0]):.3g}."
    )


up, down = (lambda score: F.softplus(-score).mean()), (lambda score: F.softplus(score).mean())
losses = Exercise(
    "09.4",
    goal="what the two are paid for",
    minutes=10,
    difficulty=2,
    cases=[
        (torch.zeros(3), torch.zeros(3)),
        (torch.tensor([2.0, 0.0]), torch.tensor([-1.0, 1.0, -3.0])),
        (noise(6), noise(6, seed=1).requires_grad_()),
        (30 * noise(5, seed=2), 30 * noise(5, seed=3)),
    ],
    starter='''def losses(real, fake):
    """The discriminator's loss and the generator's (non-saturating), from the discriminator's logits: sigmoid(score) is
    the probability it gives to "real".

    The discriminator pays -log of what it gave to the truth: mean over the real plus mean over the fake. The generator
    pays -log of the probability that its own were given to be real.

    real: (N,), fake: (M,), any numbers   ->   (scalar, scalar)
    """
    ...
''',
    solution='''def losses(real, fake):
    """The discriminator's loss and the generator's (non-saturating), from the discriminator's logits: sigmoid(score) is
    the probability it gives to "real".

    The discriminator pays -log of what it gave to the truth: mean over the real plus mean over the fake. The generator
    pays -log of the probability that its own were given to be real.

    real: (N,), fake: (M,), any numbers   ->   (scalar, scalar)
    """
    discriminator = -F.logsigmoid(real).mean() - F.logsigmoid(-fake).mean()  # 1 - sigmoid(s) is sigmoid(-s)
    return discriminator, -F.logsigmoid(fake).mean()
''',
    other_solutions=[
        "def losses(real, fake):\n    bce = F.binary_cross_entropy_with_logits\n"
        "    ones, zeros = torch.ones_like(fake), torch.zeros_like(fake)\n"
        "    return bce(real, torch.ones_like(real)) + bce(fake, zeros), bce(fake, ones)\n",
        lambda real, fake: (F.softplus(-real).mean() + F.softplus(fake).mean(), F.softplus(-fake).mean()),
        "def losses(real, fake):\n    zero = torch.zeros(())\n    log_p = lambda s: -torch.logaddexp(zero, -s)\n"
        "    return -(log_p(real).mean() + log_p(-fake).mean()), -log_p(fake).mean()\n",
    ],
    hints=[
        "Three questions, three payments: what does the discriminator pay on a real picture, what on a fake one, what does the generator pay on its own?",
        "-log p is the price of a truth that one gave p. Of a fake picture the truth is \"fake\", to which it gave 1 - sigmoid(score), which is sigmoid(-score).",
        "`-F.logsigmoid(real).mean() - F.logsigmoid(-fake).mean()`, and `-F.logsigmoid(fake).mean()`. (`.sigmoid().log()` breaks down at large scores.)",
    ],
    explanation="All three are -log of a probability. The generator could be made to pay log(1 - p) instead, the exact opposite of the discriminator's; but "
    "that is flat where fake images are bad, and nothing would be learnt in the beginning (Goodfellow et al. 2014, section 3). `logsigmoid` keeps large scores exact.",
    properties=[Property("the price of a guess", a_guess, "How many questions is the discriminator asked, and what does a coin cost for each?")],
    mistakes=[
        Mistake("the generator pays log(1 - p)", lambda real, fake: (up(real) + down(fake), -down(fake)),
                "It is below zero, and flat where fake images are bad: no gradient where most is to learn. Of what should the generator pay -log?"),
        Mistake("the generator wants to be caught", lambda real, fake: (up(real) + down(fake), down(fake)),
                "Its loss falls when its scores do: it helps the discriminator. What does the generator want to be taken for?"),
        Mistake("changed over", lambda real, fake: (up(fake), up(real) + down(fake)),
                "Both are right, in the wrong order. Whose comes first?"),
        Mistake("the discriminator takes fake for real", lambda real, fake: (up(real) + up(fake), up(fake)),
                "The discriminator is paid for calling everything real. What is the truth about a fake one?"),
        Mistake("upside down", lambda real, fake: (down(real) + up(fake), up(fake)),
                "High scores mean fake here. Which of the two shall score high?"),
        Mistake("the discriminator sees fake images alone", lambda real, fake: (down(fake), up(fake)),
                "It never looks at a real picture, and may call all of them fake. Where does `real` come in?"),
        Mistake("the discriminator sees real ones alone", lambda real, fake: (up(real), up(fake)),
                "It never sees a fake image, and may call everything real. What does it pay on fake ones?"),
        Mistake("the mean of both halves", lambda real, fake: ((up(real) + down(fake)) / 2, up(fake)),
                "The discriminator's is half of what was asked. Mean over the real *plus* mean over the fake: is that a mean of the two?"),
        Mistake("scores for probabilities", lambda real, fake: (-real.mean() + fake.mean(), -fake.mean()),
                "There is no logarithm: the discriminator can earn without end by shouting louder. (Wasserstein's loss, which needs a bridle.) What makes a probability of a score?"),
        Mistake("the hinge", lambda real, fake: (F.relu(1 - real).mean() + F.relu(1 + fake).mean(), -fake.mean()),
                "This is the hinge, which comes later. What does one pay here who gave the truth probability p?"),
        Mistake("sigmoid without logarithm", lambda real, fake: (1 - real.sigmoid().mean() + fake.sigmoid().mean(), 1 - fake.sigmoid().mean()),
                "It pays 1 - p, and who is sure and wrong hardly feels it. What is -log p for a p near 0?"),
        Mistake("sums", lambda real, fake: (F.softplus(-real).sum() + F.softplus(fake).sum(), F.softplus(-fake).sum()),
                "More pictures, larger loss. Mean or sum?"),
        Mistake("a logarithm of zero", """def losses(real, fake):
    discriminator = -real.sigmoid().log().mean() - (1 - fake.sigmoid()).log().mean()
    return discriminator, -fake.sigmoid().log().mean()
""",
                "With a score of 30 the sigmoid rounds to 1, and log(1 - 1) is minus infinity. Which function goes "
                "from the score to the logarithm at once?"),
        Mistake("the generator pays log(1 - p), and at 30 it breaks", """def losses(real, fake):
    discriminator = -F.logsigmoid(real).mean() - F.logsigmoid(-fake).mean()
    return discriminator, (1 - fake.sigmoid()).log().mean()
""",
                "It is below zero, flat where fake images are bad, and log 0 at large scores. Of what should the "
                "generator pay -log?"),
        Mistake("the opposite of the discriminator's", """def losses(real, fake):
    discriminator = -F.logsigmoid(real).mean() - F.logsigmoid(-fake).mean()
    return discriminator, -discriminator
""",
                "The generator pays the discriminator's loss with the other sign: that is the game as first written, "
                "flat where fake images are bad. Of what should it pay -log?"),
        Mistake("no logarithm's sign", """def losses(real, fake):
    return F.logsigmoid(real).mean() + F.logsigmoid(-fake).mean(), F.logsigmoid(fake).mean()
""",
                "Logarithms of probabilities are below zero. Which sign has what is paid?"),
        Mistake("logits taken for probabilities", """def losses(real, fake):
    return -real.log().mean() - (1 - fake).log().mean(), -fake.log().mean()
""",
                "A score may be 0, 30 or -30, and a logarithm wants a probability. What makes one of it?"),
        Mistake("logits where probabilities are asked", """def losses(real, fake):
    bce = F.binary_cross_entropy
    ones, zeros = torch.ones_like(fake), torch.zeros_like(fake)
    return bce(real, torch.ones_like(real)) + bce(fake, zeros), bce(fake, ones)
""",
                "`binary_cross_entropy` wants probabilities. What is its sister for logits called?"),
        Mistake("sigmoid before the loss", """def losses(real, fake):
    bce = F.binary_cross_entropy
    p, q = real.sigmoid(), fake.sigmoid()
    return bce(p, torch.ones_like(p)) + bce(q, torch.zeros_like(q)), bce(q, torch.ones_like(q))
""",
                "With scores of 30 the sigmoid rounds to 0 or 1, and the loss is cut off at 100. Which form takes "
                "the logits themselves?"),
        Mistake("all pictures in one mean", """def losses(real, fake):
    both = torch.cat([real, -fake])
    return -F.logsigmoid(both).mean(), -F.logsigmoid(fake).mean()
""",
                "Real and fake are averaged together, so the larger batch weighs more, and a coin pays log 2. Mean "
                "over the real *plus*?"),
        Mistake("the generator answers for the real", """def losses(real, fake):
    discriminator = -F.logsigmoid(real).mean() - F.logsigmoid(-fake).mean()
    return discriminator, -F.logsigmoid(-real).mean()
""",
                "The generator is paid by the scores of real pictures, on which it has no influence. Which ones did "
                "it make?"),
        Mistake("a little added", """def losses(real, fake):
    discriminator = -(real.sigmoid() + 1e-8).log().mean() - (1 - fake.sigmoid() + 1e-8).log().mean()
    return discriminator, -(fake.sigmoid() + 1e-8).log().mean()
""",
                "With 1e-8 added no price goes beyond 18 nats, however wrong the score. Which function keeps large "
                "scores exact?"),
        Mistake("one minus a logarithm", """def losses(real, fake):
    discriminator = -F.logsigmoid(real).mean() - (1 - F.logsigmoid(fake)).mean()
    return discriminator, -F.logsigmoid(fake).mean()
""",
                "1 - log p is not log(1 - p). What is the probability of *fake*, as the sigmoid of something?"),
        Mistake("least squares", """def losses(real, fake):
    discriminator = (real - 1).square().mean() + fake.square().mean()
    return discriminator, (fake - 1).square().mean()
""",
                "That is another GAN's loss (LSGAN), squares of scores. What does one pay here who gave the truth "
                "probability p?"),
        Mistake("the mean of the scores", """def losses(real, fake):
    discriminator = -real.mean().sigmoid().log() - (1 - fake.mean().sigmoid()).log()
    return discriminator, -fake.mean().sigmoid().log()
""",
                "First the mean of the scores, then one probability: very wrong and very right scores cancel. Of "
                "what is the mean asked?"),
    ],
)  # fmt: skip
