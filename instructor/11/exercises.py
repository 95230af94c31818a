"""Assigned in lesson 11: a step that looks twice, and why large pictures need more noise."""

import torch
from fmcourse.classroom.exercise_kinds import AssignedExercise
from fmcourse.course.exercise import IMPORTS, Mistake, Property

noise = lambda *shape, seed: torch.randn(*shape, generator=torch.Generator().manual_seed(seed))

# -- 11.A1 a step that looks twice ----------------------------------------------------------------------------------------

HEUN = '''def heun(guess, x_t, t, s):
    """One step from time t down to time s on the straight line x_t = (1 - t) picture + t noise, by Heun's method.

    guess: (x, time) -> the picture that it takes x for, a tensor like x; each call costs a pass of the network. It is
    asked first at (x_t, t), then once more at (where Euler's step ends, s), or not again if s is 0.
    x_t: a tensor of any shape, left as it is   t, s: floats with 1 >= t > s >= 0   ->   x_s, a tensor of that shape
    """
'''

RUN = '''def run(candidate, case):
    """Pictures whose pixels have that mean and spread: then the best guess is known."""
    x_t, t, s, middle, spread = case
    times = []

    def guess(x, time):
        time = float(time)
        times.append(time)
        if time <= 0:
            return x.clone()
        a = 1 - time
        share = a * spread**2 / (a**2 * spread**2 + time**2)
        return middle + share * (x - a * middle)

    return {"x_s": candidate(guess, x_t, t, s), "asked at": times}
'''

# what the mistakes share: v is the velocity that a guess means; `trial` is where Euler's step ends
LIKE = """def heun(guess, x_t, t, s):
    v = lambda x, time, at: (x - guess(x, time)) / at
    first = v(x_t, t, t)
    trial = x_t + (s - t) * first
    if s == 0:
        return trial
"""

