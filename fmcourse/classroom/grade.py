"""From what a student handed in to points with reasons, one student at a time.

The grader holds the right results; the student's code runs elsewhere (`jail`). What comes back is
judged here. Wherever an answer's way ends early, `Stopped` is raised with the verdict; it is caught
in `Grader.grade_exercise` alone.
"""

import contextlib
import hashlib
import os
import pickle
import re
import resource
import select
import signal
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from fmcourse.classroom import library, variants
from fmcourse.classroom.candidates import similar_candidate
from fmcourse.classroom.exercise_kinds import PUBLIC_SEED, AssignedExercise
from fmcourse.classroom.jail import Jail, JailError
from fmcourse.classroom.jail_worker import MIB, address_space
from fmcourse.classroom.packing import pack, unpack_outcome
from fmcourse.classroom.results import MISSING, ExerciseResult, StudentResult
from fmcourse.classroom.scoring import Mark, answer_key, mark
from fmcourse.classroom.slicing import Answer
from fmcourse.classroom.submissions import Submission, read_submission
from fmcourse.classroom.task import PREPARE_SECONDS, WHOLE_SECONDS, make_task
from fmcourse.course import comparing
from fmcourse.course.exercise import Exercise
from fmcourse.course.library import exercise_files
from fmcourse.course.running import (
    Outcome,
    ReferenceNotFinished,
    TimeLimitExceeded,
    call_with_timeout,
)
from fmcourse.course.verdict import AnswerKey, Stopped, Verdict, precheck

JUDGE_SECONDS = 30.0  # for the results of an answer to be judged
REPLY_SECONDS = 10.0  # for what came of an answer to be read
ANSWER_SECONDS = 40.0  # for all cases of an answer
READ_SECONDS, READ_MB = 60.0, 2000  # what reading a work may take
# what `task.run_answer` says where the statements come to no end
STOPPED_IN_TIME = re.compile(
    r"It was stopped after \d+ seconds, before `(?P<name>\w+)` was there\. "
    r"Is there a loop that never ends\?"
)
STOPPED_BY_ERROR = re.compile(
    r"(?P<where>Before `(?P<name>\w+)` is there, (?:in line \d+ of code cell \d+ )?"
    r"the notebook stops with )(?P<error>.{1,300})\.",
    re.DOTALL,
)
NOT_ENDED_WELL = "it did not end well"  # the verdict where a process came to no result
CRASH_SENTENCES = {
    "time": "It was stopped: it ran for longer than {seconds:.0f} seconds. "
    "Is there a loop that never ends?",
    "processes": "It started more processes or threads than it may; all of them were ended.",
    "signal": "Its process broke down (signal {number}); nothing came out of it.",
    "exit": "It ended its own process (exit code {number}) before it gave an answer; "
    "`return` ends a function.",
    "lost": "Its process was lost before it gave an answer.",
    "memory": "It asked for more memory than the {memory_mb:,} MB that an answer may use.",
    "disk": "It wrote more than the {disk_mb} MB, or more files, than an answer may.",
    "large": "Its result is too large to be looked at.",
    "unreadable": "What came out of its process is no result.",
}
PUBLIC_NUMBERS = (
    "It is right for the public numbers, not for yours. Did `variant.json` lie beside the notebook "
    "when you ran it?"
)


def stopped(name: str, *sentences: str, step: str = "contract") -> Stopped:
    return Stopped(Verdict(False, name, step, sentences))


