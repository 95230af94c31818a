"""Assigned in lesson 10: the guess that no network can beat, and how long a picture can still be told from another."""

import torch
from fmcourse.classroom.exercise_kinds import AssignedExercise
from fmcourse.course.exercise import IMPORTS, Mistake, Property

noise = lambda *shape, seed=0: torch.randn(*shape, generator=torch.Generator().manual_seed(seed))

# -- 10.A1 the best guess -------------------------------------------------------------------------------------------------


def drowned(B, N, D, a, b, seed, lift=0.0, apart=1.0):
    """Some pictures, and B of them drowned."""
    pictures = apart * noise(N, D, seed=seed) + lift
    return a * pictures[torch.arange(B) % N] + b * noise(B, D, seed=seed + 1), pictures, a, b


GUESS = '''def best_guess(x_t, pictures, a, b):
    """The best guess at the picture behind each x_t, in mean square, if it can only be one of `pictures`, before the
    noise each as likely as the others: the average of the pictures, weighed by how likely each is, now that x_t has
    been seen.

    x_t = a · picture + b · noise, with noise from the standard bell in each of the D numbers, independently.
    x_t: (B, D) float32   pictures: (N, D) float32   a: a number from 0 to 1   b: a number, 0.001 or more
    ->   (B, D) float32, finite
    """
'''


def guessed(
    weights="(-far / (2 * b * b)).softmax(1)",
    far="gap.square().sum(-1)",
    gap="x_t[:, None] - a * pictures",
    out="w @ pictures",
):
    """The right answer, or a near miss."""
    return (
        f"def best_guess(x_t, pictures, a, b):\n    gap = {gap}\n    far = {far}\n    w = {weights}\n    return {out}\n"
    )


