"""Assigned in lesson 09: the best discriminator there can be, and how many numbers of a code would live."""

import torch
from fmcourse.classroom.exercise_kinds import AssignedExercise
from fmcourse.course.exercise import IMPORTS, Mistake, Property

# -- 09.A1 the best discriminator ------------------------------------------------------------------------------------------------

counts = lambda *rows: tuple(torch.tensor(row, dtype=torch.float32) for row in rows)
DISCRIMINATOR = '''def best_discriminator(real, fake):
    """What the best discriminator says of each kind of picture, and what it pays, if the kind is all that it can see.

    It says how likely a picture of that kind is real, a number from 0 to 1, of all numbers those for which it pays
    least. It pays as in the lesson, in nats: the mean, over the real pictures, of -log of what it says, plus the
    mean, over the fake ones, of -log of 1 minus that.

    real, fake: (N,) float32, how many pictures of each of N kinds there are among the real and among the fake.
    The two totals may differ and are above 0; a kind may be missing on either side. Where it is missing on both, say
    1/2.
    ->   a tuple of tensors: what it says (N,), what it pays, a scalar
    """
'''


def discriminator(says, pays="-torch.special.xlogy(p, d).sum() - torch.special.xlogy(q, 1 - d).sum()"):
    """A near miss: p and q are the shares, d is what is best to say."""
    return (
        "def best_discriminator(real, fake):\n    p, q = real / real.sum(), fake / fake.sum()\n    none = p + q == 0\n"
        f"    d = torch.where(none, 0.5, p / (p + q))\n    pays = None\n    {says}\n    if pays is None:\n        pays = {pays}\n    return d, pays\n"
    )


