"""The smallest ordinary input on which a wrong program differs from the right one, by hypothesis.

    python -m tools.counterexamples 07b.3    # mutants that pass its check, each with an input

Cases are written by hand and forget what nobody thought of: an `I-` after an `O`, a text with a
comma, a question without an answer. Here a strategy says which inputs an exercise allows. What is
found belongs among the cases.
"""

import argparse
import sys
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Any

import torch
from hypothesis import HealthCheck, Phase, assume, find, settings
from hypothesis import strategies as st
from hypothesis.errors import NoSuchExample

from fmcourse.course.exercise import Exercise
from fmcourse.course.library import find_exercise
from fmcourse.course.running import run_case
from fmcourse.course.verdict import AnswerKey, diagnose
from tools.mutants import BRIEF_SECONDS, SECONDS, differs, has_nan, memory_limit
from tools.mutations import mutations

TRIES = 400  # inputs for each program
SEARCH = settings(
    max_examples=TRIES,
    database=None,
    derandomize=True,
    deadline=None,
    phases=[Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)

# -- what each exercise allows --------------------------------------------------------------------

EXACT = st.integers(0, 40).map(lambda n: n / 8)  # so that what looks equal is equal


def texts(letters: str, *, least: int = 0, most: int = 12) -> st.SearchStrategy[str]:
    return st.text(st.sampled_from(letters), min_size=least, max_size=most)


LINES = texts("aAb ,.\t\né", most=6)


@st.composite
def text_and_letter(draw: st.DrawFn) -> tuple[str, str]:
    """A text, and a letter before its end of which one follower is the commonest."""
    text = draw(texts("ab T,\n", least=2))
    letter = draw(st.sampled_from(text[:-1]))
    after = Counter(b for a, b in pairwise(text) if a == letter).most_common(2)
    assume(len(after) < 2 or after[0][1] > after[1][1])
    return text, letter


@st.composite
def words_and_times(draw: st.DrawFn) -> tuple[list[list[bytes]], list[int]]:
    words = draw(st.lists(tokens("ab", least=1, most=5), max_size=4, unique_by=tuple))
    return words, [draw(st.integers(1, 5)) for _ in words]


def tokens(letters: str, *, least: int = 0, most: int = 8) -> st.SearchStrategy[list[bytes]]:
    one = st.sampled_from([letter.encode() for letter in letters] + [letters[:2].encode()])
    return st.lists(one, min_size=least, max_size=most)


@st.composite
def words_and_spans(draw: st.DrawFn) -> tuple[list[str], list[tuple[int, int]]]:
    """Words, and spans of them that do not overlap and may touch."""
    words = [chr(97 + i) for i in range(draw(st.integers(0, 9)))]
    cuts = sorted(draw(st.sets(st.integers(0, len(words)), max_size=6)))
    pairs = zip(cuts, cuts[1:], strict=False)
    return words, [pair for i, pair in enumerate(pairs) if i % 2 == 0 or draw(st.booleans())]


@st.composite
def prefixes(draw: st.DrawFn) -> tuple[int, int]:
    length = draw(st.integers(1, 7))
    return length, draw(st.integers(0, length))


@st.composite
def ranked_answers(draw: st.DrawFn) -> tuple[torch.Tensor, torch.Tensor, int]:
    """Scores without ties, right answers (in some rows none), k."""
    rows, columns = draw(st.integers(1, 4)), draw(st.integers(1, 5))
    cells = rows * columns
    scores = torch.tensor(draw(st.permutations(range(cells)))).view(rows, columns) / 8 - 1
    right = draw(st.lists(st.booleans(), min_size=cells, max_size=cells))
    return scores, torch.tensor(right).view(rows, columns), draw(st.integers(1, columns))


@st.composite
def labels_and_number(draw: st.DrawFn) -> tuple[list[str], int]:
    labels = draw(st.lists(st.sampled_from("cab"), min_size=1, max_size=8))
    return labels, draw(st.integers(0, len(labels)))


@st.composite
def right_and_wrong(draw: st.DrawFn) -> tuple[list[bool], list[bool]]:
    pairs = draw(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=12))
    return [a for a, _ in pairs], [b for _, b in pairs]


@st.composite
def given_and_wanted(draw: st.DrawFn) -> tuple[torch.Tensor, torch.Tensor, int]:
    kinds = draw(st.integers(1, 4))
    kind = st.integers(0, kinds - 1)
    pairs = draw(st.lists(st.tuples(kind, kind), min_size=1, max_size=8))
    given, wanted = torch.tensor(pairs).T
    return given.contiguous(), wanted.contiguous(), kinds


@st.composite
def begun_choices(draw: st.DrawFn) -> tuple[list[int], list[list[int]], int, int]:
    """Choices of tokens 1 to 3, and the beginning of one of them."""
    one = st.lists(st.integers(1, 3), min_size=1, max_size=4)
    choices = draw(st.lists(one, min_size=1, max_size=4, unique_by=tuple))
    begun = draw(st.sampled_from(choices))
    return begun[: draw(st.integers(0, len(begun)))], choices, 0, 4


@st.composite
def train_and_test(draw: st.DrawFn) -> tuple[list[str], list[str]]:
    """Lines, and others of which some are nearly or quite the same."""
    train = draw(st.lists(LINES, max_size=3))
    test = []
    for _ in range(draw(st.integers(0, 3))):
        line = draw(st.sampled_from(train) | LINES) if train else draw(LINES)
        how = st.sampled_from([str, str, str.swapcase, lambda one: "", lambda one: one + one])
        gap = st.sampled_from([" ", "  ", "\t", "\n", ""])
        test.append("".join(draw(gap) if one.isspace() else draw(how)(one) for one in line))
    return train, test


