"""Further inputs, made of an exercise's cases.

Numbers are drawn anew, lists shuffled or cut, one axis made shorter wherever it is met. Nobody says
which of these inputs an exercise allows, so one counts only if all right answers agree on it.
"""

import ast
import random
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from fmcourse.course.exercise import Exercise
from fmcourse.course.running import arguments


def further_inputs(exercise: Exercise, n: int) -> Iterator[Any]:
    """So many inputs, the same each time."""
    draw = random.Random(exercise.id)
    numbers = numbers_in(exercise.solution)
    for _ in range(n):
        case, other = draw.choice(exercise.cases), arguments(draw.choice(exercise.cases))
        vary = Variation(draw, [*numbers, *(part for part in arguments(case) if is_number(part))])
        parts = list(arguments(case))
        parts = vary.shorten_axis(parts) if draw.random() < 0.5 else parts
        for i in range(len(parts)):
            if draw.random() < 0.3 and i < len(other) and shape_of(other[i]) == shape_of(parts[i]):
                parts[i] = other[i]
            elif draw.random() < 0.6:
                parts[i] = vary(parts[i])
        yield tuple(parts) if isinstance(case, tuple) else parts[0]


def is_number(part: Any) -> bool:
    return isinstance(part, int | float) and not isinstance(part, bool)


def numbers_in(source: str) -> list[float]:
    """What a solution compares with, or counts from: values at which something happens."""
    constants = [
        node.value for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Constant)
    ]
    return [0, 1, *(value for value in constants if is_number(value))]


def shape_of(part: Any) -> Any:
    """What must stay the same where one part takes the place of another."""
    if isinstance(part, Tensor):
        return part.shape, part.dtype
    return type(part), len(part) if isinstance(part, list | dict) else 0


def shorten(part: Any, old: int, new: int) -> Any:
    if isinstance(part, Tensor):
        for axis in range(part.dim()):
            part = part.narrow(axis, 0, new) if part.shape[axis] == old else part
        return cast_like(part, part.detach().clone())
    return part[:new] if isinstance(part, list) and len(part) == old else part


def cast_like(old: Tensor, new: Tensor) -> Tensor:
    return new.to(old.dtype).requires_grad_(old.requires_grad)


class Variation:
    """Another value of the same make. `marks` are numbers that are worth meeting exactly."""

    def __init__(self, draw: random.Random, marks: list[float]) -> None:
        self.draw, self.marks = draw, marks

    def __call__(self, value: Any) -> Any:
        if isinstance(value, bool):
            return self.draw.random() < 0.5
        known = {
            Tensor: self.vary_tensor,
            int: self.vary_int,
            float: self.vary_float,
            str: self.vary_text,
            list: self.vary_list,
        }
        for kind, varied in known.items():
            if isinstance(value, kind):
                return varied(value)
        if isinstance(value, tuple) and hasattr(value, "_fields"):
            return value
        if isinstance(value, tuple):
            return tuple(self.maybe_vary(part) for part in value)
        if isinstance(value, dict):
            return {key: self.maybe_vary(part) for key, part in value.items()}
        return value

    def maybe_vary(self, value: Any) -> Any:
        return self(value) if self.draw.random() < 0.5 else value

    def vary_int(self, value: int) -> int:
        return max(value + self.draw.choice([-2, -1, 1, 2, 3]), min(value, 0))

    def vary_float(self, value: float) -> float:
        return self.draw.choice([value * self.draw.uniform(0.3, 1.7), self.draw.random(), 0.0, 1.0])

    def vary_text(self, value: str) -> str:
        letters = [letter.swapcase() if self.draw.random() < 0.1 else letter for letter in value]
        return "".join(self.reorder(letters))

    def vary_list(self, value: list) -> list:
        return self.reorder([self.maybe_vary(part) for part in value])

    def reorder(self, items: list) -> list:
        """Shuffled, a piece of them, one of them doubled, or as they were."""
        how = self.draw.randrange(4)
        if how == 0:
            self.draw.shuffle(items)
        if how == 1 and items:
            first = self.draw.randrange(len(items))
            items = items[first : self.draw.randint(first, len(items))]
        if how == 2 and items:
            items.insert(self.draw.randrange(len(items)), self.draw.choice(items))
        return items

    def vary_tensor(self, value: Tensor) -> Tensor:
        return cast_like(value, self.redraw(value.detach()))

    def redraw(self, old: Tensor) -> Tensor:
        """The same shape: its values in another order, or others of the same range, some marks."""
        dice = torch.Generator().manual_seed(self.draw.randrange(2**31))
        if self.draw.random() < 0.4 or not old.numel() or old.is_complex():
            return old.flatten()[torch.randperm(old.numel(), generator=dice)].view(old.shape)
        if old.dtype == torch.bool:
            return torch.rand(old.shape, generator=dice) < self.draw.random()
        finite = old[old.isfinite()].double()
        low, high = (
            (finite.min(), finite.max())
            if finite.numel()
            else (torch.tensor(0.0), torch.tensor(1.0))
        )
        if not old.dtype.is_floating_point:
            return torch.randint(int(low), int(high) + 1, old.shape, generator=dice)
        new = low + (high - low) * torch.rand(old.shape, generator=dice, dtype=torch.double)
        inside = [mark for mark in self.marks if low <= mark <= high]
        if inside and self.draw.random() < 0.5:
            new = torch.where(
                torch.rand(old.shape, generator=dice) < 0.3, float(self.draw.choice(inside)), new
            )
        return new

    def shorten_axis(self, parts: list) -> list:
        """One size made smaller, wherever it is met in tensors and lists: they still fit."""
        sizes = [
            part.shape if isinstance(part, Tensor) else [len(part)]
            for part in parts
            if isinstance(part, Tensor | list)
        ]
        sizes = sorted(size for found in sizes for size in found if size > 1)
        if not sizes:
            return parts
        old = self.draw.choice(sizes)
        new = self.draw.randrange(1, old)
        return [shorten(part, old, new) for part in parts]
