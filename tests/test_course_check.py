"""`check` names mistakes, lets right answers pass however written, and survives any input."""

import importlib
import math
import random
import signal
import sys
import threading
import time

import numpy as np
import pytest
import torch
from test_exercises import faults
from torch import nn

from fmcourse.classroom.library import is_assigned_id
from fmcourse.course import check, running, showing
from fmcourse.course.comparing import equal
from fmcourse.course.exercise import Exercise, Mistake, Property
from fmcourse.course.library import exercises_in, find_exercise
from fmcourse.course.verdict import AnswerKey, diagnose


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def no_future(mask, T):
    ahead = mask.triu(1).nonzero()
    return (
        True
        if not len(ahead)
        else f"Row {ahead[0, 0]} looks at column {ahead[0, 1]}, which lies in its future."
    )


MASK = Exercise(
    "91.1",
    goal="say who may look at whom",
    minutes=8,
    cases=[1, 2, 7],
    starter="def causal_mask(T):\n"
    '    """(T, T) bool: row t is True where position t may look."""\n    ...\n',
    solution="def causal_mask(T):\n    return torch.ones(T, T).tril().bool()\n",
    other_solutions=[
        "def causal_mask(T):\n    t = torch.arange(T)\n    return t[:, None] >= t[None]\n"
    ],
    hints=[
        "Reading word 3, which words have you seen?",
        "Compare a column with a row.",
        "torch.arange gives positions.",
    ],
    mistakes=[
        Mistake(
            "sees the future",
            lambda T: torch.ones(T, T).triu().bool(),
            "Row 0 may look at column 1. Which half?",
        ),
        Mistake(
            "blind to itself",
            lambda T: torch.ones(T, T).tril(-1).bool(),
            "Row 0 sees nothing. Itself?",
        ),
        Mistake(
            "a mask of numbers",
            lambda T: torch.ones(T, T).tril(),
            "It is 0 and 1. Which dtype is a mask?",
        ),
        Mistake(
            "one row for all",
            lambda T: torch.ones(T).bool(),
            "It has one row. How many positions look?",
        ),
        Mistake(
            "cannot be called",
            lambda T: torch.ones(T)[T],
            "There is no place T. Where do places end?",
        ),
    ],
    properties=[Property("the future", no_future, "What may row t see?")],
    explanation="Position t may look at itself and what came before.",
)

WEIGHTS = Exercise(
    "91.2",
    goal="weigh keys",
    minutes=5,
    cases=[(noise(2, 4), noise(3, 4, seed=1)), (noise(5, 8), noise(6, 8, seed=1).requires_grad_())],
    starter="def weights(q, k):\n    ...\n",
    solution="def weights(q, k):\n    return (q @ k.mT / q.shape[-1] ** 0.5).softmax(-1)\n",
    other_solutions=[
        lambda q, k: F_softmax(torch.einsum("qd,kd->qk", q, k) / math.sqrt(k.size(1)))
    ],
    hints=[
        "What does a query ask?" * 2,
        "Which axis adds up to one?",
        "Divide by the root of the width.",
    ],
    mistakes=[
        Mistake(
            "no division",
            lambda q, k: (q @ k.mT).softmax(-1),
            "The lead grows with width. By how much?",
        )
    ],
    explanation="Softmax over keys.",
)


def F_softmax(x):
    return x.exp() / x.exp().sum(-1, keepdim=True)


