"""What the notebook showed is what is graded, however the answer came about."""

import json
from collections.abc import Callable

import pytest

from fmcourse.classroom import library, task
from fmcourse.classroom.grade import Grader
from fmcourse.classroom.jail import Jail
from fmcourse.classroom.results import ExerciseResult
from fmcourse.classroom.slicing import find_answers
from fmcourse.classroom.submissions import Submission, read_file

EXERCISES = """
from fmcourse.classroom.exercise_kinds import AssignedExercise

add = AssignedExercise(
    "00.A1", goal="add", minutes=1, text="...", points=10, mistakes=[],
    cases=[(1, 2), (3, 4)], hidden=[(5, 7), (10, 20), (100, 200)],
    starter="def add(a, b):\\n    ...\\n", solution="def add(a, b):\\n    return a + b\\n",
)
"""
MANIFEST = {"name": "week1", "exercises": [{"id": "00.A1", "points": 10}], "variants": None}
IMPORTS = "import torch\nfrom fmcourse.classroom import points, variant\n"
ADD, WRONG = "def add(a, b):\n    return a + b\n", "def add(a, b):\n    return a - b\n"
WITH_K = "def add(a, b):\n    return a + b + k\n"
POINTS = 'from fmcourse.classroom import points\n\npoints("00.A1", add, of=10)'


class NoJail:
    """Runs answers in this process: those of these tests may be."""

    limits: dict[str, int] = {}

    def run(self, given: dict, seconds: float) -> dict:
        return json.loads(json.dumps(task.run_answer(json.loads(json.dumps(given)))))


@pytest.fixture
def grader(tmp_path, monkeypatch) -> Grader:
    (tmp_path / "office" / "00").mkdir(parents=True)
    (tmp_path / "office" / "00" / "exercises.py").write_text(EXERCISES)
    (tmp_path / "scratch").mkdir()
    monkeypatch.setenv(library.FOLDER_VARIABLE, str(tmp_path / "office"))
    monkeypatch.chdir(tmp_path / "scratch")
    return Grader(MANIFEST, NoJail(), NoJail())


def submission(cells: tuple[str, ...], grader: Grader, **kinds: str) -> Submission:
    """A notebook's cells, as they are read; `markdown=...` is one more cell."""
    every = [{"cell_type": "code", "source": cell} for cell in cells]
    every += [{"cell_type": kind, "source": source} for kind, source in kinds.items()]
    made = read_file("ann", "week1.ipynb", json.dumps({"cells": every}).encode())
    made.answers = find_answers(made.cells, grader.exercises.values(), made.texts)
    return made


def graded(grader: Grader, *cells: str, **kinds: str) -> ExerciseResult:
    made = submission((IMPORTS, *cells), grader, **kinds)
    return grader.grade(made).exercises["00.A1"]


