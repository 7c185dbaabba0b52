"""Mistakes in the configuration: where each one is, what is wrong, and what would be right.

Loading collects all of them before it gives up, so that a person corrects a folder once and not line by line.
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Mistake:
    """One mistake: file (name within the folder), line (1-based), field, what is wrong, what would be right."""

    file: str
    line: int
    field: str
    problem: str
    hint: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" + (f" {self.field}" if self.field else "")
        return f"{place}: {self.problem}. {self.hint}"


class ConfigurationError(ValueError):
    """The configuration cannot be used; ``mistakes`` holds every one that was found, in file and line order."""

    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        self.mistakes = tuple(sorted(set(mistakes)))
        count = len(self.mistakes)
        heading = f"{count} mistake{'' if count == 1 else 's'} in the configuration:"
        super().__init__("\n".join([heading, *(f"  {mistake}" for mistake in self.mistakes)]))
