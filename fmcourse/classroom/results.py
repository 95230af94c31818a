"""What grading found: the result of an answer, and of a student. Kept as JSON, read by people."""

from dataclasses import asdict, dataclass, field
from typing import Any, Self

from fmcourse.classroom.scoring import Mark

NOT_GRADED = "not graded"  # the verdict where grading itself broke down
MISSING = "missing"  # the step of a verdict where there was no answer


@dataclass(frozen=True)
class ExerciseResult:
    """What came of one answer.

    Args:
        points, of: what it is worth, and the most there is; practice has 0 of 0.
        share: how much of it is right, 0 to 1.
        verdict, step, sentences, table: as in a `Verdict`.
        value: a literal answer, packed.
        code: what was graded, as one text.
        parts: (name, weight, share that is earned) of everything that counts.
        seconds: that running and judging it took.
    """

    points: float
    of: float
    share: float
    verdict: str
    step: str
    value: Any
    sentences: list[str]
    table: list[str]
    code: str
    parts: list[list]
    seconds: float

    @classmethod
    def of_mark(
        cls, mark: Mark, of: float, *, share: float, value: Any, code: str, seconds: float
    ) -> Self:
        """The result of a marked answer, rounded as it is kept."""
        verdict = mark.verdict
        return cls(
            points=round(share * of, 2),
            of=of,
            share=round(share, 4),
            verdict=verdict.name,
            step=verdict.step,
            value=value,
            sentences=list(verdict.sentences),
            table=list(verdict.table),
            code=code,
            parts=[[part.name, part.weight, round(part.share, 3)] for part in mark.parts],
            seconds=round(seconds, 3),
        )

    @property
    def answered(self) -> bool:
        return self.step != MISSING


@dataclass(frozen=True)
class StudentResult:
    """What came of one student's work.

    Args:
        exercises: results by exercise, in the order of the assignment.
        remarks: sentences on the work as a whole.
        again: was it graded by an earlier run, and nothing has changed since?
    """

    student: str
    exercises: dict[str, ExerciseResult]
    remarks: list[str] = field(default_factory=list)
    again: bool = False

    @property
    def points(self) -> float:
        return round(sum(one.points for one in self.exercises.values()), 2)

    @property
    def max_points(self) -> float:
        return sum(one.of for one in self.exercises.values())

    @property
    def completed(self) -> tuple[int, int]:
        """How many practice exercises are done, and of how many."""
        done = [one.share == 1 for one in self.exercises.values() if not one.of]
        return sum(done), len(done)

    @property
    def failed(self) -> bool:
        """Did grading break down on it, so that a person should look?"""
        return any(one.verdict == NOT_GRADED for one in self.exercises.values())

    def to_json(self) -> dict[str, Any]:
        """What is kept in a file."""
        exercises = {exercise_id: asdict(one) for exercise_id, one in self.exercises.items()}
        return {"student": self.student, "exercises": exercises, "remarks": self.remarks}

    @classmethod
    def from_json(cls, kept: dict[str, Any], *, again: bool = False) -> Self:
        """The result again. Raises: KeyError or TypeError if it is none."""
        exercises = {key: ExerciseResult(**one) for key, one in kept["exercises"].items()}
        return cls(kept["student"], exercises, kept["remarks"], again)