RIGHT = {
    # a name of Python's own, bound later for something else
    "sum bound later": ("def add(a, b):\n    return sum([a, b])", POINTS, "sum = 0\nmax = 0"),
    "max counted with later": (
        "def add(a, b):\n    return plus(a, b)\ndef plus(a, b):\n    return max(a + b, 0)",
        POINTS,
        "for max in range(3): pass",
    ),
    # what is set after the definition
    "an attribute": ("def add(a, b):\n    return a + b + add.k", "add.k = 0", POINTS),
    "an attribute by its name": (
        "def add(a, b):\n    return a + b + add.k",
        "setattr(add, 'k', 0)",
        POINTS,
    ),
    "a class's attribute": ("class C: pass\n", WITH_K.replace("k", "C.k"), "C.k = 0", POINTS),
    "a module's attribute": ("import math\nmath.k = 0", WITH_K.replace("k", "math.k"), POINTS),
    "a table": (
        "T = {}\ndef add(a, b):\n    return a + T[b]",
        "for i in range(300): T[i] = i",
        POINTS,
    ),
    "a counter": ("k = 5", WITH_K, "k = 1", "k -= 1", POINTS, "k = 7"),
    "a list under two names": (
        "one = [1]\nother = one\nother[0] = 0",
        WITH_K.replace("k", "one[0]"),
        POINTS,
    ),
    "what a function changes": (
        "w = [5]\ndef train():\n    w[0] = 0\ntrain()",
        WITH_K.replace("k", "w[0]"),
        POINTS,
    ),
    # top-level await
    "await": (
        "import asyncio\nasync def fetch():\n    await asyncio.sleep(0)\n    return 0",
        "k = await fetch()",
        WITH_K,
        POINTS,
    ),
    "async for": (
        "async def count():\n    yield 0",
        "T = []\nasync for n in count():\n    T.append(n)",
        WITH_K.replace("k", "T[0]"),
        POINTS,
    ),
    "a task awaited later": (
        "import asyncio\nasync def fetch():\n    return 0\ntask = asyncio.create_task(fetch())",
        "k = await task",
        WITH_K,
        POINTS,
    ),
    # names that stand nowhere as such
    "exec": (f"exec({ADD!r})", POINTS),
    "exec above the starter's cell": ("def add(a, b):\n    ...", f"exec({ADD!r})", POINTS),
    "globals": ("globals()['add'] = lambda a, b: a + b", POINTS),
    "run_cell": (f"get_ipython().run_cell({ADD!r})", POINTS),
    # files that another cell has written
    "%run": (f"%%writefile mine_1.py\n{ADD}", "%run mine_1.py", POINTS),
    "%run with arguments": (
        "%%writefile mine_7.py\nimport sys\nk = int(sys.argv[1])\n",
        "%run mine_7.py 0",
        WITH_K,
        POINTS,
    ),
    "%run -i": ("k = 0", f"%%writefile mine_2.py\n{WITH_K}", "%run -i mine_2", POINTS),
    "%%writefile -a": (
        "%%writefile mine_3.py\nk = 0\n",
        f"%%writefile -a mine_3.py\n{WITH_K}",
        "from mine_3 import add",
        POINTS,
    ),
    "import": (
        f"%%writefile mine_4.py\n{ADD}",
        "import mine_4\ndef add(a, b):\n    return mine_4.add(a, b)",
        POINTS,
    ),
    "import *": (f"%%writefile mine_5.py\n{ADD}", "from mine_5 import *", POINTS),
    "import of what `open` wrote": (
        f"with open('mine_6.py', 'w') as file:\n    file.write({ADD!r})",
        "from mine_6 import add",
        POINTS,
    ),
    "a file read again": (
        "from pathlib import Path\nPath('k').write_text('0')",
        WITH_K.replace("k", "int(Path('k').read_text())"),
        POINTS,
    ),
    "torch.save": (
        "torch.save({'k': 0}, 'k.pt')",
        WITH_K.replace("k", "torch.load('k.pt')['k']"),
        POINTS,
    ),
    "a pickled class": (
        "import pickle\nclass K:\n    k = 0",
        "one = pickle.loads(pickle.dumps(K()))",
        WITH_K.replace("k", "one.k"),
        POINTS,
    ),
    # what a notebook keeps of its cells
    "%%capture name": (
        "%%capture out\nprint(0)",
        WITH_K.replace("k", "int(out.stdout)"),
        POINTS,
    ),
    "%%capture with an option, and an error": (
        "%%capture --no-stderr out\nprint(0)\n1/0",
        "print(5)",
        WITH_K.replace("k", "int(str(out))"),
        POINTS,
    ),
    "_": ("2 - 2", "k = _", WITH_K, POINTS),
    "_ of a cell before another's": ("2 - 2", "print(5)", "k = _", WITH_K, POINTS),
    "_ of one's own": ("_ = 0", "3 + 4", "k = _", WITH_K, POINTS),
    "_3": ("x = 5", "2 - 2", "3 + 4", WITH_K.replace("k", "_3"), POINTS),
    "Out": ("x = 5", "2 - 2", "3 + 4;", WITH_K.replace("k", "Out[3]"), POINTS),
    "In": ("x = 5", "2 - 2", WITH_K.replace("k", "eval(In[3])"), POINTS),
    # below the points
    "another try below": (ADD, POINTS, WRONG),
    "a try with its own points below": (ADD, POINTS, WRONG, POINTS),
    "a value of that name below": (ADD, POINTS, "add = 3"),
    "points kept": (ADD, "score = points('00.A1', add, of=10)", WRONG),
    "points by keywords": (ADD, "points(exercise_id='00.A1', candidate=add, of=10)", WRONG),
    "points printed": (ADD, "print(points('00.A1', add, of=10))", WRONG),
    # cells that end early cost themselves alone, in this form too
    "an error elsewhere": ("1/0", "raise SystemExit", "exit()", f"exec({ADD!r})", POINTS),
    "a syntax error elsewhere": ("x = = 1", "return 3", f"exec({ADD!r})", POINTS),
    "an error ends its cell": (ADD, "1/0\nadd = 3", POINTS),
    # and as before
    "moved": (POINTS, ADD),
    "no points": (WRONG, ADD),
}