class Grader:
    """Grades students of one assignment, one after the other.

    Args:
        jail, hidden_jail: where answers run on public cases, and where on hidden ones. Students
            read what comes out of the first.
        key: that the students' own numbers were drawn with, where they have some.
    """

    def __init__(
        self, manifest: dict[str, Any], jail: Jail, hidden_jail: Jail, key: bytes | None = None
    ) -> None:
        entries = manifest["exercises"]
        self.manifest, self.key = manifest, key
        self.jail, self.hidden_jail = jail, hidden_jail
        self.exercises = {one["id"]: library.find_any_exercise(one["id"]) for one in entries}
        self.max_points = {one["id"]: one["points"] for one in entries}
        self.answer_keys: dict[str, tuple[AnswerKey, int]] = {}

    def read(self, student: str, path: Path | None) -> Submission:
        """What a student handed in, with the answer to each exercise.

        It is read in a process of its own: a file can be made such that reading it takes forever.
        """
        if path is None:
            return Submission(student, remarks=["Nothing was handed in."], digest="none")
        name, exercises = self.manifest["name"], list(self.exercises.values())
        made = call_in_process(
            lambda: read_submission(student, path, name, exercises), READ_SECONDS, READ_MB
        )
        if made is None:
            limits = f"{READ_SECONDS:.0f} seconds and {READ_MB:,} MB of memory"
            sentence = f"It could not be read within {limits}."
            return Submission(student, remarks=[sentence], digest=sentence)
        return made

    def grade(self, made: Submission) -> StudentResult:
        """The result of a student: for each exercise points, the verdict and its reasons.

        Raises: ReferenceNotFinished if it is not known what is right: then nobody has points yet.
        """
        found = {
            exercise_id: self.grade_exercise(exercise_id, made) for exercise_id in self.exercises
        }
        return StudentResult(made.student, found, made.remarks)

    def grade_exercise(self, exercise_id: str, made: Submission) -> ExerciseResult:
        """The result of one answer, whatever it is.

        Raises: JailError if it was not run, for no fault of its own.
        """
        exercise, began, value = self.exercises[exercise_id], time.monotonic(), None
        answer = made.answers.get(exercise_id) or Answer(missing="blank")
        try:
            found, value, answer = self.mark_best(exercise, answer, made)
        except Stopped as stop:
            found = Mark(0.0, stop.verdict)
        except (JailError, ReferenceNotFinished):
            raise
        except Exception as error:  # whatever it is, it costs this exercise and nothing else
            sentence = f"{CRASH_SENTENCES['unreadable']} ({type(error).__name__})"
            found = Mark(0.0, stopped("no result", sentence).verdict)
        partial = isinstance(exercise, AssignedExercise)  # practice is done or not
        return ExerciseResult.of_mark(
            found,
            self.max_points[exercise_id],
            share=found.share if partial else float(found.share == 1),
            value=value,
            code=answer.code,
            seconds=time.monotonic() - began,
        )

    def mark_best(
        self, exercise: Exercise, answer: Answer, made: Submission
    ) -> tuple[Mark, Any, Answer]:
        """The mark of the first form of an answer that is right, else of the best one.

        With a literal answer's value, packed, and the form that was marked.

        Raises: Stopped if nothing came of any of them that could be marked.
        """
        best, reasons = None, []
        for form in (answer, *answer.others):
            try:
                check_answer_is_there(form, made)
                found, value = self.mark_answer(exercise, form, made.student)
            except Stopped as stop:
                reasons.append(stop)
                if stop.verdict.name == NOT_ENDED_WELL:  # it would not end better
                    break
                continue
            if best is None or found.share > best[0].share:
                best = found, value, form
            if found.share == 1:
                break
        if best is None:
            raise reasons[0]
        return best

    def mark_answer(self, exercise: Exercise, answer: Answer, student: str) -> tuple[Mark, Any]:
        """Run an answer and mark what came of it; with a literal answer's value, packed.

        Raises: Stopped if nothing came of it that could be marked.
        """
        numbers = self.student_numbers(exercise, student)
        key, n_public = self.answer_key(exercise, numbers)
        key.work_out()  # here, where no limit holds
        outcomes = self.run_all_cases(key.exercise, n_public, answer, numbers)
        try:
            found = call_with_timeout(lambda: mark(key, outcomes, n_public), JUDGE_SECONDS)
        except TimeLimitExceeded:
            raise stopped("too slow to judge", CRASH_SENTENCES["large"]) from None
        if numbers is None:
            return found, None
        if found.share != 1 and self.is_for_public_numbers(exercise, numbers, outcomes[0]):
            verdict = Verdict(False, "the public numbers", "mistake", (PUBLIC_NUMBERS,))
            found = Mark(found.share, verdict, found.parts)
        return found, pack(outcomes[0].value)

    # -- running --------------------------------------------------------------------------------

    def run_all_cases(
        self, exercise: Exercise, n_public: int, answer: Answer, numbers: dict[str, Any] | None
    ) -> list[Outcome]:
        """What came of every case. Raises: Stopped if nothing came of the public ones.

        Hidden cases are run by another process than the public ones, and in another jail: the
        student reads what is reported of the public ones, so no hidden case must be known there.
        """
        public, hidden = exercise.cases[:n_public], exercise.cases[n_public:]
        outcomes = self.run_in_jail(self.jail, exercise.with_cases(public), answer, numbers)
        if outcomes[-1].timed_out or not hidden:
            return outcomes
        try:
            apart = exercise.with_cases(hidden)
            return outcomes + self.run_in_jail(self.hidden_jail, apart, answer, numbers)
        except Stopped:  # the public cases still count
            return outcomes + [Outcome(error="Ended: its process did not end well")] * len(hidden)

    def run_in_jail(
        self, jail: Jail, exercise: Exercise, answer: Answer, numbers: dict[str, Any] | None
    ) -> list[Outcome]:
        """What came of an exercise's cases, in one process. Raises: Stopped if nothing did."""
        n_cases = len(exercise.cases)
        prepare = WHOLE_SECONDS if answer.whole else PREPARE_SECONDS
        seconds = prepare + min(exercise.seconds * n_cases, ANSWER_SECONDS)
        reply = jail.run(make_task(exercise, answer, numbers), seconds)
        outcomes = parse_reply(reply, exercise, {"seconds": seconds, **jail.limits})
        cut_short = outcomes[-1].timed_out and len(outcomes) < n_cases
        if len(outcomes) != n_cases and not cut_short:
            raise stopped("no result", CRASH_SENTENCES["unreadable"])
        return outcomes

    # -- what is right --------------------------------------------------------------------------

    def student_numbers(self, exercise: Exercise, student: str) -> dict[str, Any] | None:
        """What a student was asked about; None where the answer is a function or a class."""
        if not isinstance(exercise, AssignedExercise) or not exercise.literal:
            return None
        if self.key and self.manifest["variants"]:
            return variants.numbers_for(self.key, student, exercise)
        return exercise.draw_numbers(PUBLIC_SEED)

    def answer_key(
        self, exercise: Exercise, numbers: dict[str, Any] | None = None
    ) -> tuple[AnswerKey, int]:
        """What is right, and how many cases are public: kept, but for a student's own numbers."""
        if numbers is not None and self.manifest["variants"]:
            return answer_key(exercise.for_numbers(numbers))
        if exercise.id not in self.answer_keys:
            self.answer_keys[exercise.id] = answer_key(exercise)
        return self.answer_keys[exercise.id]

    def is_for_public_numbers(
        self, exercise: AssignedExercise, numbers: dict[str, Any], got: Outcome
    ) -> bool:
        """Is an answer right for the numbers that everybody may see, where others were asked?"""
        public = exercise.draw_numbers(PUBLIC_SEED)
        if not self.manifest["variants"] or comparing.equal(public, numbers):
            return False
        key, _ = self.answer_key(exercise)
        return comparing.equal(key.expected[0].value, got.value, exercise.tolerance)


