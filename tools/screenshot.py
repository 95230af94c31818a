"""Take docs/jupyterlab.png: lesson 06 open in JupyterLab, all lessons in the list of files.

    python -m tools.screenshot [--out FILE]

Needs Chromium and playwright. The notebooks are shown with the outputs that ship; none is run.
"""

import argparse
import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tools import copies, jupyter
from tools.lessons import ROOT

OUT = ROOT / "docs" / "jupyterlab.png"
WINDOW = {"width": 1360, "height": 960}
LIST_WIDTH = 400  # pixels: names of notebooks are then shown whole
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
OPEN_LAB = """
import os, sys
from pathlib import Path
from tools import jupyter
work, port = Path(sys.argv[1]), int(sys.argv[2])
sys.exit(jupyter.open_lab(Path(sys.executable), os.environ, work, port, browser=False))
"""


@contextlib.contextmanager
def running_lab(work: Path) -> Iterator[str]:
    """JupyterLab on `work`, as start.py opens it; yields its address."""
    port = str(jupyter.choose_port(None))
    process = subprocess.Popen(
        [sys.executable, "-c", OPEN_LAB, str(work), port],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        yield next(found[0] for line in process.stdout if (found := re.search(r"http\S+", line)))
    finally:
        process.terminate()
        process.wait(30)


def show_lesson(page: Any, url: str, notebook: str, text: str) -> None:
    """Open a notebook and scroll until the code cell with `text` ends where the window does."""
    page.goto(re.sub(r"/lab(/tree/[^?]*)?\?", f"/lab/tree/{notebook}?", url))
    page.locator('.jp-Notebook-ExecutionIndicator[data-status="idle"]').wait_for(timeout=60_000)
    handle = page.locator("#jp-main-split-panel > .lm-SplitPanel-handle").first.bounding_box()
    x, y = handle["x"] + handle["width"] / 2, handle["y"] + 300
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(LIST_WIDTH, y, steps=5)
    page.mouse.up()
    panel = page.locator(".jp-WindowedPanel-outer").first
    cell = page.locator(".jp-CodeCell", has_text=text).first
    for _ in range(300):  # JupyterLab draws only the cells in view
        if cell.count():
            break
        panel.evaluate("panel => panel.scrollBy(0, 300)")
        page.wait_for_timeout(100)
    for _ in range(2):  # what is drawn above it while scrolling moves it once more
        cell.evaluate("cell => cell.scrollIntoView({block: 'end'})")
        page.wait_for_timeout(2000)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tools.screenshot", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--out", type=Path, default=OUT, metavar="FILE", help="docs/jupyterlab.png")
    options = parser.parse_args(arguments)
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        print("There is no Chromium here: install it first.", file=sys.stderr)
        return 1
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        work = Path(folder) / "work"
        copied = copies.update(work, ROOT / "notebooks")
        jupyter.trust(copied, Path(sys.executable), os.environ, work)
        with running_lab(work) as url:
            window = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
            page = window.new_page(viewport=WINDOW)
            show_lesson(page, url, "06_gpt_causal_lm.ipynb", "LiveCurve(")
            page.screenshot(path=options.out)
            window.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