best_guess = AssignedExercise(
    "10.A1",
    goal="the guess that no network can beat",
    minutes=20,
    difficulty=3,
    text="Your networks learn to guess the picture behind the noise. What would a *perfect* one say? For a collection of pictures that is known in full no network is needed: it can be "
    "computed. Any of the pictures may have been drowned in x_t. Each would need another noise for it, and some noises are likelier than others: in each number the "
    "standard bell falls as e to the -noise² / 2, and independent numbers multiply. That makes a weight for each picture (they add up to 1), and the "
    "guess with the least mean square is the average by these weights.\n\n"
    "With the training pictures it is the network that has learnt its lesson by heart: walk back with it, and you get training pictures and nothing else. What a real network does better is to be worse at this.\n\n"
    "Mind the size of the exponents. With many numbers or little noise they are in the hundreds and millions, and in float32 e to the minus 200 is 0.",
    cases=[
        (torch.tensor([[0.5]]), torch.tensor([[-1.0], [2.0]]), 0.6, 0.8),
        (torch.tensor([[1.0, -2.0], [0.0, 3.0]]), torch.tensor([[1.0, 2.0], [3.0, 0.5], [2.0, 2.0]]), 0.0, 1.0),
        (torch.tensor([[0.99, 1.98]]), torch.tensor([[1.0, 2.0], [1.5, 2.5], [9.0, 0.5]]), 0.99, 0.01),
        drowned(4, 4, 3, 0.8, 0.6, seed=1),
        drowned(2, 5, 6, 0.3, 0.9, seed=3, lift=3.0),
        drowned(3, 6, 250, 0.6, 0.8, seed=19, apart=0.1),
    ],
    hidden=[
        (torch.tensor([[3.0]]), torch.tensor([[7.0]]), 0.5, 0.5),
        drowned(6, 3, 2, 0.6, 0.8, seed=5),
        drowned(3, 9, 16, 0.1, 0.99, seed=7),
        drowned(5, 20, 30, 0.9999, 0.001, seed=9),
        drowned(7, 7, 4, 0.0, 1.0, seed=11, lift=1.0),
        drowned(4, 6, 8, 0.7, 0.3, seed=13),
        (noise(4, 3, seed=21), noise(5, 3, seed=22), 0.95, 0.004),
        (noise(3, 5, seed=15), torch.cat([noise(2, 5, seed=16), noise(1, 5, seed=17).expand(3, 5)]), 0.5, 0.7),
    ],
    starter=GUESS + "    ...\n",
    solution=GUESS + '''    needed = (x_t[:, None] - a * pictures) / b                  # (B, N, D): the noise that each picture would need
    log_p = -needed.square().sum(-1) / 2                        # (B, N), but for what all have in common
    return log_p.softmax(1) @ pictures                          # softmax takes care of large exponents
''',
    other_solutions=[
        "def best_guess(x_t, pictures, a, b):\n    rows = []\n    for x in x_t:\n        logs = [torch.distributions.Normal(a * picture, b).log_prob(x).sum() for picture in pictures]\n"
        "        most = max(logs)\n        weights = [(log - most).exp() for log in logs]\n        rows.append(sum(w * picture for w, picture in zip(weights, pictures)) / sum(weights))\n    return torch.stack(rows)\n",
        # attention: queries x_t, keys and values the pictures
        "def best_guess(x_t, pictures, a, b):\n    q, k = x_t.double(), pictures.double()\n    scores = (a * q @ k.T - a * a * k.square().sum(1) / 2) / b**2\n    return (scores.softmax(-1) @ k).float()\n",
        "def best_guess(x_t, pictures, a, b):\n    far = torch.cdist(x_t.double(), a * pictures.double())\n    logs = -0.5 * (far / b) ** 2\n"
        "    w = torch.exp(logs - logs.logsumexp(1, keepdim=True))\n    return (w[:, :, None] * pictures).sum(1).float()\n",
    ],
    explanation="What a picture would need for noise is (x_t - a · picture) / b; the sum of its squares, halved, is minus the logarithm of how likely it is, and softmax makes weights of "
    "such logarithms. It is attention with pictures for keys and values. Out of pure noise it is the mean of all, at the end one picture; the walk between is where it decides.",
    properties=[
        Property("out of nothing", '''def test(out, case):
    x_t, pictures, a, b = case
    if a or torch.allclose(out, pictures.mean(0).expand_as(out), atol=1e-3):
        return True
    return "At a = 0 nothing of a picture is left in x_t, and no picture has become likelier than another; the guess does not say so."
''', "What is the best guess in mean square if nothing is known?"),
        Property("unsure in broad daylight", '''def test(out, case):
    x_t, pictures, a, b = case
    if b > 0.02:
        return True
    near = torch.cdist(x_t, a * pictures).argmin(1)
    return torch.allclose(out, pictures[near], atol=1e-2) or f"At a = {a}, b = {b} there is hardly any noise, and each x_t is plainly one of the pictures. The guess is another."
''', "How likely is a noise a hundred times as large as it should be?"),
        Property("outside", '''def test(out, case):
    pictures = case[1]
    worst = torch.maximum(out.amax(0) - pictures.amax(0), pictures.amin(0) - out.amin(0)).max().item()
    return worst < 1e-3 or f"An average lies between the pictures that it is made of; here a number lies outside, by {worst:.3g}."
''', "What do the weights add up to, and what is averaged with them?"),
    ],
    mistakes=[
        Mistake("the nearest alone", guessed("F.one_hot(far.argmin(1), len(pictures)).to(x_t.dtype)"),
                "It takes the likeliest picture for certain, even at a = 0, where all are as likely. What of the others, which may have been it, too?"),
        Mistake("the pictures do not fade", guessed(gap="x_t[:, None] - pictures"),
                "x_t is compared with the pictures at full strength. How much of a picture is in x_t?"),
        Mistake("spread for variance", guessed("(-far / (2 * b)).softmax(1)"),
                "Halve b: how much larger is the noise that a picture would need, and what happens to its square? Here the exponent only doubles."),
        Mistake("the half is missing", guessed("(-far / b**2).softmax(1)"),
                "It is too sure, as if each number had been seen twice. How does the standard bell fall?"),
        Mistake("hints averaged", guessed(far="gap.square().mean(-1)"),
                "The more numbers a picture has, the less each of them counts. Do independent hints add up, or average out?"),
        Mistake("distance for its square", guessed("(-far / (2 * b * b)).softmax(1)", far="gap.norm(dim=-1)"),
                "Weights fall with the distance, and too slowly far away. What stands in the exponent of a bell curve?"),
        Mistake("shared out among the questions", guessed("(-far / (2 * b * b)).softmax(0)"),
                "For each *picture* the weights add up to 1. Over what are they to be shared out, for each x_t?"),
        Mistake("faded pictures averaged", guessed(out="a * (w @ pictures)"),
                "At a = 0 it guesses zero. Is the guess a picture as it is in x_t, or as it was?"),
        Mistake("always the mean", guessed("torch.full_like(far, 1 / len(pictures))"),
                "It says the same of every x_t, even where nearly no noise is left. What has been seen of x_t?"),
        Mistake("the unlikely preferred", guessed("(far / (2 * b * b)).softmax(1)"),
                "The further a picture is from x_t, the more it weighs. Is much noise likelier than little?"),
        Mistake("nothing divided by nothing", guessed("(-far / (2 * b * b)).exp(); w = w / w.sum(1, keepdim=True)"),
                "With 250 numbers all weights are about e to the minus 125, which a computer rounds to zero, and 0/0 is no number. Does it matter if all exponents grow by the same?"),
        Mistake("no noise in it", guessed("(-far / 2).softmax(1)"),
                "It does not matter to it how large the noise was. In which unit is the gap to be measured?"),
        Mistake("not shared out", guessed("(-far / (2 * b * b)).exp()"),
                "The weights of an x_t do not add up to 1. What is an average?"),
        Mistake("a little added below the line", guessed("(-far / (2 * b * b)).exp(); w = w / (w.sum(1, keepdim=True) + 1e-8)"),
                "Where all weights are tiny, what was added below the line is more than all of them, and the guess is nothing. Does it matter if all exponents grow by the same?"),
        Mistake("the nearest at full strength", guessed("F.one_hot(far.argmin(1), len(pictures)).to(x_t.dtype)", gap="x_t[:, None] - pictures"),
                "It takes the nearest picture for certain, and compares with pictures that have not faded. How much of a picture is in x_t, and what of the others?"),
        Mistake("the noise left in", guessed(out="x_t / a if a else x_t"),
                "x_t is divided by a, and the noise grows with it. Which pictures can it be?"),
        Mistake("a distance in units of the noise", guessed("(-far / b).softmax(1)", far="gap.norm(dim=-1)"),
                "Weights fall with the distance, and too slowly far away. What stands in the exponent of a bell curve?"),
        Mistake("large pictures preferred", guessed("(a * x_t @ pictures.T / b**2).softmax(1)"),
                "It takes the product with each picture alone, so a bright picture always wins. What else does (x_t - a · picture)² hold that depends on the picture?"),
        Mistake("one over the squares", guessed("1 / far; w = w / w.sum(1, keepdim=True)"),
                "Weights are one divided by the squared distance, and a distance of 0 gives infinity. How does the standard bell fall?"),
    ],
)  # fmt: skip