def check_answer_is_there(answer: Answer, made: Submission) -> None:
    """Raises: Stopped with what is said where there is no answer."""
    if answer.statements:
        return
    if not made.cells:
        sentence = made.remarks[0] if made.remarks else "Nothing was handed in."
        raise stopped("nothing to grade", sentence, step=MISSING)
    if answer.missing == "blank":
        raise stopped("blank", "It was left blank.", step=MISSING)
    raise stopped("not found", answer.missing, step=MISSING)


def parse_reply(
    reply: dict[str, Any], exercise: Exercise, limits: dict[str, float]
) -> list[Outcome]:
    """What came of the exercise's cases; at least one outcome, and no more than there are cases.

    Raises: Stopped, and nothing else, whatever the reply is: a student's process may have written
        it.
    """
    try:
        return call_with_timeout(lambda: read_reply(reply, exercise, limits), REPLY_SECONDS)
    except TimeLimitExceeded:  # values can be chosen such that reading them takes minutes
        raise stopped("too slow to judge", CRASH_SENTENCES["large"]) from None


def read_reply(
    reply: dict[str, Any], exercise: Exercise, limits: dict[str, float]
) -> list[Outcome]:
    """The same, however long it takes."""
    try:
        check_for_crash(reply, limits)
        if "stopped" in reply:
            raise stopped("it does not get that far", reason_for_stop(reply["stopped"]))
        if "unfit" in reply:
            raise Stopped(verdict_on_candidate(exercise, reply["unfit"]))
        fields = reply["outcomes"]
        if not 1 <= len(fields) <= len(exercise.cases):
            raise stopped("no result", CRASH_SENTENCES["unreadable"])
        return [unpack_outcome(one) for one in fields]
    except Stopped:
        raise
    except Exception:
        raise crashed("unreadable") from None


