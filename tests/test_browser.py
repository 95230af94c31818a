"""A lesson as a learner meets it: JupyterLab started by start.py, a lesson opened and run there."""

import contextlib
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import nbformat
import pytest

from tools.kernels import scratch_folder
from tools.lessons import ROOT, all_lessons

CHROMIUM = next(
    filter(None, map(shutil.which, ["chromium", "chromium-browser", "google-chrome"])), None
)
LAUNCH = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
]
SCREENSHOTS = ROOT / "build" / "browser"
START_SECONDS, RUN_SECONDS = 120, 420

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        CHROMIUM is None, reason="there is no Chromium here, so no lesson was opened in a browser"
    ),
]


@dataclass
class Lab:
    """A running JupyterLab and the folder it shows."""

    url: str
    work: Path


def free_port() -> int:
    with socket.socket() as any_socket:
        any_socket.bind(("127.0.0.1", 0))
        return any_socket.getsockname()[1]


def address(log: Path, process: subprocess.Popen) -> str:
    """The address that the server prints, once it answers there."""
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        if found := re.search(
            r"http://(?:127\.0\.0\.1|localhost):\d+/lab\S*", log.read_text(errors="replace")
        ):
            with contextlib.suppress(OSError):
                parts = urlsplit(found[0])
                socket.create_connection((parts.hostname, parts.port), timeout=1).close()
                return found[0]
        time.sleep(0.2)
    end_of_log = log.read_text(errors="replace")[-2000:]
    pytest.fail(f"JupyterLab did not start within {START_SECONDS} s:\n{end_of_log}")


@pytest.fixture(scope="module")
def lab():
    """JupyterLab as start.py opens it, on a work folder of its own and with training cut down."""
    with scratch_folder() as folder:
        own = {
            "FMCOURSE_WORK": str(folder / "work"),
            "FMCOURSE_PROGRESS": str(folder / "progress.json"),
            "FMCOURSE_SHORT": "1",
        }
        command = [
            sys.executable,
            str(ROOT / "start.py"),
            "--no-browser",
            "--port",
            str(free_port()),
        ]
        with open(folder / "log", "w") as log:
            process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=os.environ | own,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            yield Lab(address(folder / "log", process), folder / "work")
        finally:
            stop(process)


def stop(process: subprocess.Popen) -> None:
    """End the server and the kernels it started, which share its process group."""
    if hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, 15)
    process.terminate()
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        process.kill()


@pytest.fixture
def page():
    sync_api = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed, so no browser was driven"
    )
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=LAUNCH)
        page = browser.new_page(viewport={"width": 1400, "height": 1000})
        page.requested = []
        page.on("request", lambda request: page.requested.append(request.url))
        page.on("websocket", lambda websocket: page.requested.append(websocket.url))
        yield page
        browser.close()


def screenshot(page, name: str) -> None:
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}.png")


def open_notebook(page, lab: Lab, name: str) -> None:
    parts = urlsplit(lab.url)
    token = f"?{parts.query}" if parts.query else ""
    page.goto(
        f"{parts.scheme}://{parts.netloc}/lab/workspaces/{name.partition('_')[0]}/tree/{name}{token}"
    )  # no tab of another test
    page.locator(".jp-Notebook .jp-Cell").first.wait_for(timeout=60_000)
    page.locator('.jp-Notebook-ExecutionIndicator[data-status="idle"]').wait_for(timeout=60_000)


def choose(page, menu: str, item: str) -> None:
    page.get_by_role("menuitem", name=menu, exact=True).click()
    page.get_by_role("menuitem", name=item, exact=True).click()


def run_all(page, path: Path) -> nbformat.NotebookNode:
    """Clear what was stored, run all cells, and return what is saved when each has run."""
    choose(page, "Edit", "Clear Outputs of All Cells")
    choose(page, "Run", "Run All Cells")
    for _ in range(RUN_SECONDS):
        page.wait_for_timeout(1000)
        page.keyboard.press("Control+s")
        page.wait_for_timeout(500)
        saved = nbformat.read(path, as_version=4)
        idle = page.locator('.jp-Notebook-ExecutionIndicator[data-status="idle"]').count()
        if idle and all(cell.execution_count for cell in saved.cells if cell.cell_type == "code"):
            return saved
        if any(
            output.output_type == "error"
            for cell in saved.cells
            for output in cell.get("outputs", [])
        ):
            return saved
    pytest.fail(f"{path.name} was still running after {RUN_SECONDS} s")