# -- 10.A2 one of two -----------------------------------------------------------------------------------------------------


def two_pictures_and_a_time(draw):
    """Two other pictures and another t for each student."""
    one, other = draw.sample(range(10_000), 2)
    return {"one": one, "other": other, "t": draw.randrange(700, 780)}


def told_apart(z, schedule=""):
    """A near miss: d is the distance of the two, a and b signal and noise at t."""
    return (
        "def right_guesses(mine):\n    from fmcourse.data import load\n    from fmcourse.diffusion import Schedule\n    from fmcourse.data.images import normalize_pixels\n"
        '    x = normalize_pixels(load("fashion").train.pixels[[mine["one"], mine["other"]]]).flatten(1).double()\n    rule, t = Schedule.linear(), mine["t"]\n'
        f"    {schedule}\n    d, a, b = (x[0] - x[1]).norm().item(), rule.signal[t].item(), rule.noise[t].item()\n"
        f"    share = lambda z: torch.special.ndtr(torch.tensor(z, dtype=torch.float64)).item()\n    return {z}\n"
    )


one_of_two = AssignedExercise(
    "10.A2",
    goal="which of the two was it?",
    minutes=15,
    difficulty=3,
    text="In the lesson pictures were recovered from what looked like snow. How can that be? Take the smallest form of it. Your two pictures are number `one` and number `other` of "
    "`normalize_pixels(load(\"fashion\").train.pixels)`, numbers from -1 to 1. A coin chooses one of them. It is drowned until your `t` of the linear dose, `Schedule.linear()`: x_t = signal · picture + noise · ε, with ε from the standard bell in "
    "each of the 784 numbers. A machine is shown x_t. It knows both pictures and the dose, and names the one whose faded picture is nearer to x_t (no guess is better).\n\n"
    "In which share of all cases is it right? Not tried out, but computed: tried out a thousand times it would be known to a hundredth only.\n\n"
    "Two facts help. Of all directions in which ε can point, only one moves x_t nearer to the wrong picture: that of the straight line from one to the other. And along any one direction ε is a number "
    "from the standard bell, which lies below z in a share `torch.special.ndtr(torch.tensor(z))` of cases. So: how far may the noise push x_t along the line, before the machine errs?"
    "\n\nGive it unrounded: the first five digits must be right.",
    imports=IMPORTS
    + "from fmcourse.data import load\n"
    + "from fmcourse.data.images import normalize_pixels\n"
    + "from fmcourse.diffusion import Schedule\n",
    starter='''mine = variant("10.A2")  # your numbers
right_guesses = ...  # a float from 0 to 1
''',
    solution='''from fmcourse.data import load
from fmcourse.diffusion import Schedule
from fmcourse.data.images import normalize_pixels


def right_guesses(mine):
    x, rule = normalize_pixels(load("fashion").train.pixels[[mine["one"], mine["other"]]]), Schedule.linear()
    signal, noise = rule.signal[mine["t"]], rule.noise[mine["t"]]
    half_way = signal * (x[0] - x[1]).double().norm() / 2  # from a faded picture to where the other is as near
    return torch.special.ndtr(half_way / noise).item()
''',
    other_solutions=[
        '''def right_guesses(mine):
    from fmcourse.data import load
    pixels = load("fashion").train.pixels.double() / 127.5
    squares = ((pixels[mine["one"]] - pixels[mine["other"]]) ** 2).sum().item()
    left = 1.0
    for n in range(mine["t"]):
        left *= 1 - (1e-4 + (0.02 - 1e-4) * n / 999)
    return 0.5 * (1 + math.erf(math.sqrt(squares * left / (1 - left) / 8)))
''',
        '''def right_guesses(mine):
    from statistics import NormalDist
    from fmcourse.data import load
    from fmcourse.diffusion import Schedule
    one, other = (load("fashion").train.pixels[mine[which]].flatten().tolist() for which in ("one", "other"))
    signal = Schedule.linear().signal[mine["t"]].item()
    noise = (1 - signal**2) ** 0.5
    apart = signal * math.dist(one, other) / 127.5
    shared = NormalDist(0, noise).overlap(NormalDist(apart, noise))  # of the two bells along the line
    return 1 - shared / 2
''',
    ],
    vary=two_pictures_and_a_time,
    explanation="The two faded pictures lie signal · d apart, d the distance of the whole ones. Half way between, the machine changes its mind; noise gets that far with the share beyond signal · d / 2, counted in "
    "units of the noise. And d is the root of a *sum* of 784 squares: each pixel is a faint hint, all together are a loud one.",
    properties=[Property("worse than a coin", "def test(out, case):\n    return 0.5 < out < 1 or f'A coin is right in half of all cases, and nobody always: the share lies between 0.5 and 1; yours is {out:.4g}.'\n",
                         "Is it the share of right answers, or of wrong ones?")],
    mistakes=[
        Mistake("all the way", told_apart("share(a * d / b)"),
                "Noise would have to push x_t all the way to the other picture. From which point on is the other one nearer?"),
        Mistake("practically never wrong", told_apart("share(d / (2 * b))"),
                "It is right practically always, and you would see nothing but snow. How far apart are the two once they have faded, and in which unit does the noise push?"),
        Mistake("hints averaged", told_apart("share(a * d / 28 / (2 * b))"),
                "It takes the difference of an average pixel, and is hardly better than a coin. Along the line from one picture to the other, do the 784 differences average out?"),
        Mistake("the roots forgotten", told_apart("share(a * a * d / (2 * b * b))"),
                "These are the shares of the variance. By what are picture and noise themselves multiplied?"),
        Mistake("how often it errs", told_apart("1 - share(a * d / (2 * b))"),
                "The better it can see, the smaller yours becomes. Which share was asked for?"),
        Mistake("a step beside it", told_apart("share(a * d / (2 * b))", schedule="t = t + 1"),
                "It is a step of noise too far. With which t do the tables begin, and where does yours stand?"),
        Mistake("half way, whatever the noise", told_apart("share(a * d / 2)"),
                "The noise does not come in. In which unit does it push?"),
        Mistake("times the noise", told_apart("share(a * d / 2 * b)"),
                "The more noise there is, the better it sees. Is half way to be multiplied by the noise, or divided?"),
        Mistake("the noise's variance", told_apart("share(a * d / (2 * b * b))"),
                "It divides by the variance of the noise. In which unit is half way to be counted?"),
        Mistake("noise in both", told_apart("share(a * d / (2**0.5 * b))"),
                "It compares two pictures that are both noisy. How many x_t are there?"),
        Mistake("pixels from 0 to 1", told_apart("share(a * d / 2 / (2 * b))"),
                "The two are half as far apart: its pixels run from 0 to 1. What does `normalize_pixels` make of them?"),
        Mistake("both sides cut off", told_apart("2 * share(a * d / (2 * b)) - 1"),
                "Noise was feared on both sides. In how many directions along the line is the wrong picture?"),
        Mistake("a step before it", told_apart("share(a * d / (2 * b))", schedule="t = t - 1"),
                "It is a step of noise too few. With which t do the tables begin, and where does yours stand?"),
    ],
)  # fmt: skip