best_discriminator = AssignedExercise(
    "09.A1",
    goal="the best discriminator there can be",
    minutes=20,
    difficulty=3,
    text="How well can a discriminator do at all? That depends on the generator. If the generator draws bags alone, and no real picture is a bag, the discriminator can be sure, and pays nothing. "
    "If the generator draws everything as often as it comes in reality, the best discriminator can only toss a coin. All generators lie between.\n\n"
    "Let the discriminator see no more than the *kind* of a picture. Then it must say one number for each kind, and it does not matter how it was trained: find the number "
    "for which it pays least. Take one kind alone. Some of the real pictures are of that kind, and some of the fake ones. What does this kind add to "
    "what the discriminator pays, if it says d? For which d is that least? (A sketch or a derivative tells. Goodfellow et al. 2014, section 4.1, did it on paper.)\n\n"
    "One of the cases is the lesson's plain GAN after ten seconds: 200 real pictures of each kind, and what 2,000 drawings show.",
    cases=[
        counts([5, 5], [2, 2]),
        counts([3, 0, 1], [0, 4, 0]),
        counts([3, 1], [1, 1]),
        counts([200] * 10, [66, 12, 16, 165, 219, 50, 124, 67, 955, 326]),
        counts([4, 0, 0, 2], [1, 3, 0, 4]),
    ],
    hidden=[
        counts([7], [2]),
        counts([1, 2, 3, 4], [10, 20, 30, 40]),
        counts([224, 195, 198, 211, 226, 201, 145, 198, 202, 200], [15, 14, 17, 25, 22, 16, 20, 20, 19, 21]),
        counts([0, 1, 0, 999], [0, 1, 0, 1]),
        counts([0, 0, 6], [9, 0, 0]),
        counts([1, 0, 5, 5, 30, 2, 0], [400, 0, 3, 0, 1, 90, 8]),
    ],
    starter=DISCRIMINATOR + "    ...\n",
    solution=DISCRIMINATOR + '''    p, q = real / real.sum(), fake / fake.sum()             # totals must not matter: the loss is made of means
    says = torch.where(p + q > 0, p / (p + q), 0.5)             # where -p log d - q log(1 - d) is least
    pays = -torch.special.xlogy(p, says) - torch.special.xlogy(q, 1 - says)   # 0 log 0 is 0
    return says, pays.sum()
''',
    other_solutions=[
        "def best_discriminator(real, fake):\n    R, G = real.sum().item(), fake.sum().item()\n    says, pays = [], 0.0\n    for r, g in zip(real.tolist(), fake.tolist()):\n"
        "        d = r * G / (r * G + g * R) if r + g else 0.5\n        says.append(d)\n        pays -= r / R * math.log(d) if r else 0.0\n        pays -= g / G * math.log(1 - d) if g else 0.0\n"
        "    return torch.tensor(says), torch.tensor(pays)\n",
        # the divergence between the two and their middle, as the paper has it
        "def best_discriminator(real, fake):\n    p, q = real / real.sum(), fake / fake.sum()\n    middle = (p + q) / 2\n    tiny = torch.finfo(p.dtype).tiny\n"
        "    kl = lambda a: (a * (a.clamp(min=tiny) / middle.clamp(min=tiny)).log()).sum()\n"
        "    score = torch.where(middle > 0, p.clamp(min=tiny).log() - q.clamp(min=tiny).log(), 0.0)\n    return score.sigmoid(), 2 * math.log(2) - kl(p) - kl(q)\n",
        # least, found by trying
        "def best_discriminator(real, fake):\n    p, q = (real / real.sum()).double(), (fake / fake.sum()).double()\n    low, high = torch.zeros_like(p), torch.ones_like(p)\n"
        "    for _ in range(60):\n        d = (low + high) / 2\n        up = q * d < p * (1 - d)\n        low, high = torch.where(up, d, low), torch.where(up, high, d)\n"
        "    d = torch.where(p + q > 0, (low + high) / 2, 0.5).clamp(1e-15, 1 - 1e-15)\n    return d.float(), -(p * d.log() + q * (1 - d).log()).sum().float()\n",
    ],
    explanation="A kind adds -p log d - q log(1 - d), with p and q its shares of the real and the fake images. The slope, -p/d + q/(1 - d), is zero where d is p's part of both. "
    "So a perfect generator is answered 1/2 everywhere, and 2 log 2 is the most that the best discriminator can be made to pay; what is missing to it measures how far apart the two are "
    "(twice the Jensen-Shannon divergence). That is what the generator really fights against.",
    properties=[
        Property("nothing to tell them by", '''def test(out, case):
    real, fake = case
    if not torch.allclose(real / real.sum(), fake / fake.sum()):
        return True
    pays, known = float(out[1]), real + fake > 0
    if abs(pays - 2 * math.log(2)) > 1e-3:
        return f"Here each kind is as frequent among the fake as among the real, and the kind tells nothing. A coin pays 1.386; yours pays {pays:.4g}."
    return bool((out[0][known] - 0.5).abs().max() < 1e-3) or "Here each kind is as frequent among the fake as among the real, and still the discriminator leans to one side."
''', "Does it matter how many pictures there are on either side?"),
        Property("unsure of what is certain", '''def test(out, case):
    real, fake = case
    only = (real > 0) & (fake == 0) | (real == 0) & (fake > 0)
    wrong = (only & ((out[0] - (real > 0).float()).abs() > 1e-3)).nonzero()
    return not len(wrong) or f"Kind {wrong[0, 0]} comes on one side alone ({real[wrong[0, 0]]:.0f} real, {fake[wrong[0, 0]]:.0f} fake); of it the discriminator says {out[0][wrong[0, 0]]:.4g}."
''', "What may a discriminator say of a kind that only the generator draws?"),
        Property("worse than a coin", '''def test(out, case):
    pays, both = float(out[1]), bool(((case[0] > 0) & (case[1] > 0)).any())
    if both and pays <= 0:
        return f"Some kinds come on both sides, so it must err sometimes; it pays {pays:.4g}."
    return pays < 2 * math.log(2) + 1e-3 or f"By saying 1/2 of everything a discriminator pays 1.386. The best of all pays {pays:.4g}?"
''', "Which two means does a discriminator pay, and what of?"),
    ],
    mistakes=[
        Mistake("counts for shares", discriminator("d = torch.where(none, 0.5, real / (real + fake))"),
                "Five real and two fake of each kind, and it leans towards real. But the two sides are paid for as means: does it matter how many pictures each has?"),
        Mistake("all or nothing", discriminator("d = torch.where(p == q, 0.5, (p > q).float()); pays = torch.minimum(p, q).sum()"),
                "It takes the likelier side as certain, and counts errors. What would it pay, in nats, for one picture of the other side?"),
        Mistake("a coin", discriminator("d = torch.full_like(p, 0.5)"),
                "It says 1/2 of everything, even of what only the generator draws. Can it not do better where the two sides differ?"),
        Mistake("how frequent it is", discriminator("d = p.clamp(1e-6, 1 - 1e-6)"),
                "It says how often a real picture is of that kind. But it is shown a picture of the kind, and asked where it came from: what else must it know?"),
        Mistake("one mean of both", discriminator("pays = (-torch.special.xlogy(p, d).sum() - torch.special.xlogy(q, 1 - d).sum()) / 2"),
                "What it says is right, and it pays half of what it should. Are the two means added, or averaged?"),
        Mistake("in bits", discriminator("pays = (-torch.special.xlogy(p, d).sum() - torch.special.xlogy(q, 1 - d).sum()) / math.log(2)"),
                "What it says is right; a coin pays 2. In which unit is that?"),
        Mistake("how likely fake", discriminator("pays = -torch.special.xlogy(p, d).sum() - torch.special.xlogy(q, 1 - d).sum(); d = torch.where(none, 0.5, 1 - d)"),
                "Of a kind that is never fake it says 0. Is a high number to mean real, or fake?"),
        Mistake("every kind counts once", discriminator("pays = -d[p > 0].log().mean() - (1 - d)[q > 0].log().mean()"),
                "What it says is right, but a rare kind is paid for like a frequent one. Over what are the two means taken, kinds or pictures?"),
        Mistake("certain but for a millionth", discriminator("d = torch.where(p == q, 0.5, (p > q).float()); sure = d.clamp(1e-6, 1 - 1e-6); pays = -(p * sure.log() + q * (1 - sure).log()).sum()"),
                "It takes the likelier side as certain and pays dearly for each picture of the other side. Is there nothing better to say than 0 or 1?"),
        Mistake("missing, so never real", discriminator("d = torch.where(none, 0.0, d)"),
                "Of a kind that is on neither side it says 0. What was to be said of it?"),
        Mistake("nothing times infinity", discriminator("pays = -(p * d.log()).sum() - (q * (1 - d).log()).sum()"),
                "Where a kind is missing on one side, 0 is multiplied by log 0, minus infinity, and that is no number. What does a kind cost a side on which it never comes?"),
        Mistake("nothing divided by nothing", discriminator("d = p / (p + q)"),
                "Of a kind that is on neither side it says 0/0, which is no number. What was to be said of it?"),
        Mistake("a mean over the kinds", discriminator("pays = -torch.special.xlogy(p, d).mean() - torch.special.xlogy(q, 1 - d).mean()"),
                "What it says is right; shares already make a mean over the pictures, and it was divided by the number of kinds once more. What do the shares add up to?"),
        Mistake("real ones alone", discriminator("pays = -torch.special.xlogy(p, d).sum()"),
                "What it says is right, and it pays for real pictures alone. What of the fake ones?"),
        Mistake("a sum over the pictures", discriminator("pays = -torch.special.xlogy(real, d).sum() - torch.special.xlogy(fake, 1 - d).sum()"),
                "What it says is right, and it pays the more the more pictures there are. Sum or mean?"),
        Mistake("one mean over all pictures", discriminator("pays = -(torch.special.xlogy(real, d) + torch.special.xlogy(fake, 1 - d)).sum() / (real.sum() + fake.sum())"),
                "What it says is right; real and fake pictures were put into one mean. Over which pictures is each of the two means taken?"),
        Mistake("the wrong sign", discriminator("pays = torch.special.xlogy(p, d).sum() + torch.special.xlogy(q, 1 - d).sum()"),
                "What it says is right, and it pays less than nothing. What sign has the logarithm of a probability?"),
        Mistake("a difference of shares", discriminator("d = (p - q + 1) / 2"),
                "It takes the difference of the two shares, so of a rare kind it says 1/2 although it never is fake. What part of both shares is the real one?"),
        Mistake("how likely fake, in both", discriminator("d = torch.where(none, 0.5, q / (p + q))"),
                "Of a kind that is never fake it says 0, and pays without end. Is a high number to mean real, or fake?"),
        Mistake("how frequent it is, unclamped", discriminator("d = p"),
                "It says how often a real picture is of that kind. But it is shown a picture of the kind, and asked where it came from: what else must it know?"),
    ],
)  # fmt: skip