two_looks = AssignedExercise(
    "11.A1",
    goal="a step that looks twice",
    minutes=20,
    difficulty=3,
    text="Ten long steps miss less on a straight line, but where the guess changes on the way they still cut corners. **Heun's method** (in diffusion: Karras "
    "et al. 2022) pays a second guess to see the corner coming. Times run from 0, the picture, to 1, pure noise; between them "
    "x_t = (1 - t) picture + t noise.\n\n"
    "1. The guess at x_t says which picture and so which noise is in it: that gives the velocity, noise minus picture. Euler's step "
    "follows it from t to s.\n"
    "2. Take that step on trial. Ask again *there*, at time s: another velocity.\n"
    "3. Go back to x_t and go from t to s with the *mean* of the two velocities.\n\n"
    "If s is 0 there is no noise left to ask about, so Euler's step stands.\n\n"
    "*Example.* A guess that says 0 at time 1 and says `x` itself at time 0.5; x_t = 2, from t = 1 to s = 0.5. First velocity 2, so Euler ends at 1. There "
    "the guess is 1, so the second velocity is 0. The mean is 1, and x_s = 1.5. (Here the true way ends at 1.414.)",
    cases=[
        (torch.tensor([2.0]), 1.0, 0.5, 0.0, 1.0),
        (torch.tensor([1.0, -3.0]), 0.8, 0.2, 0.5, 0.0),
        (torch.tensor([1.0, -2.0]), 0.6, 0.0, 0.2, 0.5),
        (noise(2, 3, seed=1), 0.9, 0.6, 0.3, 0.8),
    ],
    hidden=[
        (noise(2, 1, 4, 4, seed=2), 1.0, 0.75, -0.4, 0.6),
        (noise(5, seed=3), 0.25, 0.0, 1.0, 2.0),
        (noise(3, 2, seed=4), 0.7, 0.3, 2.0, 1.5),
        (noise(4, seed=5), 1.0, 0.0, 0.1, 1.0),
        (noise(2, 2, seed=6), 0.35, 0.1, -1.0, 0.0),
        (noise(1, 7, seed=7), 0.5, 0.15, 0.0, 0.4),
    ],
    run=RUN,
    starter=HEUN + "    ...\n",
    solution=HEUN + '''    first = (x_t - guess(x_t, t)) / t                # x_t - picture is t (noise - picture)
    trial = x_t + (s - t) * first                    # Euler's step
    if s == 0:
        return trial
    second = (trial - guess(trial, s)) / s
    return x_t + (s - t) * (first + second) / 2
''',
    other_solutions=[
        '''def heun(guess, x_t, t, s):
    picture = guess(x_t, t)
    noise = (x_t - (1 - t) * picture) / t
    euler = (1 - s) * picture + s * noise            # the same picture and noise, mixed anew
    if s <= 0:
        return euler
    picture_2 = guess(euler, s)
    noise_2 = (euler - (1 - s) * picture_2) / s
    step = lambda p, e: (t - s) * (p - e)
    return x_t + 0.5 * step(picture, noise) + 0.5 * step(picture_2, noise_2)
''',
        '''def heun(guess, x_t, t, s):
    x, h = x_t, s - t
    slopes = []
    for time in (t, s):
        if time > 0:
            slopes.append((x - guess(x, time)) / time)
            x = x_t + h * slopes[0]
    return x_t + h * torch.stack(slopes).mean(0)
''',
    ],
    explanation="The way is bent where the guess changes. Euler holds the first direction to the end; the mean of the directions at both ends follows the bend to "
    "second order: half the step, a quarter of the error. It costs two passes a step, so compare ten of these with twenty of Euler's.",
    properties=[
        Property("misses a picture that is known", '''def test(out, case):
    x_t, t, s, middle, spread = case
    if spread != 0:
        return True
    wanted = (1 - s) * middle + s * (x_t - (1 - t) * middle) / t
    gap = (out["x_s"] - wanted).abs().max().item()
    return gap < 1e-3 or f"The guess is the same picture at any time, so x_s = (1 - s) picture + s noise; it is off by {gap:.3g}."
''', "Which noise is in x_t if the guess is right, and how much of it is left at s?"),
        Property("no nearer than Euler's step", '''def test(out, case):
    x_t, t, s, middle, spread = case
    if spread == 0 or s == 0:
        return True
    wide = lambda time: math.sqrt(((1 - time) * spread) ** 2 + time**2)
    truth = (1 - s) * middle + wide(s) / wide(t) * (x_t - (1 - t) * middle)
    a = 1 - t
    picture = middle + a * spread**2 / (a**2 * spread**2 + t**2) * (x_t - a * middle)
    euler = x_t + (s - t) * (x_t - picture) / t
    ours, plain = ((x - truth).norm().item() for x in (out["x_s"], euler))
    return ours < 0.95 * plain or f"Where the true way ends is known here. Euler's step from {t} to {s} misses it by {plain:.3g}, yours by {ours:.3g}."
''', "What does the second guess add?"),
    ],
    mistakes=[
        Mistake("Euler's step", LIKE + "    return trial\n",
                "It asks once and goes straight on. Where is the second guess?"),
        Mistake("the old time", LIKE + "    return x_t + (s - t) * (first + v(trial, t, t)) / 2\n",
                "The second time it asks about the new place but says the old time. How noisy is what it shows?"),
        Mistake("the old place", LIKE + "    return x_t + (s - t) * (first + v(x_t, s, s)) / 2\n",
                "The second time it says the new time but shows the old place. Where would Euler's step have ended?"),
        Mistake("one picture for both", LIKE + "    both = (guess(x_t, t) + guess(trial, s)) / 2\n    return x_t + (s - t) * (x_t - both) / t\n",
                "It averages the two guesses at the picture, and takes the noise from x_t alone. What of the second place does it leave out?"),
        Mistake("goes on from the trial", LIKE + "    return trial + (s - t) * (first + v(trial, s, s)) / 2\n",
                "It starts the real step where the trial ended, and so goes twice as far. From where should it start?"),
        Mistake("the second alone", LIKE + "    return x_t + (s - t) * v(trial, s, s)\n",
                "It forgets the velocity at the start and trusts the one at the end. Which of the two counts?"),
        Mistake("half way", LIKE + "    middle = x_t + (s - t) / 2 * first\n    return x_t + (s - t) * v(middle, (t + s) / 2, (t + s) / 2)\n",
                "It asks half way: that is the midpoint method, a relative. At which time does the text ask again?"),
        Mistake("divided by the old time", LIKE + "    return x_t + (s - t) * (first + v(trial, s, t)) / 2\n",
                "The second velocity is divided by t. How much noise is in the trial?"),
        Mistake("a sum of velocities", LIKE + "    return x_t + (s - t) * (first + v(trial, s, s))\n",
                "The two velocities are added up, and it goes twice as far as it should. How many steps are to be made?"),
        Mistake("towards the noise", "def heun(guess, x_t, t, s):\n    first = (x_t - guess(x_t, t)) / t\n    trial = x_t + (t - s) * first\n    if s == 0:\n        return trial\n"
                "    return x_t + (t - s) * (first + (trial - guess(trial, s)) / s) / 2\n",
                "The step leads away from the picture. Velocity says how x changes as time *grows*: which way does time go here?"),
        Mistake("asks at 0", "def heun(guess, x_t, t, s):\n    first = (x_t - guess(x_t, t)) / t\n    trial = x_t + (s - t) * first\n"
                "    return x_t + (s - t) * (first + (trial - guess(trial, s)) / s) / 2\n",
                "At s = 0 it divides by 0. What is there left to ask when no noise is?"),
        Mistake("not divided by the time", "def heun(guess, x_t, t, s):\n    first = x_t - guess(x_t, t)\n    trial = x_t + (s - t) * first\n    if s == 0:\n        return trial\n    return x_t + (s - t) * (first + trial - guess(trial, s)) / 2\n",
                "x_t minus the picture is taken for the velocity. At time t, how much of (noise - picture) is in it?"),
        Mistake("the old place, with the new guess", LIKE + "    return x_t + (s - t) * (first + (x_t - guess(trial, s)) / s) / 2\n",
                "The second velocity is measured from x_t, though the guess was asked at the trial. Of which place is it the velocity?"),
        Mistake("the old place asked", LIKE + "    return x_t + (s - t) * (first + (trial - guess(x_t, s)) / s) / 2\n",
                "The second time it shows the old place with the new time. Where would Euler's step have ended?"),
        Mistake("one step and another", LIKE + "    return (trial + trial + (s - t) * v(trial, s, s)) / 2\n",
                "The second step begins where the first ended. From where does the step with the mean of the velocities start?"),
        Mistake("the new time at first", "def heun(guess, x_t, t, s):\n    first = (x_t - guess(x_t, s)) / t\n    trial = x_t + (s - t) * first\n    if s == 0:\n        return trial\n    return x_t + (s - t) * (first + (trial - guess(trial, s)) / s) / 2\n",
                "The first time it says s, but shows what is as noisy as at t. Which time belongs to x_t?"),
        Mistake("as far as s", "def heun(guess, x_t, t, s):\n    first = (x_t - guess(x_t, t)) / t\n    trial = x_t - s * first\n    if s == 0:\n        return trial\n    return x_t - s * (first + (trial - guess(trial, s)) / s) / 2\n",
                "The step has length s. From what to what does time go?"),
    ],
)  # fmt: skip

