"""Configuration files as plain values, each with the line it stands on: YAML, CSV and XLSX.

Reading only: nothing here knows what a value means. A file that cannot be read is a ``Mistake`` like any other.
"""

import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import polars as pl
import yaml

from ingestion.registry.mistakes import Mistake

KeyPath = tuple[str | int, ...]
DEEPEST: Final = 12  # far deeper than any configuration; an alias that contains itself never ends


class UnreadableFileError(Exception):
    """A file that is no YAML, CSV or XLSX; carries its mistake."""

    def __init__(self, mistake: Mistake) -> None:
        super().__init__(str(mistake))
        self.mistake = mistake


@dataclass(frozen=True, slots=True)
class RawEntry:
    """An entry as it was written: values by field, its file and line, and the lines of its parts (YAML).

    ``broken`` says why its values cannot be trusted at all, such as a CSV line with a cell too many.
    """

    file: str
    line: int
    values: Mapping[str, Any]
    lines: Mapping[KeyPath, int] = field(default_factory=dict)
    broken: Mistake | None = None

    def line_of(self, path: KeyPath) -> int:
        """Return the line of a part, or of the nearest part around it."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.lines:
                return self.lines[path[:length]]
        return self.line

    def mistake(self, path: KeyPath, problem: str, hint: str) -> Mistake:
        """Return a mistake in a part of this entry."""
        return Mistake(self.file, self.line_of(path), dotted(path), problem, hint)


def dotted(path: KeyPath) -> str:
    """Return a path as people write it: ``import_limit[0].from``."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def read_yaml(path: Path, section: str) -> list[RawEntry]:
    """Read the list of entries below the only key of a YAML file.

    Raises:
        UnreadableFileError: it is missing, no YAML, gives a key twice, or does not hold that list.
    """
    loader = yaml.SafeLoader(_text(path))
    try:
        node = loader.get_single_node()
        lines = dict(_lines(node, ())) if node is not None else {}
        document = loader.construct_document(node) if node is not None else None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise _unreadable(path, line, str(error.problem), "Correct the YAML; indent with blanks, not tabs") from error
    except ValueError as error:  # a value like 2026-02-30 that looks like a date and is none
        raise _unreadable(path, 1, str(error), "Correct the date, or put the text in quotes") from error
    finally:
        loader.dispose()
    return _entries(path, section, document, lines)


def _entries(path: Path, section: str, document: object, lines: Mapping[KeyPath, int]) -> list[RawEntry]:
    items = document.get(section) if isinstance(document, dict) else None
    if not isinstance(items, list) or set(document) != {section}:  # type: ignore[call-overload]  # a dict, by the line above
        problem = f"the file must hold one key, {section}, with a list below it"
        raise _unreadable(path, 1, problem, f"Begin with `{section}:` and indent `- ` entries below it")
    return [_yaml_entry(path, item, lines, (section, k)) for k, item in enumerate(items)]


def _yaml_entry(path: Path, item: object, lines: Mapping[KeyPath, int], place: KeyPath) -> RawEntry:
    line = lines[place]
    if not isinstance(item, dict):
        broken = Mistake(path.name, line, "", "this entry has no fields", "Write it as `- name: value` lines")
        return RawEntry(path.name, line, {}, broken=broken)
    return RawEntry(path.name, line, item, {key[2:]: at for key, at in lines.items() if key[:2] == place})


def _lines(node: yaml.Node, path: KeyPath) -> Iterator[tuple[KeyPath, int]]:
    """Yield the line of every part of a YAML document; a key that is given twice is refused."""
    if len(path) > DEEPEST:
        raise yaml.MarkedYAMLError(problem="this is nested too deeply", problem_mark=node.start_mark)
    yield path, node.start_mark.line + 1
    if isinstance(node, yaml.SequenceNode):
        for k, item in enumerate(node.value):
            yield from _lines(item, (*path, k))
    elif isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if key.value in seen:
                raise yaml.MarkedYAMLError(problem=f"{key.value} is given twice", problem_mark=key.start_mark)
            seen.add(key.value)
            yield from _lines(value, (*path, key.value))
            yield (*path, key.value), key.start_mark.line + 1


def read_csv(path: Path) -> list[RawEntry]:
    """Read a CSV file with a header; empty cells are left out, blank lines skipped.

    Raises:
        UnreadableFileError: it is missing, no UTF-8, no CSV, or has no header.
    """
    reader = csv.reader(io.StringIO(_text(path)))
    try:
        header = [name.strip() for name in next(reader, [])]
        _check_header(path, header)
        return [
            _csv_entry(path, reader.line_num, header, cells) for cells in reader if any(cell.strip() for cell in cells)
        ]
    except csv.Error as error:
        raise _unreadable(path, reader.line_num, str(error), "Write it as comma-separated UTF-8 text") from error


def _csv_entry(path: Path, line: int, header: list[str], cells: list[str]) -> RawEntry:
    values = {name: cell.strip() for name, cell in zip(header, cells, strict=False) if cell.strip()}
    if len(cells) == len(header):
        return RawEntry(path.name, line, values)
    problem = f"{len(cells)} cells where the header names {len(header)}"
    hint = "Give every column a cell (it may be empty); put text with commas in quotes"
    return RawEntry(path.name, line, values, broken=Mistake(path.name, line, "", problem, hint))


def read_xlsx(path: Path) -> list[RawEntry]:
    """Read the first sheet of a workbook, its first row the header; cells become text, empty ones are left out.

    Raises:
        UnreadableFileError: it is no workbook, or has no header.
    """
    try:
        frame = pl.read_excel(path, engine="calamine", read_options={"dtypes": "string"})
    except (pl.exceptions.PolarsError, ValueError, RuntimeError, OSError) as error:
        raise _unreadable(path, 1, f"cannot be read as a workbook ({error})", "Save it as .xlsx, or as CSV") from error
    _check_header(path, frame.columns)
    return [
        RawEntry(path.name, k + 2, {name: cell.strip() for name, cell in row.items() if cell and cell.strip()})
        for k, row in enumerate(frame.iter_rows(named=True))
        if any(row.values())
    ]


def _check_header(path: Path, header: list[str]) -> None:
    if not any(header):
        raise _unreadable(path, 1, "the file has no header", "Write the column names into the first line")
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise _unreadable(path, 1, f"columns given twice: {', '.join(twice)}", "Keep one of each")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        hint = "Write it, or let `depotwise init` write a commented starter"
        raise _unreadable(path, 1, "the file is missing", hint) from error
    except (UnicodeDecodeError, OSError) as error:
        raise _unreadable(path, 1, f"the file cannot be read ({error})", "Save it as UTF-8 text") from error


def _unreadable(path: Path, line: int, problem: str, hint: str) -> UnreadableFileError:
    return UnreadableFileError(Mistake(path.name, line, "", problem, hint))