# -- 09.A2 how many numbers live ------------------------------------------------------------------------------------------


def a_kind_and_a_brush(draw):
    """Another kind of clothes, other pictures of it and another brush for each student."""
    many = draw.randrange(300, 500)
    return {
        "kind": draw.randrange(10),
        "first": draw.randrange(0, 1000 - many),
        "many": many,
        "noise": draw.choice([0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.1, 1.2]),
    }


def told(body):
    """A near miss: x are the student's pictures."""
    return (
        'def nats_told(mine):\n    from fmcourse.data import load\n    from fmcourse.data.images import normalize_pixels\n    clothes, noise, n = load("fashion").train, mine["noise"], mine["many"]\n'
        '    x = normalize_pixels(clothes.pixels[clothes.labels == mine["kind"]][mine["first"]:][:n]).flatten(1).double()\n'
        f"    directions = torch.linalg.svdvals(x - x.mean(0))[: n - 1]\n    {body}\n"
    )


a_living_code = AssignedExercise(
    "09.A2",
    goal="how much would a code tell?",
    minutes=15,
    difficulty=2,
    text="In the lesson numbers of a code died: where data spread less than the noise, a number earns less than it costs. For a VAE of two *linear* networks one can say beforehand "
    "what is left when training is done (Lucas et al. 2019, who start from Tipping and Bishop 1999). It looks for the **principal directions** of the data. Those in which the data spread "
    "more than the decoder's `noise` each get a number of the code. Such a number tells, on average over the pictures, log(spread / noise) nats. All other numbers die and tell nothing.\n\n"
    "Your data are pictures of one kind of clothes: with `clothes = load(\"fashion\").train`, of those for which `clothes.labels == kind`, in their order, `many` from `first` on. As in the lesson, "
    "pixels are numbers from -1 to 1 (`fmcourse.data.images.normalize_pixels`), and a picture is a point in 784 dimensions. The spread in a direction is the standard deviation: the root of the mean, "
    "over your `many` pictures (divide by `many`), of the squared distance from the mean picture along that direction. The code has 784 numbers, more than enough.\n\n"
    "How many nats does it tell of a picture in all? (`torch.linalg.svd`, `svdvals` or `eigh` find principal directions. In the lesson's example, spreads 2.0, 1.0, 0.4 and 0.2 with noise 0.5, it would be log 4 + log 2 = 2.08.)"
    "\n\nGive it unrounded: the first five digits must be right.",
    imports=IMPORTS
    + "from fmcourse.data import load\n"
    + "from fmcourse.data.images import normalize_pixels\n",
    starter='''mine = variant("09.A2")  # your numbers
nats_told = ...  # a float, in nats
''',
    solution='''from fmcourse.data import load
from fmcourse.data.images import normalize_pixels


def nats_told(mine):
    clothes = load("fashion").train
    pixels = clothes.pixels[clothes.labels == mine["kind"]][mine["first"] : mine["first"] + mine["many"]]
    x = normalize_pixels(pixels).flatten(1).double()
    spreads = torch.linalg.svdvals(x - x.mean(0)) / mine["many"] ** 0.5
    alive = spreads[spreads > mine["noise"]]
    return (alive / mine["noise"]).log().sum().item()
''',
    other_solutions=[
        '''def nats_told(mine):
    from fmcourse.data import load
    clothes = load("fashion").train
    rows = (clothes.labels == mine["kind"]).nonzero()[:, 0][mine["first"]:][:mine["many"]]
    x = clothes.pixels[rows].reshape(len(rows), -1).double() * 2 / 255
    gram = (x - x.mean(0)) @ (x - x.mean(0)).T / len(rows)  # as many values as pictures, and the same ones
    return sum(0.5 * math.log(v / mine["noise"] ** 2) for v in torch.linalg.eigvalsh(gram).tolist() if v > mine["noise"] ** 2)
''',
        '''def nats_told(mine):
    from fmcourse.data import load
    clothes = load("fashion").train
    x = clothes.pixels[clothes.labels == mine["kind"]][mine["first"]:][:mine["many"]].flatten(1).double() / 127.5
    variances = torch.linalg.eigvalsh(torch.cov(x.T, correction=0))
    return (variances / mine["noise"] ** 2).clamp(min=1).log().sum().item() / 2
''',
    ],
    vary=a_kind_and_a_brush,
    explanation="The singular values of the centred pictures, divided by the root of their number, are the spreads along the principal directions. A few dozen of the 784 exceed the noise; "
    "only their logarithms count. Pixels move together, so a few directions spread far more than any pixel does: that is why a short code can tell so much.",
    properties=[Property("nothing told", "def test(out, case):\n    return out > 0 or f'A number that lives tells something, and a dead one nothing, so the sum lies above 0; yours is {out:.4g}.'\n",
                         "What does a number tell whose direction spreads less than the noise?")],
    mistakes=[
        Mistake("pixels for directions", told("s = x.var(0, correction=0).sqrt(); return (s / noise).log().clamp(min=0).sum().item()"),
                "It takes the spread of each pixel. But pixels of a sleeve grow bright together: in which directions do your pictures spread most?"),
        Mistake("the dead ones counted", told("return (directions / n**0.5 / noise).log().sum().item()"),
                "Directions narrower than the noise are counted, and below zero. What do their numbers tell?"),
        Mistake("from nothing, not from the mean", told("s = torch.linalg.svdvals(x) / n**0.5; return (s[s > noise] / noise).log().sum().item()"),
                "The mean picture itself became the widest direction. From where are distances measured?"),
        Mistake("not divided", told("return (directions / noise).log().clamp(min=0).sum().item()"),
                "Twice as many pictures would spread √2 times as far. Is a singular value a sum over the pictures, or a mean?"),
        Mistake("variance for spread", told("s = directions.square() / n; return (s[s > noise] / noise).log().sum().item()"),
                "It compares variances with the noise. Is `noise` a variance, or a standard deviation?"),
        Mistake("both squared", told("s = directions / n**0.5; return (s[s > noise] / noise).square().log().sum().item()"),
                "The right numbers live, and each tells too much. Is it the logarithm of a ratio of spreads, or of variances?"),
        Mistake("in bits", told("s = directions / n**0.5; return (s[s > noise] / noise).log2().sum().item()"),
                "In the lesson's example it would be 3, with spreads 4 and 2 times the noise. Which logarithm gives nats?"),
        Mistake("divided by one less", told("s = directions / (n - 1) ** 0.5; return (s[s > noise] / noise).log().sum().item()"),
                "It is too much by a few tenths of a percent. By what is the sum of squares to be divided, according to the text?"),
        Mistake("how many live", told("s = directions / n**0.5; return float((s > noise).sum())"),
                "It counts those that live. How much does each of them tell?"),
        Mistake("one mean for all pixels", told("s = torch.linalg.svdvals(x - x.mean()) / n**0.5; return (s[s > noise] / noise).log().sum().item()"),
                "One number, the mean of all pixels, was taken off. From where are distances measured?"),
        Mistake("each picture's own mean", told("s = torch.linalg.svdvals(x - x.mean(1, keepdim=True)) / n**0.5; return (s[s > noise] / noise).log().sum().item()"),
                "From each picture its own mean was taken off. Over what is the mean picture a mean?"),
        Mistake("pixels from 0 to 1", told("s = directions / n**0.5 / 2; return (s[s > noise] / noise).log().sum().item()"),
                "The spreads are half as wide: its pixels run from 0 to 1. What does `normalize_pixels` make of them?"),
        Mistake("pixels from 0 to 255", told("s = directions / n**0.5 * 127.5; return (s[s > noise] / noise).log().sum().item()"),
                "Its pixels run from 0 to 255, so that nearly every number lives. What does `normalize_pixels` make of them?"),
        Mistake("one more", told("s = directions / n**0.5; return (1 + s / noise).log().sum().item()"),
                "It takes log(1 + spread / noise), in which no number dies. What does a number tell whose direction spreads less than the noise?"),
        Mistake("divided by the pixels", told("s = directions / 28; return (s[s > noise] / noise).log().sum().item()"),
                "The sum of squares was divided by 784, the number of pixels. Over what is the mean of the squared distances taken?"),
        Mistake("the kind among the first", told("some = slice(mine['first'], mine['first'] + n); x = normalize_pixels(clothes.pixels[some][clothes.labels[some] == mine['kind']]).flatten(1).double(); s = torch.linalg.svdvals(x - x.mean(0)) / len(x) ** 0.5; return (s[s > noise] / noise).log().sum().item()"),
                "First `many` pictures were taken and then, among them, the kind. How many pictures are yours?"),
        Mistake("all kinds", told("x = normalize_pixels(clothes.pixels[mine['first']:][:n]).flatten(1).double(); s = torch.linalg.svdvals(x - x.mean(0)) / n**0.5; return (s[s > noise] / noise).log().sum().item()"),
                "Pictures of all kinds are among them. Which kind is yours?"),
        Mistake("the mean of those that live", told("s = directions / n**0.5; return (s[s > noise] / noise).log().mean().item()"),
                "That is what one living number tells on average. How much do they tell in all?"),
    ],
)  # fmt: skip
