"""What is wrong with a document, path by path: all findings at once, each saying what would be right.

Readers of single JSON values live here; what the values mean together is judged by ``planning.documents``.
"""

import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from math import isfinite
from typing import Any, TypeGuard

import numpy as np

from planning.model import BoolArray, FloatArray


class ProblemError(ValueError):
    """A problem that no plan can be made for; ``findings`` are (path, what is wrong) pairs."""

    def __init__(self, findings: list[tuple[str, str]]) -> None:
        self.findings = tuple(findings)
        super().__init__("; ".join(f"{path}: {message}" for path, message in findings))


@dataclass(slots=True)
class Findings:
    """Collects what is wrong while a document is read; readers return a harmless stand-in for a bad value."""

    errors: list[tuple[str, str]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def error(self, path: str, message: str) -> None:
        """Note something that no plan can be made with."""
        self.errors.append((path, message))

    def warn(self, path: str, message: str) -> None:
        """Note something odd that a plan can still be made with."""
        self.warnings.append(f"{path}: {message}")

    def raise_if_any(self) -> None:
        """Raise what was found.

        Raises:
            ProblemError: something was.
        """
        if self.errors:
            raise ProblemError(self.errors)

    def text(self, record: Mapping[str, Any], key: str, path: str = "") -> str:
        """Read a required, non-empty text."""
        value = record.get(key)
        if isinstance(value, str) and value:
            return value
        self.error(path + key, f"is {_shown(value)}; give a text")
        return ""

    def flag(self, record: Mapping[str, Any], key: str, path: str = "") -> bool:
        """Read a required boolean."""
        value = record.get(key)
        if isinstance(value, bool):
            return value
        self.error(path + key, f"is {_shown(value)}; give true or false")
        return False

    def number(
        self,
        record: Mapping[str, Any],
        key: str,
        path: str = "",
        *,
        minimum: float = -np.inf,
        maximum: float = np.inf,
    ) -> float:
        """Read a required finite number within inclusive bounds."""
        value = record.get(key)
        if not is_number(value):
            self.error(path + key, f"is {_shown(value)}; give a finite number")
        elif not minimum <= value <= maximum:
            self.error(path + key, f"is {value}; {_bounds(minimum, maximum)}")
        else:
            return float(value)
        return max(0.0, minimum) if isfinite(minimum) else 0.0

    def integer(self, record: Mapping[str, Any], key: str, path: str = "", *, minimum: int = 0) -> int:
        """Read a required whole number at or above a minimum."""
        value = self.number(record, key, path, minimum=minimum)
        if value != int(value):
            self.error(path + key, f"is {value}; give a whole number")
        return int(value)

    def series(
        self, record: Mapping[str, Any], key: str, length: int, path: str = "", *, minimum: float = -np.inf
    ) -> FloatArray:
        """Read a list of ``length`` finite numbers at or above a minimum."""
        values = record.get(key)
        if not isinstance(values, list) or len(values) != length:
            found = f"has {len(values)} values" if isinstance(values, list) else f"is {_shown(values)}"
            self.error(path + key, f"{found}; give a list of {length} numbers, one per slot")
            return np.zeros(length)
        bad = next((t for t, value in enumerate(values) if not is_number(value)), None)
        if bad is not None:
            self.error(f"{path}{key}[{bad}]", f"is {_shown(values[bad])}; give a finite number")
            return np.zeros(length)
        series = np.array(values, dtype=np.float64)
        if (series < minimum).any():
            low = int(np.argmax(series < minimum))
            self.error(f"{path}{key}[{low}]", f"is {series[low]}; {_bounds(minimum, np.inf)}")
        return series

    def flags(self, record: Mapping[str, Any], key: str, length: int, path: str = "") -> BoolArray:
        """Read a list of ``length`` booleans."""
        values = record.get(key)
        if isinstance(values, list) and len(values) == length and all(isinstance(value, bool) for value in values):
            return np.array(values, dtype=np.bool_)
        self.error(path + key, f"give a list of {length} booleans, one per slot")
        return np.zeros(length, dtype=np.bool_)

    def records(self, record: Mapping[str, Any], key: str, path: str = "") -> list[Mapping[str, Any]]:
        """Read a list of objects; a list left out is empty."""
        values = record.get(key)
        if values is None:
            return []
        if isinstance(values, list) and all(isinstance(value, dict) for value in values):
            return values
        self.error(path + key, "give a list of objects")
        return []


def is_number(value: object) -> TypeGuard[float]:
    """Say whether a JSON value is a finite number (booleans are none)."""
    # JSON knows whole numbers that no float can hold.
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def numbers(values: list[Any]) -> FloatArray:
    """Return JSON values as an array, NaN where one is not a finite number."""
    if set(map(type, values)) <= {int, float}:
        # What a good document holds, in a tenth of the time; whole numbers that no float can hold are none here either.
        with suppress(OverflowError):
            column = np.array(values, dtype=np.float64)
            return np.where(np.isfinite(column), column, np.nan)
    return np.array([value if is_number(value) else np.nan for value in values], dtype=np.float64)


def _shown(value: object) -> str:
    return "missing" if value is None else repr(value)[:60]


def _bounds(minimum: float, maximum: float) -> str:
    if isfinite(minimum) and isfinite(maximum):
        return f"it must lie between {minimum:g} and {maximum:g}"
    return f"it must be at least {minimum:g}" if isfinite(minimum) else f"it must be at most {maximum:g}"