def verdict_on_candidate(exercise: Exercise, facts: Any) -> Verdict:
    """Why an answer cannot be called. Raises: an Exception if the facts do not tell."""
    verdict = precheck(exercise, similar_candidate(facts))
    if verdict is None:
        raise ValueError("an answer like this one can be called.")
    return verdict


def reason_for_stop(sentence: str) -> str:
    """Why an answer's statements came to no end: our own words, an error's text quoted as code.

    Raises: ValueError if it is another sentence.
    """
    if STOPPED_IN_TIME.fullmatch(sentence):
        return sentence
    if found := STOPPED_BY_ERROR.fullmatch(sentence):
        return f"{found['where']}`{found['error'].replace('`', chr(39))}`."
    raise ValueError("the process that ran the answer has said something else.")


def check_for_crash(reply: dict[str, Any], limits: dict[str, float]) -> None:
    """Raises: Stopped if the process ended before it could reply."""
    if "died" in reply:
        how, number = str(reply["died"].get("how")), int(reply["died"].get("number", -1))
        raise crashed(how if how in CRASH_SENTENCES else "lost", number=number, **limits)
    for how in ("memory", "large"):
        if how in reply:
            raise crashed(how, **limits)


def crashed(how: str, **words: float) -> Stopped:
    return stopped(NOT_ENDED_WELL, CRASH_SENTENCES[how].format(**words))


# -- reading ------------------------------------------------------------------------------------


def call_in_process(work: Callable[[], Any], seconds: float, memory_mb: int) -> Any:
    """What `work` returns in a process of its own; None if it takes longer, or more memory."""
    here, there = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(here)
            if size := address_space():
                resource.setrlimit(resource.RLIMIT_AS, (size + memory_mb * MIB,) * 2)
            with os.fdopen(there, "wb") as out:
                pickle.dump(work(), out)
        finally:
            os._exit(0)
    os.close(there)
    data, until = bytearray(), time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0 and select.select([here], [], [], left)[0]:
        part = os.read(here, MIB)
        if not part:
            break
        data += part
    os.close(here)
    with contextlib.suppress(OSError):
        os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    try:
        return pickle.loads(bytes(data))  # written by our own code: no student's has run there
    except Exception:
        return None


# -- what a result depends on -------------------------------------------------------------------


def result_key(manifest: dict[str, Any], made: Submission, limits: dict[str, Any]) -> str:
    """Changes with whatever a result depends on: work, assignment, exercises, way of grading."""
    parts = (
        made.student,
        made.digest,
        str(made.remarks),
        str(manifest),
        str(sorted(limits.items())),
        grading_digest((*library.assigned_files(), *exercise_files(), *machinery_files())),
    )
    return hashlib.sha256("\0".join(parts).encode(errors="surrogatepass")).hexdigest()


def machinery_files() -> list[Path]:
    """The modules that come to a verdict."""
    here = Path(__file__).parent
    return sorted([*here.glob("*.py"), *(here.parent / "course").glob("*.py")])


@cache
def grading_digest(paths: tuple[Path, ...]) -> str:
    """A digest of the exercises and of what judges them."""
    digest = hashlib.sha256()
    for path in paths:
        name = f"{path.parent.name}/{path.name}"
        digest.update(name.encode() + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()