@st.composite
def drawn_answers(draw: st.DrawFn) -> tuple[int, int, int]:
    n = draw(st.integers(1, 12))
    return n, draw(st.integers(0, n)), draw(st.integers(1, n))


@st.composite
def answers_to_check(draw: st.DrawFn) -> tuple[str, int]:
    """Texts made of what a final answer may and may not hold, and a number."""
    part = st.sampled_from(["Answer:", "4", "2", "0", "-", ".", " ", "\n", "or"])
    before, final = draw(st.lists(part, max_size=4)), draw(st.lists(part, max_size=5))
    return "".join([*before, "Answer:", *final]), draw(st.sampled_from([0, 2, 4, -4, 42]))


EIGHTHS = st.integers(0, 10**6).map(lambda n: n / 8)
TAGS = st.sampled_from(["O", "B-X", "I-X", "B-Y", "I-Y"])
INPUTS: dict[str, st.SearchStrategy[Any]] = {
    "00.1": text_and_letter(),
    "00.2": st.tuples(texts("abc ", least=1), st.integers(1, 5)),
    "01.2": st.tuples(
        st.lists(st.sampled_from("abc"), max_size=6),
        st.sampled_from("abcd"),
        st.integers(0, 8).map(lambda n: n / 8),
    ),
    "01.4": st.tuples(*[st.integers(1, 300)] * 3, st.integers(1, 20)),
    "03.2": words_and_spans(),
    "03.4": prefixes(),
    "04.1": words_and_times(),
    "04.2": st.tuples(tokens("ab"), st.tuples(*[st.sampled_from([b"a", b"b", b"ab"])] * 2)),
    "04.3": st.tuples(
        texts("abé", most=6),
        st.lists(st.tuples(*[st.sampled_from([b"a", b"b", b"ab", b"ba"])] * 2), max_size=4),
    ),
    "04.4": st.tuples(texts("ab é茶"), st.lists(st.integers(1, 300), min_size=1, max_size=9)),
    "07b.2": st.lists(st.tuples(st.integers(1, 4), st.integers(0, 3)), min_size=1, max_size=5).map(
        lambda words: ([count for count, _ in words], [label for _, label in words])
    ),
    "07b.3": st.lists(TAGS, max_size=8),
    "12.2": ranked_answers(),
    "13.1": st.lists(st.tuples(st.integers(0, 10**6), st.booleans()), max_size=5),
    "13.4": train_and_test(),
    "13.5": given_and_wanted(),
    "14.1": st.tuples(
        st.lists(st.tuples(texts("ab ", least=1), texts("ab ", least=1)), max_size=4),
        texts("ab ", least=1),
    ),
    "14.5": begun_choices(),
    "15.1": labels_and_number(),
    "15.3": right_and_wrong(),
    "15.4": st.tuples(
        st.lists(st.tuples(st.integers(1, 600), st.integers(1, 600)), max_size=4),
        st.integers(1, 64),
    ),
    "15.5": st.tuples(EIGHTHS, EXACT, EXACT),
    "16b.2": drawn_answers(),
    "16b.4": answers_to_check(),
}

# -- the search -----------------------------------------------------------------------------------


def counterexample(exercise: Exercise, candidate: Any) -> Any | None:
    """The smallest input found on which a candidate is wrong; None if there is none.

    An input counts only where all right answers agree: nobody says more of what is allowed.
    Raises: KeyError if there is no strategy for the exercise.
    """
    rights = [exercise.compile(one) for one in (exercise.solution, *exercise.other_solutions)]
    brief = replace(exercise, seconds=BRIEF_SECONDS * 4)
    hurried = replace(exercise, seconds=SECONDS)

    def is_wrong_on(case: Any) -> bool:
        first, *others = (run_case(brief, right, case) for right in rights)
        if first.error or first.timed_out or has_nan(first.value):
            return False
        if any(differs(brief, first, other) for other in others):
            return False
        return differs(exercise, first, run_case(hurried, candidate, case))

    try:
        return find(INPUTS[exercise.id], is_wrong_on, settings=SEARCH)
    except NoSuchExample:
        return None


def survivors(exercise: Exercise) -> Iterator[tuple[str, Any]]:
    """Mutants of right answers that pass the check and are wrong: (source, input)."""
    key = AnswerKey(exercise)
    hurried = replace(exercise, seconds=SECONDS)
    for answer in (exercise.solution, *exercise.other_solutions):
        for mutant in mutations(answer) if isinstance(answer, str) else []:
            try:
                candidate = exercise.compile(mutant.source)
            except Exception:  # what stands outside of functions is run at once
                continue
            if not diagnose(hurried, candidate, key).correct:
                continue
            case = counterexample(exercise, candidate)
            if case is not None:
                yield mutant.source, case


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tools.counterexamples", description="What the cases of exercises forgot."
    )
    parser.add_argument("ids", nargs="*", metavar="ID", help="all that have a strategy, if none")
    found, ids = 0, parser.parse_args(arguments).ids
    if unknown := set(ids) - set(INPUTS):
        parser.error(f"no strategy for {min(unknown)}; there are some for {', '.join(INPUTS)}.")
    for exercise_id in ids or INPUTS:
        with warnings.catch_warnings(action="ignore"), memory_limit():
            for source, case in survivors(find_exercise(exercise_id)):
                found += 1
                print(f"{exercise_id} passes and is wrong on {case!r}:\n{source}\n", flush=True)
    return min(found, 1)


if __name__ == "__main__":
    sys.exit(main())