MEAN = Exercise(
    "91.3",
    goal="average",
    minutes=2,
    cases=[[1.0, 2.0, 7.0], [3.0, 4.0, 2.0, 8.0]],
    starter="def mean(values):\n    ...\n",
    solution="def mean(values):\n    return sum(values) / len(values)\n",
    other_solutions=["import statistics\ndef mean(values):\n    return statistics.fmean(values)\n"],
    hints=[
        "What is shared out here, and among whom?",
        "Add them up, then divide.",
        "sum and len, nothing else.",
    ],
    mistakes=[
        Mistake(
            "the middle",
            lambda values: sorted(values)[len(values) // 2],
            "That is the median. Is it asked?",
        )
    ],
    explanation="Add, divide.",
)

COUNTS = Exercise(
    "91.4",
    goal="count the pairs",
    minutes=2,
    cases=["", "aab", "abab abab"],
    starter="def pairs(text):\n    ...\n",
    solution="def pairs(text):\n    n = {}\n    for a, b in zip(text, text[1:]):\n"
    "        n[a, b] = n.get((a, b), 0) + 1\n    return n\n",
    other_solutions=[
        "from collections import Counter\n"
        "def pairs(text):\n    return Counter(zip(text, text[1:]))\n"
    ],
    hints=[
        "Which two letters stand side by side?",
        "zip a text with itself, moved on.",
        "A dict counts them all.",
    ],
    mistakes=[
        Mistake(
            "letters alone",
            lambda text: {a: text.count(a) for a in text},
            "One letter is no pair. Which are two?",
        )
    ],
    explanation="Each letter with the one after it.",
)

LAYER = Exercise(
    "91.5",
    goal="build a layer",
    minutes=5,
    cases=[(noise(2, 3), 4), (noise(5, 6), 2)],
    starter="class Layer(nn.Module):\n"
    "    def __init__(self, d_in, d_out):\n        super().__init__()\n        ...\n\n"
    "    def forward(self, x):\n        ...\n",
    solution="class Layer(nn.Module):\n"
    "    def __init__(self, d_in, d_out):\n        super().__init__()\n"
    "        self.map = nn.Linear(d_in, d_out)\n\n"
    "    def forward(self, x):\n        return self.map(x)\n",
    other_solutions=["class Layer(nn.Linear):\n    pass\n"],
    hints=[
        "Which part has the weights?",
        "Make nn.Linear in __init__.",
        "Call it in the forward method.",
    ],
    mistakes=[
        Mistake(
            "no bias",
            "class Layer(nn.Linear):\n"
            "    def __init__(self, a, b):\n        super().__init__(a, b, bias=False)\n",
            "At x = 0 it says 0. Should it?",
        )
    ],
    run=lambda layer, case: fill_weights(layer(case[0].shape[-1], case[1]))(case[0]),
    explanation="A linear map.",
)


def fill_weights(module):
    for n, weight in enumerate(module.parameters()):
        nn.init.normal_(weight, generator=torch.Generator().manual_seed(n))
    return module


SAMPLES = [MASK, WEIGHTS, MEAN, COUNTS, LAYER]
T = 3
RIGHT = MASK.reference


def with_changes(exercise, **change):
    return Exercise(
        **{name: getattr(exercise, name) for name in exercise.__dataclass_fields__} | change
    )


def quick(exercise):
    return with_changes(exercise, seconds=0.2)


# --- what the course promises holds for these samples, and its proof can fail


@pytest.mark.parametrize("exercise", SAMPLES, ids=lambda exercise: exercise.id)
def test_the_samples_keep_every_promise(exercise):
    assert faults(exercise) == []


def test_the_proof_goes_red():
    middle, right = MEAN.mistakes[0].wrong_answer, lambda values: sum(values) / len(values)
    broken = with_changes(MEAN, other_solutions=[middle], mistakes=[Mistake("m", right, "No.")])
    found = " ".join(faults(broken))
    assert (
        "right answer 1 is refused" in found
        and "'m' is called" in found
        and "the explanation of 'm' asks nothing" in found
    )


# --- whatever a learner may hand in


def loops(T):
    while True:
        pass


def loops_and_catches(T):
    while True:
        try:
            while True:
                pass
        except Exception:
            continue


def loops_and_prints(T):
    while True:
        print("round and round")


def recurses(T):
    return recurses(T) + 1


def exits(T):
    raise SystemExit(3)


def prints(T):
    print(RIGHT(T))


def gap(T):
    mask = ...
    return mask + 1


def reseeds(T):
    torch.manual_seed(0)
    np.random.seed(0)
    return RIGHT(T)


def draws(T):
    random.random()
    return RIGHT(T)


def generates(T):
    yield RIGHT(T)


async def waits(T):
    return RIGHT(T)


def first_line_fails(T):
    return {}[T + 8]


class Masks:
    def __init__(self, T):
        pass


class Hostile:
    """Equal to everything, and impossible to compare, measure or print."""

    def __eq__(self, other):
        raise RuntimeError("no")

    __hash__ = None
    __bool__ = __len__ = __repr__ = lambda self: 1 / 0


WHATEVER = [
    (None, "blank", ""),
    (..., "blank", ""),
    (lambda T: None, "blank", ""),
    (lambda T: ..., "another type", "Ellipsis"),
    (lambda T: print(end=""), "nothing returned", "is a `return` missing?"),
    (lambda T: NotImplemented, "another type", "gap"),
    (torch.ones(2, 2), "not a function", "without calling it"),
    ("causal_mask", "not a function", "This is text, not a function"),
    (Masks, "a class", "a function is wanted"),
    (generates, "another type", "generator, which `yield` makes"),
    (waits, "another type", "not `async def`"),
    (lambda: 1, "its parameters", "will be called as causal_mask(T)"),
    (lambda a, b: 1, "its parameters", "will be called as causal_mask(T)"),
    (loops, "too slow", "stopped after 0.2 seconds"),
    (loops_and_catches, "too slow", "a loop that never ends"),
    (loops_and_prints, "too slow", "a loop that never ends"),
    (recurses, "endless recursion", "Which call stops it?"),
    (exits, "it exits", "`return` ends a function"),
    (prints, "nothing returned", "it prints its answer, and must `return` it"),
    (gap, "it raises", "A gap (`...`) is still to be filled"),
    (reseeds, "global randomness", "torch and numpy"),
    (draws, "global randomness", "random state of random"),
    (first_line_fails, "it raises", "KeyError: 9"),
    (lambda T: RIGHT(T).numpy(), "another type", "keep to torch"),
    (lambda T: RIGHT(T).tolist(), "another type", "a list"),
    (lambda T: RIGHT(T).float(), "a mask of numbers", "torch.float32; torch.bool is wanted"),
    (lambda T: RIGHT(T)[None], "an axis too many or too few", "shape (1, 1, 1)"),
    (lambda T: Hostile(), "another type", "an object of type Hostile"),
    (Hostile(), "not a function", "an object of type Hostile"),
    (lambda T: RIGHT(T) / 0, "the dtype", "dtype torch.float32"),
]


@pytest.mark.slow
@pytest.mark.parametrize(
    "candidate, name, words", WHATEVER, ids=lambda x: getattr(x, "__name__", None)
)
def test_whatever_is_handed_in_is_named_and_the_course_stands_in(candidate, name, words, capsys):
    exercise = quick(MASK)
    verdict = diagnose(exercise, candidate)
    assert verdict.name == name and words in " ".join(verdict.sentences)
    assert check(exercise, candidate) is exercise.reference
    assert "stands in below" in capsys.readouterr().out


def test_a_blank_is_blank_whatever_its_docstring_says_and_a_line_of_work_is_not():
    def causal_mask(T):
        """Mine now."""
        # not yet
        ...

    def begun(T):
        T + 1

    assert diagnose(MASK, causal_mask).name == "blank"
    assert diagnose(MASK, begun).name == "nothing returned"
    assert diagnose(LAYER, LAYER.compile(LAYER.starter)).name == "blank"


def test_a_right_answer_is_handed_back_even_if_it_prints(capsys):
    def causal_mask(T):
        print("working")
        return RIGHT(T)

    assert check(MASK, causal_mask) is causal_mask
    said = capsys.readouterr().out
    assert "✓ 91.1 right" in said and "also prints" in said and "working" not in said


def test_callables_that_are_no_plain_functions_may_be_right():
    from functools import partial

    class Mask:
        def __call__(self, T):
            return RIGHT(T)

    assert (
        diagnose(MASK, Mask()).correct
        and diagnose(MASK, partial(RIGHT)).correct
        and diagnose(MASK, lambda *a: RIGHT(*a)).correct
    )


def test_an_error_is_said_with_its_line_and_the_case():
    verdict = diagnose(MASK, first_line_fails)
    assert verdict.sentences[0] == "Tried: causal_mask(T=1)."
    assert "`return {}[T + 8]`" in verdict.sentences[1]


def test_ctrl_c_is_the_users(capsys):
    def interrupted(T):
        raise KeyboardInterrupt

    before = signal.getsignal(signal.SIGALRM)
    with pytest.raises(KeyboardInterrupt):
        check(MASK, interrupted)
    assert signal.getsignal(signal.SIGALRM) is before


@pytest.mark.parametrize(
    "spoil", [lambda q: q.mul_(2), lambda q: q.add_(1), lambda q: q.__setitem__(0, 0)]
)
def test_inputs_that_change_are_named(spoil):
    def weights(q, k):
        result = WEIGHTS.reference(q, k)
        spoil(q)
        return result

    verdict = diagnose(WEIGHTS, weights)
    assert verdict.name == "inputs changed" and "It changes q," in " ".join(verdict.sentences)
    assert torch.equal(WEIGHTS.cases[0][0], noise(2, 4))


def test_lists_that_change_are_noticed_too():
    verdict = diagnose(MEAN, lambda values: sum(values) / len([values.sort(), *values][1:]))
    assert verdict.name == "inputs changed"


def test_gradients_must_flow_where_a_case_asks_for_them():
    verdict = diagnose(WEIGHTS, lambda q, k: WEIGHTS.reference(q, k).detach())
    assert (
        verdict.name == "no gradients"
        and "weights(q=tensor (5, 8), k=tensor (6, 8))" in verdict.sentences[0]
    )


def test_what_is_not_finite_is_said():
    assert diagnose(WEIGHTS, lambda q, k: WEIGHTS.reference(q, k) * math.nan).name == "not a number"
    assert diagnose(WEIGHTS, lambda q, k: WEIGHTS.reference(q, k) / 0).name == "not finite"
    assert diagnose(MEAN, lambda values: math.inf).name == "not finite"


def test_global_random_state_is_put_back_whatever_happens():
    torch.manual_seed(7), np.random.seed(7), random.seed(7)
    wanted = torch.rand(1), np.random.rand(), random.random()
    torch.manual_seed(7), np.random.seed(7), random.seed(7)
    for candidate in (reseeds, draws, exits):
        diagnose(MASK, candidate)
    assert (torch.rand(1), np.random.rand(), random.random()) == wanted


def test_a_layer_may_draw_its_first_weights():
    drawn = Exercise(
        "91.6",
        goal="g",
        minutes=1,
        cases=[2],
        starter="class Layer(nn.Linear):\n    ...\n",
        mistakes=[],
        solution="class Layer(nn.Linear):\n"
        "    def __init__(self, a, b):\n        super().__init__(a, b)\n",
        hints=["a"] * 3,
        run=lambda layer, n: layer(n, n).weight,
    )
    assert diagnose(drawn, drawn.reference).correct


# --- time


def test_the_alarm_of_somebody_else_still_rings():
    rung = []
    before = signal.signal(signal.SIGALRM, lambda *_: rung.append(1))
    old = signal.setitimer(signal.ITIMER_REAL, 60)  # far away, however busy the machine is
    try:
        assert diagnose(quick(MASK), loops).name == "too slow"
        assert not rung and 0 < signal.getitimer(signal.ITIMER_REAL)[0] < 60
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        time.sleep(0.1)
        assert rung
    finally:
        signal.signal(signal.SIGALRM, before)
        signal.setitimer(signal.ITIMER_REAL, *old)


def test_without_an_alarm_a_thread_keeps_the_time():
    found = []
    thread = threading.Thread(
        target=lambda: found.extend([diagnose(quick(MASK), loops), diagnose(MASK, RIGHT)])
    )
    thread.start()
    thread.join(20)
    assert [verdict.name for verdict in found] == ["too slow", "right"]
    with pytest.raises(ZeroDivisionError):
        running.call_in_thread(lambda: 1 / 0, 1)


def in_a_thread(call):
    """The result of a call in a thread, where there is no alarm."""
    found = []
    thread = threading.Thread(target=lambda: found.append(call()))
    thread.start()
    thread.join(20)
    return found[0]


WHERE = [lambda call: call(), in_a_thread]


def computes(seconds):
    """Keep the processor busy for so many seconds of CPU time."""
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass


LIMIT = 0.1
LONG = 2.5 * LIMIT
WORKS = "import time\nuntil = time.thread_time() + 0.25\nwhile time.thread_time() < until: pass\n"


def test_the_courses_own_answer_takes_as_long_as_it_takes():
    slow = f"def mean(values):\n    {WORKS.replace(chr(10), chr(10) + '    ')}return 3.0\n"
    exercise = with_changes(MEAN, cases=[[1.0, 5.0]], solution=slow, mistakes=[], seconds=LIMIT)
    assert diagnose(exercise, lambda values: sum(values) / len(values)).correct
    assert diagnose(exercise, exercise.reference).name == "too slow"


def test_of_the_courses_answer_nothing_is_kept_before_it_is_finished():
    key = AnswerKey(
        with_changes(MEAN, solution="def mean(values):\n    while True:\n        pass\n")
    )
    with pytest.raises(running.TimeLimitExceeded):
        running.call_with_timeout(lambda: key.expected, LIMIT)
    assert "expected" not in vars(key)


@pytest.mark.parametrize("error", ["MemoryError", "ModuleNotFoundError", "RuntimeError"])
def test_where_the_courses_answer_cannot_run_nobody_is_judged(error):
    solution = f'def mean(values):\n    raise {error}("[enforce fail] can\'t allocate memory")\n'
    exercise = with_changes(MEAN, solution=solution)
    with pytest.raises(running.ReferenceNotFinished, match=f"own answer to 91.3.*{error}"):
        running.expected_outcomes(exercise)
    verdict = diagnose(exercise, lambda values: 1.0)
    assert verdict.name == "not judged" and "try again" in verdict.sentences[0]


@pytest.mark.parametrize("where", WHERE)
def test_who_waits_for_the_processor_is_not_slow(where):
    exercise = with_changes(MEAN, cases=[[1.0, 5.0]], mistakes=[], seconds=LIMIT)
    assert where(lambda: diagnose(exercise, lambda values: [time.sleep(LONG), 3.0][1])).correct
    busy = where(lambda: diagnose(exercise, lambda values: [computes(LONG), 3.0][1]))
    assert busy.name == "too slow"


def test_who_waits_for_ever_is_stopped():
    exercise = with_changes(MEAN, seconds=0.02)
    assert diagnose(exercise, lambda values: time.sleep(60)).name == "too slow"


@pytest.mark.parametrize("where", [*WHERE, lambda call: running.call_with_timeout(call, 0.2)])
def test_an_import_is_neither_counted_nor_cut(where, tmp_path, monkeypatch):
    """A library's first use can import for seconds; half imported it would be broken for good."""
    name = "slow_to_import"
    (tmp_path / f"{name}.py").write_text(f"{WORKS}answer = 3.0\n")
    monkeypatch.syspath_prepend(tmp_path)
    exercise = with_changes(MEAN, cases=[[1.0, 5.0]], mistakes=[], seconds=LIMIT)

    def mean(values):
        return importlib.import_module(name).answer

    assert where(lambda: diagnose(exercise, mean)).correct
    assert sys.modules.pop(name).answer == 3.0


def test_a_loop_after_an_import_is_stopped(tmp_path, monkeypatch):
    (tmp_path / "slow_to_import.py").write_text(WORKS)
    monkeypatch.syspath_prepend(tmp_path)

    def mean(values):
        import slow_to_import  # noqa: F401

        while True:
            pass

    assert diagnose(with_changes(MEAN, seconds=LIMIT), mean).name == "too slow"
    del sys.modules["slow_to_import"]


def test_a_mistake_that_never_ends_is_not_taken_for_an_answer_that_returns_nothing():
    endless = Mistake("endless", "def mean(values):\n    while True:\n        pass\n", "When?")
    exercise = with_changes(MEAN, cases=[[1.0, 5.0]], mistakes=[endless], seconds=LIMIT)
    assert diagnose(exercise, lambda values: print(end="")).name == "nothing returned"


def test_what_is_printed_without_end_does_not_fill_the_memory():
    out = running.TruncatedOutput()
    for _ in range(10_000):
        out.write("round and round")
    assert len(out.getvalue()) == running.MAX_PRINTED


# --- steps 2 to 5


def test_a_property_gives_the_evidence_and_the_mistake_its_name():
    verdict = diagnose(MASK, lambda T: torch.ones(T, T).triu().bool())
    assert verdict.name == "sees the future" and verdict.step == "mistake"
    verdict = diagnose(MASK, lambda T: torch.ones(T, T).bool())
    assert (verdict.name, verdict.step) == ("the future", "property")
    assert verdict.sentences == (
        "Row 0 looks at column 1, which lies in its future.",
        "What may row t see?",
    )


def scores(q, k):
    return q @ k.mT / q.shape[-1] ** 0.5


PLAIN = "def scores(q, k):\n    return q @ k.mT / q.shape[-1] ** 0.5\n"
SCORES = Exercise(
    "91.7",
    goal="g",
    minutes=1,
    cases=WEIGHTS.cases,
    starter="def scores(q, k):\n    ...\n",
    mistakes=[],
    solution=PLAIN,
    hints=["a"] * 3,
)
SQUARE = Exercise(
    "91.8",
    goal="g",
    minutes=1,
    cases=[noise(3, 3), noise(4, 4)],
    starter="def f(x):\n    ...\n",
    mistakes=[],
    solution="def f(x):\n    return x.softmax(-1)\n",
    hints=["a"] * 3,
)
LOSS = Exercise(
    "91.9",
    goal="g",
    minutes=1,
    cases=[noise(3, 5), noise(4, 2)],
    starter="def f(x):\n    ...\n",
    mistakes=[],
    solution="def f(x):\n    return (x**2).mean()\n",
    hints=["a"] * 3,
)
LABELS = Exercise(
    "91.10",
    goal="g",
    minutes=1,
    cases=[[5, 6, 7, 9], [1, 2, 3, 4, 8]],
    starter="def f(ids):\n    ...\n",
    mistakes=[],
    solution="def f(ids):\n    return ids[1:]\n",
    hints=["a"] * 3,
)
SCALED = Exercise(
    "91.13",
    goal="g",
    minutes=1,
    cases=[(noise(3), 0.5), (noise(4), 0.25)],
    starter="def f(x, scale):\n    ...\n",
    mistakes=[],
    solution="def f(x, scale):\n    return x * scale\n",
    hints=["a"] * 3,
)
FLAGS = Exercise(
    "91.14",
    goal="g",
    minutes=1,
    cases=[[1, -1], [3, -1, -2, 5, 7, 9]],
    starter="def f(xs):\n    ...\n",
    mistakes=[],
    solution="def f(xs):\n    return [x > 0 for x in xs]\n",
    hints=["a"] * 3,
)
GRID = with_changes(
    FLAGS,
    cases=[[1, 2], [3, 1, 2]],
    solution="def f(xs):\n    return [[x > y for y in xs] for x in xs]\n",
)
PAIRS = with_changes(
    FLAGS,
    cases=[[1, 2, 4, 7], [9, 3, 5, 2, 4]],
    solution="def f(xs):\n    return list(zip(xs, xs[1:], strict=False))\n",
)
SHARE = with_changes(
    FLAGS,
    cases=[{"right": 3, "many": 187}],
    starter="def f(mine):\n    ...\n",
    solution="def f(mine):\n    return mine['right'] / mine['many']\n",
)


def with_scales(*scales):
    return with_changes(SCALED, cases=[(noise(3, seed=n), scale) for n, scale in enumerate(scales)])


RELATED = [
    (SCORES, lambda q, k: scores(q, k).mT, "transposed"),
    (SCORES, lambda q, k: q @ k.mT, "too large by √(q.shape[1])"),
    (SCORES, lambda q, k: q @ k.mT / q.shape[-1], "too small by √(q.shape[1])"),
    (SCORES, lambda q, k: -scores(q, k), "the sign"),
    (SCORES, lambda q, k: scores(q, k) / math.log(2), "too large by 1/log 2"),
    (SCORES, lambda q, k: scores(q, k) * math.log(2), "too small by 1/log 2"),
    (SCALED, lambda x, scale: x, "too large by 1/scale"),
    (SCALED, lambda x, scale: x * scale**2, "too small by 1/scale"),
    (with_scales(0.5, 2.0), lambda x, scale: x, "divided by scale"),
    (with_scales(0.5, 2.0), lambda x, scale: x * scale**2, "multiplied by scale"),
    (with_scales(3.0, 2.0), lambda x, scale: x, "too small by scale"),
    (FLAGS, lambda xs: [x <= 0 for x in xs], "the opposite"),
    (FLAGS, lambda xs: [x > 0 for x in xs[::-1]], "backwards"),
    (FLAGS, lambda xs: [x > 0 for x in [xs[1], xs[0], *xs[2:]]], "another result"),
    (GRID, lambda xs: [[x <= y for y in xs] for x in xs], "the opposite"),
    (GRID, lambda xs: torch.tensor([[x <= y for y in xs] for x in xs]), "the opposite"),
    (GRID, lambda xs: [[x < y for y in xs] for x in xs], "transposed"),
    (PAIRS, lambda xs: list(zip(xs, xs[1:], strict=False))[::-1], "backwards"),
    (PAIRS, lambda xs: list(zip(xs, xs[1:], strict=False))[1:], "shifted by one"),
    (SCORES, lambda q, k: scores(q, k) * 3.7, "a constant factor"),
    (SCORES, lambda q, k: scores(q, k) + 0.25, "a constant is added"),
    (SCORES, lambda q, k: scores(q, k).round(), "rounded"),
    (SCORES, lambda q, k: scores(q, k).flip(0), "backwards"),
    (SCORES, lambda q, k: scores(q, k)[:, [1, 0, *range(2, len(k))]], "another order"),
    (SQUARE, lambda x: x.softmax(0), "the wrong axis"),
    (SQUARE, lambda x: x.log_softmax(-1), "the logarithm"),
    (SQUARE, lambda x: 1 - x.softmax(-1), "one minus the answer"),
    (SQUARE, lambda x: x.softmax(-1).roll(1, 0), "shifted by one"),
    (LOSS, lambda x: (x**2).sum(), "too large by x.numel()"),
    (LOSS, lambda x: (x**2).sum(-1).mean(), "too large by x.shape[1]"),
    (LOSS, lambda x: (x**2).mean().sqrt(), "the square root"),
    (LABELS, lambda ids: ids[:-1], "shifted by one"),
    (LABELS, lambda ids: ids[2:], "shifted by one"),
    (LABELS, lambda ids: ids[:0:-1], "backwards"),
    (LABELS, lambda ids: [i + 1 for i in ids[1:]], "a constant is added"),
    (MASK, lambda T: ~RIGHT(T), "the opposite"),
    (MEAN, lambda values: float(sum(values)), "too large by len(values)"),
    (MEAN, lambda values: sum(values) / (len(values) + 1), "another result"),
    (SHARE, lambda mine: True, "another type"),
    (SHARE, lambda mine: 0.0, "another result"),
    (SHARE, lambda mine: 1 + mine["right"] / mine["many"], "another result"),  # e**x nearly
    (SHARE, lambda mine: mine["right"] / (mine["many"] - mine["right"]), "part to rest"),
    (SHARE, lambda mine: mine["right"] / mine["many"] / math.log(10), "too small by log 10"),
    (SHARE, lambda mine: float(mine["right"]), "too large by mine['many']"),
    (SHARE, lambda mine: mine["right"] / mine["many"] ** 2, "too small by mine['many']"),
]


@pytest.mark.parametrize(
    "exercise, candidate, name", RELATED, ids=lambda x: x if isinstance(x, str) else ""
)
def test_a_relation_to_the_right_answer_is_named(exercise, candidate, name):
    assert diagnose(with_changes(exercise, mistakes=[], properties=[]), candidate).name == name


def as_tensors(value):
    """The same numbers, each in a tensor of its own, as whoever forgets `.item()` has them."""
    return [as_tensors(x) for x in value] if isinstance(value, list) else torch.tensor(value)


@pytest.mark.parametrize("exercise", [LABELS, MEAN, PAIRS, FLAGS], ids=lambda one: one.id)
def test_where_only_types_differ_no_relation_is_asked(exercise):
    exercise = with_changes(exercise, mistakes=[], properties=[])
    verdict = diagnose(exercise, lambda *case: as_tensors(relist(exercise.reference(*case))))
    assert (verdict.name, verdict.step) == ("another type", "contract")


@pytest.mark.parametrize("pack", [lambda x: x, lambda x: [x], lambda x: {"x": x}])
def test_a_tensor_that_was_computed_from_others_is_not_shared(pack):
    leaf = torch.ones(3, requires_grad=True)
    case = (pack(leaf * 2), 1)
    copied = running.copy_case(case)
    tensor = next(iter(copied[0].values() if isinstance(copied[0], dict) else copied[0]))
    tensor.data.zero_()
    tensor.sum().backward()
    assert equal(case[0], pack(torch.full((3,), 2.0))) and leaf.grad is None
    assert tensor.requires_grad


def relist(value):
    return [relist(part) for part in value] if isinstance(value, list | tuple) else value


@pytest.mark.parametrize(
    "spoil, name",
    [
        (lambda x: x.softmax(-1).double(), "the dtype"),
        (lambda x: [x.softmax(-1), x.zero_()][0], "inputs changed"),
        (lambda x: [x.softmax(-1), torch.rand(1)][0], "global randomness"),
        (lambda x: x.softmax(-1).detach(), "no gradients"),
        (lambda x: x.softmax(-1).tolist(), "another type"),
    ],
)
def test_a_right_value_has_no_relation_to_itself(spoil, name):
    """On matrices that are all alike an axis, an order or a direction would explain anything."""
    alike = [torch.ones(2, 2, requires_grad=name == "no gradients"), torch.ones(3, 3)]
    assert diagnose(with_changes(SQUARE, cases=alike), spoil).name == name


def test_whole_numbers_are_exact_and_floats_are_not():
    assert not equal(134515008, 134516000, 1e-4)
    assert not equal([10**6, 2], [10**6 + 1, 2], 1e-4) and not equal(2**53 + 1, 2**53, 1e-4)
    assert not equal({"bytes": 10**6}, {"bytes": 10**6 + 1.0}, 1e-4)
    assert equal(134515008.0, 134516000.0, 1e-4) and equal(3, 3, 1e-4) and equal(3.0, 3, 1e-4)
    assert equal(torch.tensor(1 + 1e-6j), torch.tensor(1 + 2e-6j), 1e-4)
    assert equal(np.array([np.nan, 1.0]), np.array([np.nan, 1.0]))
    size = with_changes(
        MEAN,
        starter="def size(n):\n    ...\n",
        solution="def size(n):\n    return 10**6 * n\n",
        cases=[2, 5],
        mistakes=[],
    )
    assert diagnose(size, lambda n: 10**6 * n + 1).name == "a constant is added"
    assert diagnose(size, lambda n: 10**6 * n + n % 2).name == "another result"


REMAINDER = with_changes(
    LABELS,
    starter="def f(n):\n    ...\n",
    solution="def f(n):\n    return None if n < 0 else [n, None]\n",
    cases=[3, -1, 4],
)


def test_none_is_a_value_where_it_may_be_the_answer():
    said = diagnose(REMAINDER, lambda n: [n, None] if n == 3 else None)
    assert (said.name, said.step) == ("another result", "difference")
    assert said.table == ("expected    got", "[4, None]   None")
    assert diagnose(REMAINDER, lambda n: [n, None]).step == "difference"
    assert diagnose(REMAINDER, lambda n: [None, n] if n >= 0 else None).name != "nothing returned"
    assert diagnose(REMAINDER, lambda n: print(end="")).name == "nothing returned"
    assert diagnose(REMAINDER, lambda n: "" if n < 0 else [n, None]).name == "another type"
    assert diagnose(LABELS, lambda ids: ids[1:] if ids[0] == 5 else None).name == "nothing returned"


MIX = with_changes(
    SQUARE,
    starter="def mix(x_0, x_t, a):\n    ...\n",
    solution="def mix(x_0, x_t, a):\n    return x_t + a * x_0\n",
    cases=[
        (noise(1, 2), noise(1, 2, seed=1), 0.5),
        (noise(2, 3), noise(2, 3, seed=1).requires_grad_(), 2.0),
    ],
    mistakes=[Mistake("x_0", "def mix(x_0, x_t, a):\n    return x_0 + 0 * x_t\n", "Where is x_t?")],
)


def gradients_behind(out):
    """Of every leaf that `out` was computed from."""
    nodes = [out.grad_fn]
    for node in nodes:
        nodes += [before for before, _ in getattr(node, "next_functions", ()) if before]
    leaves = [node.variable for node in nodes if hasattr(node, "variable")]
    return [torch.autograd.grad(out.sum(), leaf, retain_graph=True)[0] for leaf in leaves]


def flows_back(out, case):
    """The gradient of x_t is all ones; where there is no gradient, there is nothing to say."""
    back = gradients_behind(out)
    return all(bool((part == 1).all()) for part in back) or "A part of the gradient is missing."


def both_learn(out, case):
    back = gradients_behind(out)
    return len(back) == 2 or f"Gradients of {back[0].mean():g} alone are left."


def test_another_value_is_not_blamed_for_its_gradients():
    assert diagnose(MIX, lambda x_0, x_t, a: x_0).name == "x_0"
    assert diagnose(with_changes(MIX, mistakes=[]), lambda x_0, x_t, a: x_0).step != "contract"
    bare = Mistake("x_0 alone", "def mix(x_0, x_t, a):\n    return x_0\n", "And x_t?")
    both = with_changes(MIX, mistakes=[*MIX.mistakes, bare])
    assert diagnose(both, lambda x_0, x_t, a: x_0).name == "x_0 alone"
    assert diagnose(both, lambda x_0, x_t, a: x_0 - 0 * x_t).name == "x_0"
    assert diagnose(MIX, lambda x_0, x_t, a: (x_t + a * x_0).detach()).name == "no gradients"
    flows = with_changes(MIX, properties=[Property("cut", flows_back, "What learns from x_t?")])
    assert diagnose(flows, flows.reference).correct
    assert diagnose(flows, lambda x_0, x_t, a: x_t + a**0.5 * x_0).name == "another result"
    assert diagnose(flows, lambda x_0, x_t, a: 2 * x_t + a * x_0).step == "difference"
    half = diagnose(flows, lambda x_0, x_t, a: x_t / 2 + x_t.detach() / 2 + a * x_0)
    assert half.name == "cut"


def test_a_mistake_in_the_gradients_alone_is_told_by_them():
    cut = Mistake("cut", lambda x_0, x_t, a: (x_t + a * x_0).detach(), "Who learns?")
    exercise = with_changes(MIX, mistakes=[cut, *MIX.mistakes])
    assert diagnose(exercise, lambda x_0, x_t, a: (x_t + a * x_0).data).name == "cut"
    assert diagnose(exercise, lambda x_0, x_t, a: x_t + a * x_0).correct


def test_of_two_cuts_of_the_gradients_each_has_its_own_name():
    case = (noise(2, 3).requires_grad_(), noise(2, 3, seed=1).requires_grad_(), 2.0)
    cut = Mistake("x_0 cut", lambda x_0, x_t, a: x_t + a * x_0.detach(), "Who learns?")
    learns = Property("cut", both_learn, "Which of the two does not learn?")
    exercise = with_changes(MIX, cases=[case], properties=[learns], mistakes=[cut])
    assert diagnose(exercise, lambda x_0, x_t, a: a * x_0.data + x_t).name == "x_0 cut"
    assert diagnose(exercise, lambda x_0, x_t, a: a * x_0 + x_t.data).name == "cut"
    assert diagnose(exercise, exercise.reference).correct


def middle(values):
    return sorted(values)[len(values) // 2]


FOUR = with_changes(
    MEAN, cases=[[1.0, 2.0, 7.0], [3.0, 4.0, 2.0, 8.0, 9.5], [5.0, 9.0, 3.5], [6.0, 2.5]]
)


def test_a_known_mistake_but_for_one_case_that_is_handled_keeps_its_name():
    verdict = diagnose(FOUR, lambda values: sum(values) / 2 if len(values) == 2 else middle(values))
    assert (verdict.name, verdict.step) == ("the middle", "mistake")
    assert verdict.sentences[0].endswith("on others the answer is right.")
    assert "differs" in verdict.sentences[1] and verdict.table


@pytest.mark.parametrize(
    "candidate, mistakes",
    [
        # right on as many cases as it is wrong on
        (lambda values: sum(values) / len(values) if values[0] > 4 else middle(values), []),
        # wrong in another way on the case that is handled
        (lambda values: 0.0 if len(values) == 2 else middle(values), []),
        # a value that comes of anything
        (
            lambda values: sum(values) / 2 if len(values) == 2 else 0.0,
            [Mistake("nothing counted", lambda values: 0.0, "And?")],
        ),
        # two mistakes that are as near
        (
            lambda values: sum(values) / 2 if len(values) == 2 else middle(values),
            [Mistake("m", lambda values: middle(values) if len(values) > 2 else 9.0, "And?")],
        ),
    ],
)
def test_what_agrees_with_a_known_mistake_by_chance_is_not_called_so(candidate, mistakes):
    exercise = with_changes(FOUR, mistakes=[*FOUR.mistakes, *mistakes])
    assert diagnose(exercise, candidate).name == "another result"


# --- what is shown


@pytest.mark.parametrize(
    "value, text",
    [
        (torch.tensor([[0.5, -1.0]]), "tensor([[0.5, -1.0]])"),
        (torch.tensor([0.1, 2 / 3]), "tensor([0.1, 0.6666667])"),
        (torch.tensor(3), "tensor(3)"),
        (torch.tensor([[True], [False]]), "tensor([[True], [False]])"),
        (torch.tensor([0.1], dtype=torch.float64), "tensor([0.1], dtype=torch.float64)"),
        (torch.ones(2, requires_grad=True), "tensor([1.0, 1.0], requires_grad=True)"),
        (torch.zeros(0), "tensor([])"),
        (torch.zeros(0, 3), "tensor (0, 3)"),
        (torch.zeros(5, 8), "tensor (5, 8)"),
        (np.array([1.5, 2.0]), "array([1.5, 2.0])"),
        ([torch.tensor([1.0]), 2], "[tensor([1.0]), 2]"),
        ((torch.tensor(1),), "(tensor(1),)"),
        ({"LoRA": [0.5, 0.6], "head": [0.1, 0.2]}, "{'LoRA': [0.5, 0.6], 'head': [0.1, 0.2]}"),
        ("a" * 400, "'" + "a" * 155 + " ..."),
    ],
)
def test_an_argument_is_written_such_that_it_can_be_tried_again(value, text):
    assert showing.format_argument(value) == text


def test_small_inputs_are_shown_whole_and_can_be_tried_again():
    q, k = noise(1, 2), noise(2, 2, seed=1)
    exercise = with_changes(WEIGHTS, cases=[WEIGHTS.cases[0], (q, k), WEIGHTS.cases[1]])
    for wrong in (lambda q, k: (q @ k.mT).softmax(-1), print, lambda q, k: 1 / 0):
        line = next(one for one in diagnose(exercise, wrong).sentences if "weights(" in one)
        call = line[line.index("weights(") :].rstrip(".")
        space = {"weights": lambda q, k: (q, k), "tensor": torch.tensor}
        assert all(map(torch.equal, eval(call, space), (q, k))), "not the smallest, or not whole"


def test_beside_an_input_too_large_to_be_tried_again_others_are_short():
    line = showing.format_call("f", ["x", "A", "t"], (noise(5, 8), noise(3, 4), torch.tensor([7])))
    assert line == "f(x=tensor (5, 8), A=tensor (3, 4), t=tensor([7]))"


def test_two_values_that_differ_never_look_alike():
    assert showing.side_by_side(1.23456, 1.23457) == ["expected   got", "1.23456    1.23457"]
    shown = showing.side_by_side(torch.tensor([1.00001, 2]), torch.tensor([1.00002, 2]))
    assert shown == ["expected          got", "[1.00001001, 2]   [1.00002003, 2]"]
    large, changed = torch.zeros(20, 20), torch.zeros(20, 20)
    changed[3, 7], changed[4, 4] = 0.5, 1e-9
    assert showing.side_by_side(large, changed, 1e-4) == [
        "shape (20, 20): 1 of 400 values differ",
        "at [3, 7]: expected 0, got 0.5",
    ]
    text = showing.side_by_side("a" * 300 + "bc", "a" * 300 + "cb")
    assert text == ["expected, from [300] on: 'bc'", "got, from [300] on:      'cb'"]
    numbers = showing.side_by_side(list(range(100)), [*range(90), *range(91, 100)])
    assert numbers[0].startswith("expected, from [90] on: [90, 91")
    many = [torch.tensor(n) for n in range(6)]
    assert showing.side_by_side(many, many[:1])[-1] == "... 6 in all"
    other = [*many[:5], torch.tensor(7)]
    assert showing.side_by_side(many, other) == ["part [5]", "expected   got", "5          7"]


def test_otherwise_the_smallest_input_is_shown_with_both_results():
    verdict = diagnose(COUNTS, lambda text: {} if len(text) < 3 else {("a", "b"): 9})
    assert verdict.name == "another result"
    assert verdict.sentences == ("The smallest input on which it differs: pairs(text='aab').",)
    assert verdict.table[0].split() == ["expected", "got"] and "{('a', 'b'): 9}" in verdict.table[1]


def test_a_matrix_is_shown_row_by_row():
    verdict = diagnose(MASK, lambda T: torch.eye(T).bool())
    assert verdict.table == ("expected   got", "[1 0]      [1 0]", "[1 1]      [0 1]")


def test_a_float_may_differ_in_its_last_digits_and_no_further():
    assert diagnose(WEIGHTS, lambda q, k: WEIGHTS.reference(q, k) * (1 + 1e-6)).correct
    assert not diagnose(WEIGHTS, lambda q, k: WEIGHTS.reference(q, k) * (1 + 1e-2)).correct


# --- exercises as objects


@pytest.mark.parametrize(
    "change, sentence",
    [
        ({"hints": ["one"]}, "exercise 91.1: it has 1 hints; give three"),
        ({"id": "mask"}, "its id must look like '06.1'"),
        ({"cases": []}, "it has no cases"),
        ({"difficulty": 4}, "difficulty=4 must be 1, 2 or 3"),
        ({"starter": "x = 1\n"}, "its starter defines no function"),
        (
            {"solution": "def other(T):\n    return T\n"},
            "its solution does not define 'causal_mask'",
        ),
    ],
)
def test_an_exercise_that_lacks_something_says_what(change, sentence):
    with pytest.raises(ValueError, match=sentence.replace("(", r"\(")):
        with_changes(MASK, **change)


def test_a_lesson_that_is_two_keeps_its_number():
    assert with_changes(MASK, id="07b.1").id == "07b.1"
    assert is_assigned_id("07b.A1") and not is_assigned_id("07b.1")


def test_an_unknown_id_offers_the_nearest(monkeypatch):
    monkeypatch.setattr("fmcourse.course.library.all_exercises", lambda: iter(SAMPLES))
    assert find_exercise("91.2") is WEIGHTS
    with pytest.raises(ValueError, match=r"there is no exercise '91\.22'; did you mean 91\.2"):
        check("91.22", None)
    with pytest.raises(ValueError, match='named by text: "06.1", not 6.1'):
        check(6.1, None)


def test_the_exercises_of_a_module_come_in_order():
    from types import SimpleNamespace

    assert exercises_in(SimpleNamespace(b=MEAN, x=3, a=MASK)) == [MASK, MEAN]


# --- what breaking single lines has taught


def test_a_function_that_catches_everything_is_stopped_the_second_time():
    def stubborn(T):
        try:
            while True:
                pass
        except:  # noqa: E722
            while True:
                pass

    assert diagnose(quick(MASK), stubborn).name == "too slow"


def test_a_loop_that_ignores_every_error_is_stopped_too():
    def deaf(T):
        n = 0
        while True:
            try:
                n += sum(range(100))
            except:  # noqa: E722
                n = 0

    tracing = sys.gettrace()
    assert diagnose(quick(MASK), deaf).name == "too slow"
    assert sys.gettrace() is tracing


def test_two_values_are_too_few_to_be_called_shifted():
    short = with_changes(LABELS, cases=[[1, 2, 4], [5, 6, 9]])
    assert diagnose(short, lambda ids: [ids[2], 8]).name == "another result"
    assert diagnose(short, lambda ids: [ids[2], 8, 9]).name == "another result"


def test_a_relation_that_holds_on_one_case_alone_is_none():
    for partly in (lambda x: x.softmax(0), lambda x: x.mT.softmax(-1)):
        assert diagnose(SQUARE, partly).name == "the wrong axis"
        assert (
            diagnose(SQUARE, lambda x, partly=partly: partly(x) if len(x) == 3 else x).name
            == "another result"
        )


def test_a_mistake_is_told_by_the_input_that_it_spoils():
    spoils = Mistake(
        "writes into q", lambda q, k: (WEIGHTS.reference(q, k), q.zero_())[0], "Whose is q?"
    )
    exercise = with_changes(WEIGHTS, mistakes=[spoils])
    assert (
        diagnose(exercise, lambda q, k: (WEIGHTS.reference(q, k), q.add_(1))[0]).name
        == "writes into q"
    )
    assert (
        diagnose(exercise, lambda q, k: (WEIGHTS.reference(q, k), k.data.add_(1))[0]).name
        == "inputs changed"
    )


def test_what_is_meant_to_change_its_input_may():
    append = Exercise(
        "91.12",
        goal="g",
        minutes=1,
        cases=[[1], [2, 3]],
        mistakes=[],
        hints=["a"] * 3,
        starter="def twice(xs):\n    ...\n",
        solution="def twice(xs):\n    xs.append(0)\n    return len(xs)\n",
    )
    assert diagnose(append, append.reference).correct


# --- odd things that come back


cyclic: list = []
cyclic.append(cyclic)
ODD = [
    torch.ones(2, 2).to_sparse(),
    torch.ones(2, 2, device="meta"),
    torch.ones(2, 2, dtype=torch.complex64),
    torch.ones(2, 2, dtype=torch.float16),
    torch.nested.nested_tensor([torch.ones(2)], layout=torch.jagged),
    torch.empty(0),
    torch.tensor(3),
    nn.Parameter(torch.ones(2, 2)),
    np.ones((2, 2), dtype=object),
    np.array(["a"]),
    np.float64(1),
    np.datetime64("2020"),
    cyclic,
    {1: cyclic},
    [torch.ones(1), None],
    (1, "a"),
    range(3),
    iter([1]),
    10**400,
    -1j,
    float("nan"),
    "\ud800",
    b"\xff",
    {"a": {1}},
    set(),
    frozenset([1]),
    object(),
    Hostile,
    Hostile(),
    type,
    math,
    lambda: 1,
    memoryview(b"a"),
    Exception("no"),
]


@pytest.mark.slow
@pytest.mark.parametrize(
    "exercise", [*SAMPLES, SCORES, SQUARE, LOSS, LABELS], ids=lambda exercise: exercise.id
)
def test_no_result_is_too_odd_to_be_judged(exercise):
    for value in ODD:
        assert not diagnose(exercise, lambda *_, value=value: value).correct
        assert not diagnose(exercise, value).correct


def test_an_array_is_compared_as_tensors_are():
    arrays = Exercise(
        "91.11",
        goal="g",
        minutes=1,
        cases=[np.arange(4.0), np.arange(6.0) ** 2],
        mistakes=[],
        hints=["a"] * 3,
        starter="def f(x):\n    ...\n",
        solution="import numpy as np\ndef f(x):\n    return np.cumsum(x)\n",
    )
    assert diagnose(arrays, lambda x: np.add.accumulate(x)).correct
    assert diagnose(arrays, lambda x: x.cumsum()[::-1]).name == "backwards"
    assert diagnose(arrays, lambda x: torch.from_numpy(x).cumsum(0)).name == "another type"