# -- 11.A2 the same noise in a larger picture -----------------------------------------------------------------------------


def shrunken(draw):
    """Other pictures, another time and another factor for each student."""
    return {"first": draw.randrange(0, 9000), "many": draw.randrange(60, 160), "factor": draw.choice([2, 4, 7]),
            "time": draw.randrange(300, 900) / 1000}  # fmt: skip


later = AssignedExercise(
    "11.A2",
    goal="why do large pictures need more noise?",
    minutes=15,
    difficulty=2,
    text="A schedule that suits small pictures leaves large ones too easy: Stable Diffusion 3 shifts its times for them (Esser et al. 2024, section 5.3). Find "
    "out why, on real ones. Shrink a picture by a factor k: every block of k by k pixels becomes one pixel, its mean. Neighbouring pixels of a picture are "
    "much alike, so its strength hardly falls. The pixels of noise know nothing of each other.\n\n"
    "Take the clothes `normalize_pixels(load(\"fashion\").train.pixels[first : first + many])`, with your own numbers. Their *strength* is the root of the mean square of all their "
    "numbers, over all pixels and all pictures; the strength of pure noise is 1. Mix by the straight line: (1 - t) picture + t noise.\n\n"
    "At your `time` t the mixture is shrunk by your `factor`, and in what comes out picture and noise stand in some proportion of strengths. "
    "At which other time do the pictures *at full size*, mixed with noise and not shrunk, stand to their noise in the very same proportion? "
    "Of the shrunken noise take the strength that it has by the laws of chance, not that of one draw.\n\n"
    "*Example.* Pictures of strength 0.5, which keep 0.4 when shrunk by 2, at time 0.5. Say that shrinking leaves noise the strength z. Then the small ones "
    "stand at 0.5 · 0.4 to 0.5 · z. Find z, then the time u at which (1 - u) · 0.5 to u · 1 is the same."
    "\n\nGive it unrounded: the first five digits must be right.",
    imports=IMPORTS
    + "from fmcourse.data import load\n"
    + "from fmcourse.data.images import normalize_pixels\n",
    starter='''mine = variant("11.A2")  # your numbers
as_noisy_at_full_size = ...  # a float between 0 and 1, a time
''',
    solution='''from fmcourse.data import load
from fmcourse.data.images import normalize_pixels


def as_noisy_at_full_size(mine):
    x = normalize_pixels(load("fashion").train.pixels[mine["first"] : mine["first"] + mine["many"]]).double()
    k, t = mine["factor"], mine["time"]
    strength = lambda some: some.square().mean().sqrt().item()
    small = (1 - t) * strength(F.avg_pool2d(x, k)) / (t / k)       # a mean of k² independent numbers is k times weaker
    full = strength(x)                                             # (1 - u) full / u = small
    return full / (full + small)
''',
    other_solutions=[
        '''def as_noisy_at_full_size(mine):
    from fmcourse.data import load
    pixels = load("fashion").train.pixels[mine["first"]:][:mine["many"]].double() / 127.5 - 1
    k = mine["factor"]
    blocks = pixels.unflatten(2, (28 // k, k)).unflatten(1, (28 // k, k)).mean((2, 4))
    signal = (1 - mine["time"]) ** 2 * (blocks**2).mean()
    spread = mine["time"] ** 2 / k**2
    low, high = 0.0, 1.0
    for _ in range(60):
        u = (low + high) / 2
        if (1 - u) ** 2 * (pixels**2).mean() / u**2 > signal / spread:
            low = u
        else:
            high = u
    return low
''',
        '''def as_noisy_at_full_size(mine):
    from fmcourse.data import load
    k, t = mine["factor"], mine["time"]
    x = load("fashion").train.pixels[mine["first"]:][:mine["many"]].double() / 127.5 - 1
    small = sum(x[:, i::k, j::k] for i in range(k) for j in range(k)) / k**2
    loss = k * small.norm() / x.norm()  # what shrinking leaves of the pictures' strength
    noise_to_picture = t / k / ((1 - t) * loss)
    return (noise_to_picture / (1 + noise_to_picture)).item()
''',
    ],
    vary=shrunken,
    explanation="The mean of k² independent numbers of strength 1 has strength 1/k, while a picture keeps nearly all of its own. So what is lost in noise at full size is plain "
    "to see from afar, and the same t leaves a larger picture easier. If pictures lost nothing it would be u = t / (t + k (1 - t)), the shift of Stable Diffusion 3.",
    properties=[Property("not less noisy", '''def test(out, case):
    return 0 < out < case["time"] or f"From afar one sees a picture better; your time is {out:.4g}, and the small pictures' is {case['time']}."
''', "Which of the two has less noise beside its picture at one and the same t: the small one, or the large one?")],
    mistakes=[
        Mistake("noise keeps its strength", '''def as_noisy_at_full_size(mine):
    from fmcourse.data import load
    from fmcourse.data.images import normalize_pixels
    x, t = normalize_pixels(load("fashion").train.pixels[mine["first"]:][:mine["many"]]), mine["time"]
    small, full = (y.square().mean().sqrt().item() for y in (F.avg_pool2d(x, mine["factor"]), x))
    return full / (full + (1 - t) / t * small)
''', "Only the picture was shrunk here. What does a mean over k by k pixels do to noise?"),
        Mistake("the noise's variance", '''def as_noisy_at_full_size(mine):
    from fmcourse.data import load
    from fmcourse.data.images import normalize_pixels
    x, t, k = normalize_pixels(load("fashion").train.pixels[mine["first"]:][:mine["many"]]), mine["time"], mine["factor"]
    small, full = (y.square().mean().sqrt().item() for y in (F.avg_pool2d(x, k), x))
    return full / (full + (1 - t) / t * small * k * k)
''', "It makes the noise k² times weaker. That is what becomes of its variance: and of its strength?"),
        Mistake("powers for strengths", '''def as_noisy_at_full_size(mine):
    from fmcourse.data import load
    from fmcourse.data.images import normalize_pixels
    x, t, k = normalize_pixels(load("fashion").train.pixels[mine["first"]:][:mine["many"]]), mine["time"], mine["factor"]
    small, full = (y.square().mean().item() for y in (F.avg_pool2d(x, k), x))
    return full / (full + (1 - t) / t * small * k)
''', "The pictures come in with their mean squares. What was called strength?"),
        Mistake("pictures lose nothing", '''def as_noisy_at_full_size(mine):
    t = mine["time"]
    return t / (t + mine["factor"] * (1 - t))
''', "That would hold for pictures that lose no strength at all; yours lose a little. Where do the clothes come in?"),
        Mistake("the other way", '''def as_noisy_at_full_size(mine):
    from fmcourse.data import load
    from fmcourse.data.images import normalize_pixels
    x, t, k = normalize_pixels(load("fashion").train.pixels[mine["first"]:][:mine["many"]]), mine["time"], mine["factor"]
    small, full = (y.square().mean().sqrt().item() for y in (F.avg_pool2d(x, k), x))
    return small / (small + (1 - t) / t * full / k)
''', "That is when shrunken pictures are as noisy as full ones are at your time. Which of the two is at your time?"),
        Mistake("without their mean", '''def as_noisy_at_full_size(mine):
    from fmcourse.data import load
    from fmcourse.data.images import normalize_pixels
    x, t, k = normalize_pixels(load("fashion").train.pixels[mine["first"]:][:mine["many"]]), mine["time"], mine["factor"]
    small, full = (y.std(correction=0).item() for y in (F.avg_pool2d(x, k), x))
    return full / (full + (1 - t) / t * small * k)
''', "It takes the spread around the mean. Is the mean no part of what was called strength?"),
        Mistake("from 0 to 1", '''def as_noisy_at_full_size(mine):
    from fmcourse.data import load
    x, t, k = load("fashion").train.pixels[mine["first"]:][:mine["many"], None] / 255, mine["time"], mine["factor"]
    small, full = (y.square().mean().sqrt().item() for y in (F.avg_pool2d(x, k), x))
    return full / (full + (1 - t) / t * small * k)
''', "Its pixels run from 0 to 1. What does `normalize_pixels` make of them?"),
        Mistake("the root of the factor", '''def as_noisy_at_full_size(mine):
    from fmcourse.data import load
    from fmcourse.data.images import normalize_pixels
    x, t, k = normalize_pixels(load("fashion").train.pixels[mine["first"]:][:mine["many"]]).double(), mine["time"], mine["factor"]
    strength = lambda y: y.square().mean().sqrt().item()
    small, full = strength(F.avg_pool2d(x, k)), strength(x)
    return full / (full + (1 - t) / t * small * k**0.5)
''',
                "It makes the noise √k times weaker. Over how many pixels is the mean taken?"),
        Mistake("the noise grows", '''def as_noisy_at_full_size(mine):
    from fmcourse.data import load
    from fmcourse.data.images import normalize_pixels
    x, t, k = normalize_pixels(load("fashion").train.pixels[mine["first"]:][:mine["many"]]).double(), mine["time"], mine["factor"]
    strength = lambda y: y.square().mean().sqrt().item()
    small, full = strength(F.avg_pool2d(x, k)), strength(x)
    return full / (full + (1 - t) / t * small / k)
''',
                "It makes the noise k times stronger. What does a mean over k by k pixels do to noise?"),
        Mistake("time turned round", '''def as_noisy_at_full_size(mine):
    from fmcourse.data import load
    from fmcourse.data.images import normalize_pixels
    x, t, k = normalize_pixels(load("fashion").train.pixels[mine["first"]:][:mine["many"]]).double(), mine["time"], mine["factor"]
    strength = lambda y: y.square().mean().sqrt().item()
    small, full = strength(F.avg_pool2d(x, k)), strength(x)
    return full / (full + t / (1 - t) * small * k)
''',
                "t and 1 - t have changed places. At which of the two times is there nothing but noise?"),
        Mistake("the picture's part", '''def as_noisy_at_full_size(mine):
    from fmcourse.data import load
    from fmcourse.data.images import normalize_pixels
    x, t, k = normalize_pixels(load("fashion").train.pixels[mine["first"]:][:mine["many"]]).double(), mine["time"], mine["factor"]
    strength = lambda y: y.square().mean().sqrt().item()
    small, full = strength(F.avg_pool2d(x, k)), strength(x)
    small = (1 - t) / t * small * k; return small / (full + small)
''',
                "That is how much of the mixture is picture, 1 - u. Which was asked?"),
        Mistake("full size of strength 1", '''def as_noisy_at_full_size(mine):
    from fmcourse.data import load
    from fmcourse.data.images import normalize_pixels
    x, t, k = normalize_pixels(load("fashion").train.pixels[mine["first"]:][:mine["many"]]).double(), mine["time"], mine["factor"]
    strength = lambda y: y.square().mean().sqrt().item()
    small, full = strength(F.avg_pool2d(x, k)), strength(x)
    return 1 / (1 + (1 - t) / t * small * k)
''',
                "At full size it takes the pictures for as strong as the noise. What is their strength?"),
        Mistake("every k-th pixel", '''def as_noisy_at_full_size(mine):
    from fmcourse.data import load
    from fmcourse.data.images import normalize_pixels
    x, t, k = normalize_pixels(load("fashion").train.pixels[mine["first"]:][:mine["many"]]).double(), mine["time"], mine["factor"]
    strength = lambda y: y.square().mean().sqrt().item()
    small, full = strength(x[..., ::k, ::k]), strength(x)
    return full / (full + (1 - t) / t * small * k)
''',
                "It keeps one pixel of each block. What was to become of a block?"),
        Mistake("the brightest pixel", '''def as_noisy_at_full_size(mine):
    from fmcourse.data import load
    from fmcourse.data.images import normalize_pixels
    x, t, k = normalize_pixels(load("fashion").train.pixels[mine["first"]:][:mine["many"]]).double(), mine["time"], mine["factor"]
    strength = lambda y: y.square().mean().sqrt().item()
    small, full = strength(F.max_pool2d(x, k)), strength(x)
    return full / (full + (1 - t) / t * small * k)
''',
                "It keeps the brightest pixel of each block. What was to become of a block?"),
        Mistake("noise to picture", '''def as_noisy_at_full_size(mine):
    from fmcourse.data import load
    from fmcourse.data.images import normalize_pixels
    x, t, k = normalize_pixels(load("fashion").train.pixels[mine["first"]:][:mine["many"]]).double(), mine["time"], mine["factor"]
    strength = lambda y: y.square().mean().sqrt().item()
    small, full = strength(F.avg_pool2d(x, k)), strength(x)
    return full / ((1 - t) / t * small * k)
''',
                "That is u / (1 - u), how much noise there is for the picture. Which u belongs to it?"),
        Mistake("the mean of the strengths", '''def as_noisy_at_full_size(mine):
    from fmcourse.data import load
    from fmcourse.data.images import normalize_pixels
    x, t, k = normalize_pixels(load("fashion").train.pixels[mine["first"]:][:mine["many"]]).double(), mine["time"], mine["factor"]
    strength = lambda y: y.square().mean().sqrt().item()
    small, full = strength(F.avg_pool2d(x, k)), strength(x)
    each = lambda y: y.flatten(1).square().mean(1).sqrt().mean().item(); small, full = each(F.avg_pool2d(x, k)), each(x); return full / (full + (1 - t) / t * small * k)
''',
                "It takes the strength of each picture, and the mean of these. Over what was the mean square to be taken?"),
    ],
)  # fmt: skip
