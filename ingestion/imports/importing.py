"""Files of a set become rows of the landing zone, with a balance: read = landed + duplicates + quarantined.

The steps that are equal for all sets are here; what a set's fields mean is in its own module.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import polars as pl

from core.clock import WallClock
from core.entities import ENTITIES
from core.landing import Landing, LandingReport
from core.schema import INSTANT
from ingestion.columns import Check, check
from ingestion.imports.formats import format_named
from ingestion.imports.history import KNOWN_SINCE, RECORD_REF, Format, History
from ingestion.providers.base import RECORD
from ingestion.quality.plausibility import NOTHING_KNOWN, PLAUSIBILITY, with_known
from ingestion.quality.rules import row_rules

SCHEMA: Final = "depotwise.import/1"


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What became of the records of an import.

    Attributes:
        format: Name of the set.
        rows: Source records: read, landed, duplicates and quarantined; the first is the sum of the others.
        reasons: Records by reason, of those quarantined and of those that landed without a bad field.
        entities: Rows landed by table (a record may give several, or a part of one).
    """

    format: str
    rows: Mapping[str, int]
    reasons: Mapping[str, int]
    entities: Mapping[str, int]

    def document(self) -> dict[str, Any]:
        """Return the report as ``depotwise.import/1``."""
        return {
            "schema": SCHEMA,
            "format": self.format,
            "rows": dict(self.rows),
            "reasons": dict(self.reasons),
            "entities": dict(self.entities),
        }


def import_path(path: Path, format: str, *, landing: Landing, as_of: datetime | None = None) -> ImportReport:  # noqa: A002 - the command's own word
    """Land the files of a set; landing the same again changes nothing and counts as duplicates.

    Args:
        path: A file, or a folder that holds the set's files.
        format: Name of the set.
        landing: Where to.
        as_of: The run's instant, which becomes ``ingested_at``; without it, now.

    Raises:
        ingestion.columns.UnreadableError: there is no such format, no such file, or a file is not what it should be.
    """
    chosen = format_named(format)
    ingested_at = as_of or WallClock().now()
    history = ruled(chosen.read(chosen.files(path)), as_of=ingested_at)
    return land(history, chosen, landing=landing, ingested_at=ingested_at)


def ruled(history: History, *, as_of: datetime) -> History:
    """Apply the rules that hold for every source, whatever a set's own module has checked already."""
    rows, rejected = {}, [history.rejected]
    for entity, table in history.rows.items():
        rules = [rule for rule in row_rules(ENTITIES[entity], table.columns, as_of=as_of) if not _is_about_age(rule)]
        sane, found = check(table, rules, entity=entity)
        plausible = PLAUSIBILITY[entity](table.columns) if entity in PLAUSIBILITY else []
        good, implausible = check(with_known(sane, NOTHING_KNOWN), plausible, entity=entity)
        rows[entity] = good.select(table.columns)
        rejected += [found, implausible]
    # Both versions of a row fail the same rule; that is one finding.
    found_once = pl.concat(rejected).unique([RECORD, "entity", "reason"], keep="first", maintain_order=True)
    return replace(history, rows=rows, rejected=found_once)


def _is_about_age(rule: Check) -> bool:
    """Say whether a rule distrusts an instant for being old, which history is; each set has its own checks of that."""
    return rule.reason.endswith("_too_early")


def land(history: History, chosen: Format, *, landing: Landing, ingested_at: datetime) -> ImportReport:
    """Land what the files held and strike the balance."""
    entities: dict[str, int] = {}
    outcome = LandingReport()
    shown = pl.Series(RECORD, [], pl.Int64)
    for entity, rows in history.rows.items():
        stands = rows[RECORD].is_first_distinct() & ~rows[RECORD].is_in(shown.implode())
        shown = shown.append(rows[RECORD].filter(stands))
        standing, further = (
            _append(landing, entity, part.drop(RECORD), chosen.name, ingested_at)
            for part in (rows.filter(stands), rows.filter(~stands))
        )
        outcome += standing
        entities[entity] = entities.get(entity, 0) + standing.landed + further.landed
    quarantined = _quarantined(history, chosen)
    for entity, rows in {
        **history.context,
        "source_contract": _contract(chosen),
        "quarantined_row": quarantined,
    }.items():
        landed = _append(landing, entity, rows, chosen.name, ingested_at).landed
        entities[entity] = entities.get(entity, 0) + landed
    reasons = history.rejected.group_by("reason").agg(pl.col(RECORD).n_unique()).sort("reason")
    return ImportReport(
        chosen.name,
        _balance(history, outcome, shown),
        dict(reasons.iter_rows()),
        {name: landed for name, landed in entities.items() if landed},
    )


def _append(landing: Landing, entity: str, rows: pl.DataFrame, source: str, ingested_at: datetime) -> LandingReport:
    return landing.append(entity, rows.with_columns(ingested_at=pl.lit(ingested_at, INSTANT)), source=source)


def _balance(history: History, outcome: LandingReport, shown: pl.Series) -> dict[str, int]:
    """Count records.

    A record that is trusted but gives no row of its own (a heartbeat, an answer that only completes the row of its
    question) is counted with the others of its import: landed, unless all of those were there already.
    """
    read = history.records.height
    refused = history.rejected.filter(~pl.col("field_only"))[RECORD].unique()
    quarantined = int((~refused.is_in(shown.implode())).sum())
    silent = read - quarantined - outcome.landed - outcome.duplicates
    landed = outcome.landed + (0 if outcome.duplicates and not outcome.landed else silent)
    return {"read": read, "landed": landed, "duplicates": read - quarantined - landed, "quarantined": quarantined}


def _quarantined(history: History, chosen: Format) -> pl.DataFrame:
    """Return the refused records as they came, personal columns left out."""
    refused = history.rejected.filter(~pl.col("field_only"))
    names = [name for name in history.records.columns if name not in (RECORD, RECORD_REF, *chosen.private)]
    kept = pl.struct(names).struct.json_encode() if names else pl.lit("{}")
    records = history.records.join(refused.select(RECORD).unique(), on=RECORD, how="semi")
    known = pl.lit(KNOWN_SINCE, INSTANT)
    return (
        refused.join(records.select(RECORD, RECORD_REF, record_json=kept), on=RECORD, maintain_order="left")
        .select("entity", "reason", "detail", RECORD_REF, "record_json")
        # When the record was so is what cannot be trusted, so one instant serves for all.
        .with_columns(is_restricted=pl.lit(value=False), observed_at=known, available_at=known)
    )


def _contract(chosen: Format) -> pl.DataFrame:
    contract = {
        "source_id": chosen.name,
        "kind": "import",
        "latency_min": chosen.latency.total_seconds() / 60,
        "on_failure": "history: nothing of tonight depends on it",
        "observed_at": KNOWN_SINCE,
        "available_at": KNOWN_SINCE,
    }
    return pl.DataFrame([contract])
