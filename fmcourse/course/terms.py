"""`term`: the sentence in which a lesson defines one of the field's words."""

import difflib
import json
from functools import cache

from fmcourse.files import lessons_folder

GLOSSARY = "glossary.json"  # in the lessons' folder; `python -m tools.docs` makes it


@cache
def glossary() -> dict[str, list[dict[str, str]]]:
    """Term -> where it is defined: lesson, section and the sentence, in the lessons' order.

    Raises: ValueError if these lessons have no glossary.
    """
    path = lessons_folder() / GLOSSARY
    if not path.is_file():
        raise ValueError(f"{path} is missing; make it with `python -m tools.docs`.")
    return json.loads(path.read_text(encoding="utf-8"))


def find_term(name: str) -> str:
    """The glossary's spelling of a term: without regard to capitals and a plural s.

    Raises: ValueError with the nearest terms, if there is none.
    """
    known = {normal_form(there): there for there in glossary()}
    if found := known.get(normal_form(name)):
        return found
    near = difflib.get_close_matches(normal_form(name), known, n=3, cutoff=0.6)
    near += [there for there in known if normal_form(name) in there and there not in near][:3]
    offer = f"did you mean {' or '.join(repr(known[one]) for one in near)}?" if near else ""
    raise ValueError(f"no lesson defines {name!r}; {offer or 'docs/glossary.md lists all terms.'}")


def normal_form(name: str) -> str:
    """A term as it is compared: small letters, no plural s, no signs between words."""
    words = name.lower().replace("-", " ").split()
    if words and len(words[-1]) > 3 and words[-1].endswith("s") and not words[-1].endswith("ss"):
        words[-1] = words[-1][:-1]
    return " ".join(words)


def term(name: str) -> None:
    """Show what a term means, and where in the course it is defined.

    Raises: ValueError with the nearest terms, if no lesson defines it.
    """
    # Late: it imports torch, which the tools that read lessons' terms do not need.
    from fmcourse.course.showing import show_card

    found = find_term(name)
    places = [
        f"{one['sentence']} (lesson {one['lesson']}, {one['section']})" for one in glossary()[found]
    ]
    show_card("open", found, places[:2])  # where it is built, and where it is met again
