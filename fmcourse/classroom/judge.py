"""From what a student handed in to points with reasons, one student at a time.

The judge holds the right results; the student's code runs elsewhere (`jail`). What comes back is compared here.
"""

import contextlib
import hashlib
import os
import pickle
import resource
import select
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from fmcourse.classroom import assigned, variants
from fmcourse.classroom.answering import PREPARE_SECONDS, make_task, unpack_outcome
from fmcourse.classroom.assigned import AssignedExercise, all_assigned
from fmcourse.classroom.jail import Jail
from fmcourse.classroom.marking import Mark, mark, replace_cases, with_all_cases
from fmcourse.classroom.submissions import Answer, Submission, find_answer, read_submission
from fmcourse.classroom.values import pack
from fmcourse.course import compare
from fmcourse.course.diagnosis import Verdict, run_mistake
from fmcourse.course.exercises import Exercise, Mistake, find_exercise
from fmcourse.course.sandbox import Outcome, TimeLimitExceeded, call_with_timeout

COMPARE_SECONDS, ANSWER_SECONDS = (
    30.0,
    40.0,
)  # seconds for results to be compared; for all cases of an answer
READ_SECONDS, READ_MB = 60.0, 2000  # what reading a work may take
CHILD_VERDICTS = (
    "blank",
    "not a function",
    "a function",
    "a class",
    "its parameters",
)  # verdicts that a student's process may give
CRASH_SENTENCES = {
    "time": "It was stopped: it ran for longer than {seconds:.0f} seconds. Is there a loop that never ends?",
    "processes": "It started more processes than it may; all of them were ended.",
    "signal": "Its process broke down (signal {number}); nothing came out of it.",
    "exit": "It ended its own process (exit code {number}) before it gave an answer; `return` ends a function.",
    "lost": "Its process was lost before it gave an answer.",
    "memory": "It asked for more memory than the {memory_mb:,} MB that an answer may use.",
    "large": "Its result is too large to be looked at.",
    "unreadable": "What came out of its process is no result.",
}


@dataclass
class PreparedExercise:
    """An exercise with what is right, worked out once."""

    exercise: Exercise
    n_public: int
    expected_outcomes: list[Outcome]
    outcomes_by_mistake: dict[str, list[Outcome]] = field(default_factory=dict)

    def mistake_outcomes(self, mistake: Mistake) -> list[Outcome]:
        """What a known mistake gives, worked out when it is first asked for."""
        if mistake.name not in self.outcomes_by_mistake:
            self.outcomes_by_mistake[mistake.name] = run_mistake(self.exercise, mistake)
        return self.outcomes_by_mistake[mistake.name]


def prepare_exercise(exercise: Exercise) -> PreparedExercise:
    everything, n_public = with_all_cases(exercise)
    return PreparedExercise(everything, n_public, everything.expected_outcomes())


def find_any_exercise(exercise_id: str) -> Exercise:
    """A practice exercise, or an assigned one. Raises: ValueError if there is none of that id."""
    known = {exercise.id: exercise for exercise in all_assigned()}
    if exercise_id in known:
        return known[exercise_id]
    if ".A" in exercise_id:
        raise ValueError(
            f"there is no assigned exercise {exercise_id!r} in {assigned.instructor_folder()}; "
            f"there are {', '.join(known) or 'none: this edition has no such folder'}."
        )
    return find_exercise(exercise_id)


