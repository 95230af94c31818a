"""What a benchmark returns: rows that compare ours with a peer; and the clock they all use."""

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

Row = dict[str, Any]
Work = Callable[[], Any]
clock = (
    time.process_time
)  # of this process alone, so that others on the machine hurt less; all here is one thread


def row(
    what: str,
    ours: float,
    peer: float | None,
    ratio: float | None,
    unit: str,
    target: str | None = None,
) -> Row:
    """`ratio` is above 1 where we are better; None where there is no peer. `target` is ">= 3" or
    "<= 3".
    """
    return {
        "what": what,
        "ours": ours,
        "peer": peer,
        "ratio": ratio,
        "unit": unit,
        "target": target,
    }


def meets_target(row: Row) -> bool | None:
    """Is the target reached, by the ratio where there is one, else by our own value? None if there
    is no target.

    >>> meets_target(row("a step", 2.0, 3.0, 1.5, "s", ">= 1.3"))
    True
    >>> meets_target(row("a notebook", 200.0, None, None, "s", "<= 150"))
    False
    """
    if row["target"] is None:
        return None
    sign, bound = row["target"].split()
    value = row["ours"] if row["ratio"] is None else row["ratio"]
    return value >= float(bound) if sign == ">=" else value <= float(bound)


def time_work(work: Work) -> tuple[float, Any]:
    """Seconds, and what came out."""
    start = clock()
    result = work()
    return clock() - start, result


def side_by_side(works: Mapping[str, Work], rounds: int, warm_up: int = 1) -> dict[str, float]:
    """Median seconds of each work, all of them done in every round, so that a busy minute hurts all
    alike.

    Every other round goes in reverse order, so that none always comes first.
    """
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for number in range(warm_up + rounds):
        for name in list(works)[:: -1 if number % 2 else 1]:
            spent, _ = time_work(works[name])
            if number >= warm_up:
                seconds[name].append(spent)
    return {name: statistics.median(values) for name, values in seconds.items()}
