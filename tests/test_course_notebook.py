"""In a real kernel: outputs appear once, are the same under nbval, and can be read without one."""

import re
import subprocess
import sys

import nbformat
import pytest
from nbconvert import HTMLExporter
from nbformat.v4 import new_code_cell, new_notebook

from fmcourse.plots.base import LIVE_VIEW
from tools import kernels
from tools.build import strip_volatile
from tools.replay import SANITIZE, environment

pytestmark = pytest.mark.slow  # kernels are started

SAMPLE = """from fmcourse.course.exercise import Exercise, Mistake
twice = Exercise("93.1", goal="say it twice", minutes=1, cases=[1, 2], explanation="Again.",
    starter="def double(x):\\n    ...\\n", solution="def double(x):\\n    return x + x\\n",
    hints=["first", "second", "third"], seconds=0.3,
    mistakes=[Mistake("thrice", lambda x: 3 * x, "1 becomes 3. How often is it said?")])"""
ALT = "A line that climbs from the left to the right."
CELLS = {
    "begin": "import time, torch, matplotlib.pyplot as plt\n"
    "from fmcourse import plots\nfrom fmcourse.plots import widgets\n"
    "from fmcourse.course import check, claim, hint, predict, progress, quiz, resolve\n"
    "from fmcourse.course import show, solution",
    "sample": SAMPLE,
    "predict": 'predict("93.p", "Up or `down`?", ["up", "down"])',
    "resolve": 'resolve("93.p", "up", "It goes up.")',
    "claim": 'claim("time passes", True, steps=3, at=time.time())',
    "blank": "def double(x):\n    ...\n\ndouble = check(twice, double)\nprint(double(2))",
    "wrong": "double = check(twice, lambda x: 3 * x)",
    "loop": 'def forever(x):\n    while True:\n        print("again")\n\n'
    "double = check(twice, forever)",
    "right": "double = check(twice, lambda x: 2 * x)",
    "hint": "hint(twice)",
    "solution": "solution(twice)",
    "quiz": 'quiz("93.q", "Which?", {"this": "It is near.", "that": "It is far."}, answer="this")',
    "figure": f'fig, ax = plt.subplots()\nax.plot(torch.rand(9))\nshow(fig, alt="{ALT}")',
    "slider": "def draw(slope=2.0):\n"
    "    fig, ax = plt.subplots()\n    ax.plot([0, slope])\n    return fig\n\n"
    f'widgets.interactive(draw, alt="{ALT}", slope=(0.0, 9.0, 0.5))',
    "text": "widgets.text_interactive("
    'lambda text: widgets.colour_tokens(text.split()), value="to be", '
    'alt="Each word in a box of its own.")',
    "live": f'with plots.LiveCurve(alt="{ALT}", every_seconds=0) as curve:\n'
    "    for step in range(20):\n        curve(step, time.time() % 7)\n        time.sleep(0.02)",
    "watched": "import os\nos.environ['FMCOURSE_STRICT'] = '0'\n"
    f'with plots.LiveCurve(alt="{ALT}", every_seconds=0) as curve:\n'
    "    for step in range(20):\n        curve(step, time.time() % 7)\n        time.sleep(0.1)",
    "progress": "progress()",
}


@pytest.fixture(scope="module")
def executed_notebook():
    notebook = new_notebook(cells=[new_code_cell(source) for source in CELLS.values()])
    notebook.metadata["kernelspec"] = {
        "display_name": "Python 3",
        "language": "python",
        "name": "python3",
    }
    kernels.run_notebook(notebook, "a lesson")
    return notebook


def outputs(notebook, name):
    return notebook.cells[list(CELLS).index(name)].outputs


def test_every_cell_leaves_one_output_and_no_figure_comes_twice(executed_notebook):
    counts = {name: len(outputs(executed_notebook, name)) for name in CELLS}
    assert {name for name, count in counts.items() if count == 0} == {"begin", "sample"}
    assert {name for name, count in counts.items() if count > 1} == {
        "blank"
    }  # the verdict, and what is printed
    assert not any(
        output.output_type in ("error", "execute_result")
        for c in executed_notebook.cells
        for output in c.outputs
    )


def test_the_plain_text_says_what_happened(executed_notebook):
    def text(name):
        return outputs(executed_notebook, name)[0].data["text/plain"]

    assert (
        text("blank")
        == "○ 93.1 is blank so far.\n    Until then the course's `double` stands in below."
    )
    assert outputs(executed_notebook, "blank")[1].text == "4\n"
    assert text("wrong").splitlines()[:2] == [
        "✗ 93.1 not yet: thrice.",
        "    1 becomes 3. How often is it said?",
    ]
    assert "✗ 93.1 not yet: too slow." in text("loop") and "✓ 93.1 right" in text("right")
    assert re.fullmatch(
        r"✓ time passes\n    steps 3\n    ≈ at \S+\n", outputs(executed_notebook, "claim")[0].text
    )


@pytest.mark.parametrize("name", ["figure", "slider", "live", "watched"])
def test_a_picture_has_its_alt_text_in_every_form(executed_notebook, name):
    [output] = outputs(executed_notebook, name)
    assert output.data["text/plain"] == ALT and f'<img alt="{ALT}"' in output.data["text/html"]
    assert output.data["image/png"] and output.metadata["image/png"] == {"alt": ALT}


@pytest.mark.parametrize("name", ["slider", "text", "predict", "quiz"])
def test_what_is_live_is_one_bundle_with_its_still_form(executed_notebook, name):
    [output] = outputs(executed_notebook, name)
    assert {LIVE_VIEW, "text/html", "text/plain"} <= set(output.data)


@pytest.mark.parametrize("keep", [True, False], ids=["as run", "as stored"])
def test_run_again_it_says_the_same(executed_notebook, tmp_path, keep):
    notebook = executed_notebook if keep else strip_volatile(executed_notebook)
    assert (LIVE_VIEW in outputs(notebook, "slider")[0].data) == keep
    done = nbval(notebook, tmp_path)
    assert done.returncode == 0, done.stdout[-3000:]
    assert f"{len(CELLS)} passed" in done.stdout


def test_a_changed_verdict_or_alt_text_is_noticed(executed_notebook, tmp_path):
    notebook = strip_volatile(executed_notebook)
    outputs(notebook, "right")[0].data["text/plain"] += "!"
    picture = outputs(notebook, "figure")[0].data
    picture["text/html"] = picture["text/html"].replace("climbs", "falls")
    done = nbval(notebook, tmp_path)
    assert done.returncode == 1 and f"2 failed, {len(CELLS) - 2} passed" in done.stdout


def nbval(notebook, folder):
    nbformat.write(notebook, folder / "lesson.ipynb")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "lesson.ipynb",
        "--nbval",
        "--nbval-current-env",
        "-q",
        "--color=no",
        "-p",
        "no:cacheprovider",
        "--rootdir",
        str(folder),
        f"--nbval-sanitize-with={SANITIZE}",
        "--nbval-cell-timeout=60",
    ]
    return subprocess.run(
        command, cwd=folder, env=environment(folder), capture_output=True, text=True
    )


def test_an_exported_page_shows_pictures_questions_and_answers(executed_notebook):
    page, _ = HTMLExporter().from_notebook_node(strip_volatile(executed_notebook))
    assert page.count(f'<img alt="{ALT}"') == 4
    assert "slope: 2.0</figcaption>" in page and "It is far." in page and "It goes up." in page
    assert page.count("jupyter-widgets-view") == 0