class Grader:
    """Grades students of one assignment, one after the other."""

    def __init__(self, manifest: dict[str, Any], jail: Jail, key: bytes | None = None) -> None:
        self.manifest, self.jail, self.key = manifest, jail, key
        self.exercises = {
            entry["id"]: find_any_exercise(entry["id"]) for entry in manifest["exercises"]
        }
        self.max_points = {entry["id"]: entry["points"] for entry in manifest["exercises"]}
        self.prepared_exercises: dict[str, PreparedExercise] = {}

    def read(self, student: str, path: Path | None) -> Submission:
        """What a student handed in, read in a process of its own: a file can be made such that reading it takes forever."""
        if path is None:
            return Submission(student, remarks=["Nothing was handed in."], digest="none")
        work = lambda: read_answers(
            student, path, self.manifest["name"], list(self.exercises.values())
        )
        made = call_in_process(work, READ_SECONDS, READ_MB)
        if made is None:
            said = f"It could not be read within {READ_SECONDS:.0f} seconds and {READ_MB:,} MB of memory."
            return Submission(student, remarks=[said], digest=said)
        return made

    def grade(self, made: Submission) -> dict[str, Any]:
        """The result of a student: for each exercise points, the verdict and its reasons."""
        found = {
            exercise_id: self.grade_exercise(exercise_id, made) for exercise_id in self.exercises
        }
        return {"student": made.student, "exercises": found, "remarks": made.remarks}

    def grade_exercise(self, exercise_id: str, made: Submission) -> dict[str, Any]:
        exercise, began = self.exercises[exercise_id], time.monotonic()
        given = made.answers.get(exercise_id) or Answer(missing="blank")
        if not given.statements:
            name, sentence = self.missing_answer(given, made)
            judged = Mark(0.0, Verdict(False, name, "missing", (sentence,)))
            value = None
        else:
            try:
                judged, value = self.grade_answer(exercise, given, made.student)
            except Exception as error:  # whatever it is, it costs this exercise and nothing else
                judged, value = no_result_mark(error), None
        of = self.max_points[exercise_id]
        share = judged.share if isinstance(exercise, AssignedExercise) else float(judged.share == 1)
        return {
            "points": round(share * of, 2),
            "of": of,
            "share": round(share, 4),
            "verdict": judged.verdict.name,
            "step": judged.verdict.step,
            "value": value,
            "sentences": list(judged.verdict.sentences),
            "table": list(judged.verdict.table),
            "code": given.code,
            "parts": [[part.name, part.weight, round(part.share, 3)] for part in judged.parts],
            "seconds": round(time.monotonic() - began, 3),
        }

    def missing_answer(self, given: Answer, made: Submission) -> tuple[str, str]:
        """What is said where there is no answer."""
        if not made.units:
            return "nothing to grade", made.remarks[0] if made.remarks else "Nothing was handed in."
        return (
            ("blank", "It was left blank.")
            if given.missing == "blank"
            else ("not found", given.missing)
        )

    def grade_answer(self, exercise: Exercise, given: Answer, student: str) -> tuple[Mark, Any]:
        """Have an answer run, and judge what came of it; with a literal answer's value."""
        numbers = self.student_numbers(exercise, student)
        prepared = self.prepare(exercise, numbers)
        stopped, outcomes = self.run_all_cases(prepared, given, numbers)
        if stopped is not None:
            return Mark(0.0, stopped), None
        try:
            made = call_with_timeout(
                lambda: mark(
                    prepared.exercise,
                    prepared.expected_outcomes,
                    outcomes,
                    prepared.n_public,
                    prepared.mistake_outcomes,
                ),
                COMPARE_SECONDS,
            )
        except TimeLimitExceeded:
            return Mark(
                0.0, Verdict(False, "too slow to judge", "contract", (CRASH_SENTENCES["large"],))
            ), None
        except Exception as error:  # a result that no comparison was made for
            return Mark(
                0.0,
                Verdict(
                    False,
                    "no result",
                    "contract",
                    (f"{CRASH_SENTENCES['unreadable']} ({type(error).__name__})",),
                ),
            ), None
        literal = numbers is not None and outcomes
        if (
            literal
            and made.share != 1
            and (other := self.public_numbers_verdict(exercise, numbers, outcomes[0]))
        ):
            made = Mark(made.share, other, made.parts)
        return made, pack(outcomes[0].value) if literal else None

    def run_all_cases(
        self, prepared: PreparedExercise, given: Answer, numbers: dict[str, Any] | None
    ) -> tuple[Verdict | None, list[Outcome]]:
        """What came of every case. Hidden cases are run by another process than the public ones: what that one shows is
        told to the student, and it must not have hidden cases to show."""
        n, exercise = prepared.n_public, prepared.exercise
        stopped, found = self.run_in_jail(
            replace_cases(exercise, exercise.cases[:n]), given, numbers
        )
        if stopped is not None or found[-1].timed_out or len(exercise.cases) == n:
            return stopped, found
        stopped, hidden = self.run_in_jail(
            replace_cases(exercise, exercise.cases[n:]), given, numbers
        )
        broke = [Outcome(error="Ended: its process did not end well")] * (len(exercise.cases) - n)
        return None, found + (hidden if stopped is None else broke)

    def run_in_jail(
        self, exercise: Exercise, given: Answer, numbers: dict[str, Any] | None
    ) -> tuple[Verdict | None, list[Outcome]]:
        """What came of some cases, in one process."""
        units = [(unit.cell, unit.offset, unit.source) for unit in given.units]
        seconds = PREPARE_SECONDS + min(exercise.seconds * len(exercise.cases), ANSWER_SECONDS)
        reply = self.jail.run(make_task(exercise, units, list(given.statements), numbers), seconds)
        stopped, found = parse_reply(reply, seconds, self.jail.limits)
        fits = len(found) == len(exercise.cases) or (
            found and found[-1].timed_out and len(found) < len(exercise.cases)
        )
        if stopped is None and not fits:
            return Verdict(False, "no result", "contract", (CRASH_SENTENCES["unreadable"],)), []
        return stopped, found

    def student_numbers(self, exercise: Exercise, student: str) -> dict[str, Any] | None:
        """What a student was asked about, where numbers are each student's own."""
        if not isinstance(exercise, AssignedExercise) or not exercise.literal:
            return None
        key = self.key if self.manifest["variants"] else None
        return (
            variants.numbers_for(key, student, exercise)
            if key
            else exercise.draw_numbers(assigned.PUBLIC_SEED)
        )

    def prepare(self, exercise: Exercise, numbers: dict[str, Any] | None) -> PreparedExercise:
        if numbers is not None and self.manifest["variants"]:
            return prepare_exercise(exercise.for_numbers(numbers))
        if exercise.id not in self.prepared_exercises:
            self.prepared_exercises[exercise.id] = prepare_exercise(exercise)
        return self.prepared_exercises[exercise.id]

    def public_numbers_verdict(
        self, exercise: AssignedExercise, numbers: dict[str, Any], got: Outcome
    ) -> Verdict | None:
        """The verdict on an answer that is right for the numbers that everybody may see, and asked was another."""
        public = exercise.draw_numbers(assigned.PUBLIC_SEED)
        if not self.manifest["variants"] or compare.equal(public, numbers):
            return None
        right = self.prepare_public(exercise).expected_outcomes[0]
        if not compare.equal(right.value, got.value, exercise.tolerance):
            return None
        why = "It is right for the public numbers, not for yours. Did `variant.json` lie beside the notebook when you ran it?"
        return Verdict(False, "the public numbers", "mistake", (why,))

    def prepare_public(self, exercise: AssignedExercise) -> PreparedExercise:
        if exercise.id not in self.prepared_exercises:
            self.prepared_exercises[exercise.id] = prepare_exercise(exercise)
        return self.prepared_exercises[exercise.id]