def scroll_to(page, selector: str):
    """JupyterLab draws only the cells in view: scroll down from the top until one matches."""
    panel = page.locator(".jp-WindowedPanel-outer").first
    panel.evaluate("panel => panel.scrollTo(0, 0)")
    for _ in range(300):
        if page.locator(selector).count():
            page.locator(selector).first.scroll_into_view_if_needed()
            return page.locator(selector).first
        at = panel.evaluate("panel => [panel.scrollTop, panel.scrollBy(0, 400)][0]")
        page.wait_for_timeout(150)
        if panel.evaluate("panel => panel.scrollTop") == at and at > 0:
            break
    pytest.fail(f"nothing on the page matches {selector}")


def sources(cell) -> list[str]:
    return cell.locator("img").evaluate_all("images => images.map(image => image.src)")


def move_slider(page) -> tuple[list[str], list[str]]:
    """The images of the first cell with a slider, before and after one step to the right."""
    handle = scroll_to(page, ".jp-OutputArea .noUi-handle")
    cell = page.locator(".jp-CodeCell", has=page.locator(".noUi-handle")).first
    cell.locator("img").first.wait_for()
    before = sources(cell)
    handle.focus()
    page.keyboard.press("ArrowRight")
    for _ in range(100):
        if (after := sources(cell)) != before and after:
            return before, after
        page.wait_for_timeout(200)
    return before, sources(cell)


def outside_urls(urls: list[str]) -> list[str]:
    """Those that leave this machine."""
    return [url for url in urls if urlsplit(url).hostname not in ("127.0.0.1", "localhost", None)]


def chosen_lessons() -> list[str]:
    """Lesson 06, or those that FMCOURSE_BROWSER names."""
    wanted = os.environ.get("FMCOURSE_BROWSER", "06").split(",")
    return [lesson.notebook.name for lesson in all_lessons() if lesson.number in wanted]


@pytest.mark.parametrize("name", chosen_lessons())
def test_a_lesson_opens_quietly_runs_and_its_slider_changes_the_image(lab, page, name):
    number = name.partition("_")[0]
    open_notebook(page, lab, name)
    page.wait_for_timeout(4000)  # JupyterLab shows news and questions late
    screenshot(page, f"{number}-opened")
    assert page.locator(".jp-Dialog").count() == 0
    assert page.locator(".Toastify__toast, .jp-toast").count() == 0
    assert "Python 3 (ipykernel)" in page.locator(".jp-NotebookPanel-toolbar").inner_text()

    saved = run_all(page, lab.work / name)
    screenshot(page, f"{number}-ran")
    errors = [
        output
        for cell in saved.cells
        for output in cell.get("outputs", [])
        if output.output_type == "error"
    ]
    assert errors == []

    alt = scroll_to(page, '.jp-OutputArea img[alt]:not([alt=""])').get_attribute("alt")
    assert len(alt.split()) > 3

    before, after = move_slider(page)
    screenshot(page, f"{number}-moved")
    assert before and after and before != after
    assert page.locator(".jp-Dialog").count() == 0
    assert page.requested and outside_urls(page.requested) == []


WRONG = 'check("00.1", lambda text, letter: text.count(letter))'
RIGHT = """from collections import Counter
def most_likely_next(text, letter):
    following = Counter(b for a, b in zip(text, text[1:]) if a == letter)
    return following.most_common(1)[0][0]
check("00.1", most_likely_next)"""


def answer(page, cell, source: str) -> str:
    """Replace the source of a cell, run it, and return the verdict that is shown."""
    cell.locator(".cm-content").click()
    page.keyboard.press("Control+a")
    page.keyboard.insert_text(f"from fmcourse.course import check\n{source};")
    page.keyboard.press("Control+Enter")
    sign = cell.locator(".jp-OutputArea strong").first
    sign.wait_for(timeout=60_000)
    return sign.inner_text()


def test_a_newcomer_answers_wrongly_then_rightly_and_hears_which(lab, page):
    open_notebook(page, lab, "00_welcome.ipynb")
    scroll_to(page, '.jp-CodeCell:has-text("def most_likely_next")')
    cell = page.locator(".jp-CodeCell", has_text="def most_likely_next").first
    cell.scroll_into_view_if_needed()
    cell = page.locator(
        f'[data-windowed-list-index="{cell.get_attribute("data-windowed-list-index")}"]'
    )
    choose(page, "Edit", "Clear Outputs of All Cells")
    assert "not yet" in answer(page, cell, WRONG)
    screenshot(page, "00-wrong")
    choose(page, "Edit", "Clear Outputs of All Cells")
    assert "right" in answer(page, cell, RIGHT)
    screenshot(page, "00-right")
