"""Writes ``docs/imports.md``: for each real set what was read and landed, why not all of it, and a check of its sums.

``python -m ingestion.imports.report --shared ../shared --output docs/imports.md``. The plain sums are taken from the
files themselves, in SQL that knows nothing of the readers.
"""

import argparse
import logging
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from core.files import write_text_atomic
from core.landing import Landing
from ingestion.imports.formats import FORMATS
from ingestion.imports.importing import ImportReport, import_path
from ingestion.imports.plain_sums import PLAIN_SUMS
from ingestion.imports.reasons import MEANINGS

logger = logging.getLogger(__name__)

AS_OF: Final = datetime(2027, 1, 1, tzinfo=UTC)  # any instant after the youngest fact gives the same balance


@dataclass(frozen=True, slots=True)
class Evidence:
    """What importing a set gave: its report, and the sum over what landed and over its files."""

    report: ImportReport
    landed: float
    plain: float


def gather(data: Path, name: str, landing: Landing) -> Evidence:
    """Import a set, and sum what landed and what is in its files.

    Raises:
        ingestion.columns.UnreadableError: the set is not there.
    """
    check = PLAIN_SUMS[name]
    folder = data / check.folder
    report = import_path(folder, name, landing=landing, as_of=AS_OF)
    return Evidence(report, check.over_landing(landing, name), check.over_files(data))


def render(evidence: Mapping[str, Evidence]) -> str:
    """Return the page."""
    lines = [
        *HEAD,
        "| set | what | read | landed | duplicates | quarantined | trusted |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    lines += [_balance_line(name, one) for name, one in evidence.items()]
    lines += ["", *SUM_HEAD]
    lines += [_sum_line(name, one) for name, one in evidence.items()]
    lines += ["", *REASON_HEAD]
    for name, one in evidence.items():
        lines += [_reason_line(name, reason, count) for reason, count in one.report.reasons.items()]
    lines += ["", *TABLE_HEAD]
    lines += [_table_line(name, one) for name, one in evidence.items()]
    return "\n".join(lines) + "\n"


HEAD: Final = (
    "# Imports of history",
    "",
    "Written by `python -m ingestion.imports.report --shared ../shared --output docs/imports.md`; a test compares it",
    "with what the imports give. The sets themselves are not part of this repository.",
    "",
    "A record is a CSV line, an array element, a Parquet row or a frame. Each is counted once: read = landed +",
    "duplicates + quarantined. A bad field that is no key becomes NULL with a reason, and its record lands. Trusted is",
    "the share that is not quarantined. Importing a set a second time lands nothing; a test makes sure.",
    "",
    "## Balance",
    "",
)
SUM_HEAD: Final = (
    "## Sums",
    "",
    "What landed, as it is known now, against a plain sum over the files in SQL that knows nothing of the readers.",
    "",
    "| set | unit | plain sum over the files | landed | difference | why |",
    "|---|---|---:|---:|---:|---|",
)
REASON_HEAD: Final = (
    "## Reasons",
    "",
    "Values in the examples are made up.",
    "",
    "| set | reason | records | what it means | for example |",
    "|---|---|---:|---|---|",
)
TABLE_HEAD: Final = (
    "## Tables",
    "",
    "Trips and transactions land as two versions or more: as they were known at their start, and at their end.",
    "",
    "| set | rows landed by table | known after |",
    "|---|---|---|",
)


def _balance_line(name: str, one: Evidence) -> str:
    rows = one.report.rows
    trusted = 100 * (rows["read"] - rows["quarantined"]) / rows["read"]
    counts = " | ".join(f"{rows[key]:,}" for key in ("read", "landed", "duplicates", "quarantined"))
    return f"| `{name}` | {FORMATS[name].title} | {counts} | {trusted:.2f} % |"


def _sum_line(name: str, one: Evidence) -> str:
    gap = one.plain - one.landed
    shown = "0" if abs(gap) < 5e-4 else f"{gap:,.3f}"
    why = PLAIN_SUMS[name].difference if shown != "0" else ""
    return f"| `{name}` | {PLAIN_SUMS[name].unit} | {one.plain:,.3f} | {one.landed:,.3f} | {shown} | {why} |"


def _reason_line(name: str, reason: str, count: int) -> str:
    meaning, example = MEANINGS[reason]
    return f"| `{name}` | `{reason}` | {count:,} | {meaning} | {example} |"


def _table_line(name: str, one: Evidence) -> str:
    tables = ", ".join(f"`{table}` {rows:,}" for table, rows in sorted(one.report.entities.items()))
    minutes = FORMATS[name].latency.total_seconds() / 60
    return f"| `{name}` | {tables} | {minutes:g} min |"


def main(arguments: list[str] | None = None) -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shared", type=Path, required=True, help="folder that holds data/")
    parser.add_argument("--output", type=Path, default=Path("docs/imports.md"))
    options = parser.parse_args(arguments)
    evidence = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in PLAIN_SUMS:
            logger.info("importing %s", name)
            evidence[name] = gather(options.shared / "data", name, Landing(Path(folder)))
    write_text_atomic(options.output, render(evidence))


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    main()
