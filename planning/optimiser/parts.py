"""A fleet in parts: some vehicles are planned while the load of the others stands still."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from planning.model import FloatArray, IntArray, Problem


def dealt(size: int, chunk: int) -> Iterator[IntArray]:
    """Return rows dealt out like cards, so that every chunk is a fleet in small."""
    count = max(1, round(size / chunk))
    return (np.arange(first, size, count) for first in range(count))


def loads_of(problem: Problem, group: IntArray, power_kw: FloatArray) -> FloatArray:
    """Return the load of some vehicles on the site and on each group, [1 + groups, T]."""
    of_groups = [power_kw[group == row].sum(axis=0) for row in range(len(problem.groups))]
    return np.array([power_kw.sum(axis=0), *of_groups])


def beside(problem: Problem, others_kw: FloatArray) -> Problem:
    """Return the problem of some vehicles, to which the others' loads are load of the site and of its groups."""
    return replace(
        problem,
        base_load_kw=problem.base_load_kw + others_kw[0],
        groups=tuple(
            replace(group, limit_kw=np.maximum(group.limit_kw - others_kw[1 + row], 0.0))
            for row, group in enumerate(problem.groups)
        ),
    )