def parse_reply(
    reply: dict[str, Any], seconds: float, limits: dict[str, int]
) -> tuple[Verdict | None, list[Outcome]]:
    """What came back: a verdict if the answer never got as far as a result, else what came of every case.

    Whatever it is: a student's process may have written it.
    """
    words = {"seconds": seconds, "number": "?", **limits}
    ended = lambda kind: (
        Verdict(False, "it did not end well", "contract", (CRASH_SENTENCES[kind].format(**words),)),
        [],
    )
    try:
        if "died" in reply:
            how, words["number"] = (
                str(reply["died"].get("how")),
                int(reply["died"].get("number", -1)),
            )
            return ended(how if how in CRASH_SENTENCES else "lost")
        for kind in ("memory", "large"):
            if kind in reply:
                return ended(kind)
        if isinstance(reply.get("stopped"), str):
            return Verdict(
                False, "it does not get that far", "contract", (reply["stopped"][:600],)
            ), []
        if "unfit" in reply:
            name, sentences = reply["unfit"]
            name = name if name in CHILD_VERDICTS else "not fit"
            return Verdict(
                False, name, "contract", tuple(str(one)[:600] for one in sentences[:4])
            ), []
        outcomes = [unpack_outcome(one) for one in reply["outcomes"]]
        return (None, outcomes) if outcomes else ended("unreadable")
    except Exception:
        return ended("unreadable")