@pytest.mark.parametrize("name", RIGHT)
def test_a_right_answer_keeps_its_points(grader, name):
    found = graded(grader, *RIGHT[name])
    assert (found.points, found.verdict) == (10, "right"), found.sentences


@pytest.mark.parametrize(
    "cells",
    [
        (WRONG, POINTS),
        (WRONG, POINTS, WRONG),
        (WRONG, POINTS, "def add(a, b):\n    return 0"),
        ("k = 0", WITH_K, "k = 1", POINTS, POINTS),
        (f"exec({WRONG!r})", POINTS),
        ("sum = 0", "def add(a, b):\n    return sum([a, b])", POINTS),
    ],
)
def test_a_wrong_answer_gains_nothing(grader, cells):
    assert graded(grader, *cells).points == 0


@pytest.mark.parametrize(
    ("cells", "verdict"),
    [
        (("def add(a, b):\n    ...", POINTS), "blank"),
        (("def add(a, b):\n    ...", "exec('k = 3')", POINTS), "blank"),
        (("exec('k = 3')", POINTS), "not found"),
    ],
)
def test_what_is_missing_stays_missing(grader, cells, verdict):
    found = graded(grader, *cells)
    assert (found.points, found.verdict, found.answered) == (0, verdict, False)


def test_a_loop_without_end_costs_its_own_cell(grader, monkeypatch):
    monkeypatch.setattr(task, "CELL_SECONDS", 0.2)
    assert graded(grader, "while True: pass", f"exec({ADD!r})", POINTS).points == 10
    monkeypatch.setattr(task, "WHOLE_SECONDS", 0.3)
    cells = ("while True: pass", "while True: pass", f"exec({ADD!r})", POINTS)
    assert graded(grader, *cells).verdict == "not found"


def count_runs(grader: Grader, monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    seen, run = [], grader.jail.run
    grader.hidden_jail = grader.jail
    monkeypatch.setattr(grader.jail, "run", lambda *given: seen.append(given) or run(*given))
    return lambda: len(seen)


@pytest.mark.parametrize(
    ("cells", "n_runs"),
    [
        ((ADD, "print(add(1, 2))", POINTS), 2),  # right at once: the public and the hidden cases
        ((WRONG, POINTS), 2),  # nothing was left out, so nothing else can come of it
        ((WRONG, "print(add(1, 2))", POINTS), 4),
        (("def add(a, b):\n    ...", POINTS), 0),
    ],
)
def test_the_whole_notebook_is_run_only_where_it_may_matter(grader, monkeypatch, cells, n_runs):
    runs = count_runs(grader, monkeypatch)
    graded(grader, *cells)
    assert runs() == n_runs


IN_PROCESSES = {
    "a pool": (
        "from multiprocessing import Pool\ndef zero(n):\n    return 0",
        "with Pool(8) as pool:\n    k = pool.map(zero, range(4))[0]",
        WITH_K,
        POINTS,
    ),
    "a pool in the answer": (
        "from concurrent.futures import ProcessPoolExecutor\ndef plus(a, b):\n    return a + b",
        "def add(a, b):\n    with ProcessPoolExecutor(2) as pool:\n"
        "        return pool.submit(plus, a, b).result()",
        POINTS,
    ),
    "workers that load data": (
        "from torch.utils.data import DataLoader",
        "k = sum(DataLoader([0, 0], num_workers=2)).item()",
        WITH_K,
        POINTS,
    ),
    "a weight that was trained": (
        "w = torch.nn.Parameter(torch.tensor(5.0))\noptimizer = torch.optim.SGD([w], lr=1.0)",
        "loss = w * 5.0",
        "loss.backward()\noptimizer.step()",
        WITH_K.replace("k", "int(w.item())"),
        POINTS,
    ),
}


@pytest.mark.slow
def test_in_the_jail_too(grader):
    with Jail() as jail:
        grader.jail = grader.hidden_jail = jail
        found = {name: graded(grader, *cells) for name, cells in IN_PROCESSES.items()}
    assert {name: one.sentences for name, one in found.items() if one.points != 10} == {}