def no_result_mark(error: Exception) -> Mark:
    return Mark(
        0.0,
        Verdict(
            False,
            "no result",
            "contract",
            (f"{CRASH_SENTENCES['unreadable']} ({type(error).__name__})",),
        ),
    )


def read_answers(student: str, path: Path, name: str, exercises: list[Exercise]) -> Submission:
    """What lies under a path, with the answer to each exercise."""
    made = read_submission(student, path, name, exercises)
    made.answers = {exercise.id: find_answer(exercise, made) for exercise in exercises}
    (
        made.__dict__.pop("statements", None),
        made.__dict__.pop("dependencies", None),
    )  # trees need not travel
    return made


def call_in_process(work: Callable[[], Any], seconds: float, memory_mb: int) -> Any:
    """What `work` gives in a process of its own; None if it takes longer, or more memory."""
    here, there = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(here)
            size = (
                sum(int(n) for n in Path("/proc/self/statm").read_text().split()[:1])
                * resource.getpagesize()
                if Path("/proc/self/statm").exists()
                else 0
            )
            if size:
                resource.setrlimit(resource.RLIMIT_AS, (size + memory_mb * 2**20,) * 2)
            with os.fdopen(there, "wb") as out:
                pickle.dump(work(), out)
        finally:
            os._exit(0)
    os.close(there)
    data, until = bytearray(), time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0 and select.select([here], [], [], left)[0]:
        part = os.read(here, 2**20)
        if not part:
            break
        data += part
    os.close(here)
    with contextlib.suppress(OSError):
        os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    try:
        return pickle.loads(bytes(data))  # of our own making: no student's code has run there
    except Exception:
        return None


def result_key(manifest: dict[str, Any], made: Submission, limits: dict[str, Any]) -> str:
    """Changes with whatever a result depends on: the work, the assignment, the exercises, the way of grading."""
    parts = (
        made.student,
        made.digest,
        str(made.remarks),
        str(manifest),
        str(sorted(limits.items())),
        grading_digest(assigned.instructor_folder()),
    )
    return hashlib.sha256("\0".join(parts).encode(errors="surrogatepass")).hexdigest()


@cache
def grading_digest(folder: Path) -> str:
    """A digest of the exercises and of what judges them."""
    here, digest = Path(__file__).parent, hashlib.sha256()
    for path in [
        *here.glob("*.py"),
        *(here.parent / "course").rglob("*.py"),
        *(folder / "exercises").glob("*.py"),
    ]:
        digest.update(path.name.encode() + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def total_points(result: dict[str, Any]) -> tuple[float, float]:
    """A student's points and their most."""
    found = result["exercises"].values()
    return round(sum(one["points"] for one in found), 2), sum(one["of"] for one in found)


def count_completed(result: dict[str, Any]) -> tuple[int, int]:
    """How many practice exercises are done, and of how many."""
    done = [one["share"] == 1 for one in result["exercises"].values() if not one["of"]]
    return sum(done), len(done)
