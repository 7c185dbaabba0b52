"""The operations page's content, assembled from landing as it was known at an instant.

Before the night there is only a plan; afterwards there is what happened: one function, and what is unknown is None.
Only landing is read, never the warehouse: the page is there when nothing else is.
"""

from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl

from core.files import write_text_atomic
from core.landing import Landing
from reporting.departures import departure_lines
from reporting.forecast_quality import forecast_lines
from reporting.nights import night_at
from reporting.records import CONNECTOR_KEY, Records, power_by_slot, read_current, read_records
from reporting.site_power import intervals_in_force, site_power
from reporting.view import (
    Comparison,
    ConnectorLine,
    DepartureLine,
    GanttBar,
    OperationsView,
    PowerStep,
    QuarantineLine,
    Span,
    StaleSource,
)


def load_view(
    landing: Landing,
    *,
    site_id: str,
    as_of: datetime,
    span: Span | None = None,
    comparison: Comparison | None = None,
) -> OperationsView:
    """Assemble one site's night as it was known at ``as_of``.

    Args:
        landing: Where all rows lie.
        site_id: A site that has been landed.
        as_of: Nothing that became available later is read.
        span: Departures within it are shown; by default the night, local noon to noon, that holds ``as_of``.
        comparison: What other ways to charge would have cost, where somebody has worked it out.

    Raises:
        LookupError: no such site was known then.
    """
    site = _site(landing, site_id, as_of)
    span = span or night_at(as_of, site["timezone"])
    records = read_records(landing, site_id=site_id, as_of=as_of, span=span)
    lines = departure_lines(records)
    plan = records.plans.row(-1, named=True) if records.plans.height else {}
    return OperationsView(
        site_id=site_id,
        name=site["name"] or site_id,
        timezone=site["timezone"],
        span=span,
        as_of=as_of,
        currency=site["currency"],
        plan_id=plan.get("plan_id"),
        plan_as_of=plan.get("as_of"),
        newest_data_at=_newest_data_at(records, lines),
        departures=lines,
        power=site_power(landing, records, site=site),
        gantt=_gantt(records, lines),
        quarantine=_quarantine(landing, records),
        stale=_stale(records, lines),
        connectors=_connectors(landing, records),
        forecasts=forecast_lines(landing, records),
        comparison=comparison,
    )


def write_page(path: Path, html: str) -> None:
    """Put a page in place whole: who opens it sees the old page or the new one."""
    write_text_atomic(path, html)


def _site(landing: Landing, site_id: str, as_of: datetime) -> dict[str, Any]:
    sites = read_current(landing, "site", as_of=as_of)
    found = sites.filter(pl.col("site_id") == site_id)
    if found.is_empty():
        known = ", ".join(sites["site_id"]) or "none"
        raise LookupError(f"no site {site_id!r} is known as of {as_of.isoformat()}; known: {known}")
    return found.row(0, named=True)


def _home_vehicles(records: Records, lines: tuple[DepartureLine, ...]) -> list[str]:
    """Return the vehicles at home here, and those that leave from here tonight."""
    at_home = records.vehicles.filter(pl.col("site_id") == records.site_id)["vehicle_id"]
    return sorted({*at_home, *(line.departure.vehicle_id for line in lines)})


def _newest_data_at(records: Records, lines: tuple[DepartureLine, ...]) -> datetime | None:
    ours = pl.col("vehicle_id").is_in(_home_vehicles(records, lines))
    newest = [
        records.snapshots.filter(ours)["observed_at"].max(),
        records.sessions["observed_at"].max(),
        records.charged["end_at"].max(),
    ]
    return max((instant for instant in newest if isinstance(instant, datetime)), default=None)


def _gantt(records: Records, lines: tuple[DepartureLine, ...]) -> tuple[GanttBar, ...]:
    """Return a bar per vehicle that leaves, is planned or was plugged in tonight, by departure."""
    span, tonight = records.span, pl.col("start_at").is_between(records.span.start_at, records.span.end_at)
    departures: dict[str, list[datetime]] = {}
    for line in sorted(lines, key=lambda line: line.departure.departure_at):
        departures.setdefault(line.departure.vehicle_id, []).append(line.departure.departure_at)
    plugged = _plugged(records)
    expected = _expected(records)
    planned = _steps(intervals_in_force(records).filter(tonight))
    by_vehicle = power_by_slot(records.charged.drop_nulls("vehicle_id"), "vehicle_id")
    metered = _steps(by_vehicle.filter(tonight).with_columns(end_at=pl.col("start_at") + pl.duration(minutes=15)))
    bars = [
        GanttBar(
            vehicle_id=vehicle_id,
            plugged=plugged.get(vehicle_id, ()),
            expected=expected.get(vehicle_id, ()),
            planned=planned.get(vehicle_id, ()),
            metered=metered.get(vehicle_id, ()),
            departures=tuple(departures.get(vehicle_id, ())),
        )
        for vehicle_id in {*departures, *plugged, *expected, *planned}
    ]
    return tuple(sorted(bars, key=lambda bar: (min(bar.departures, default=span.end_at), bar.vehicle_id)))


def _plugged(records: Records) -> dict[str, tuple[Span, ...]]:
    """Return when each vehicle was plugged in tonight, as chargers saw it."""
    until = min(records.as_of, records.span.end_at)
    stays = (
        records.sessions.drop_nulls("vehicle_id")
        .with_columns(
            start_at=pl.max_horizontal("started_at", pl.lit(records.span.start_at)),
            end_at=pl.min_horizontal(pl.col("ended_at").fill_null(until), pl.lit(until)),
        )
        .filter(pl.col("start_at") < pl.col("end_at"))
    )
    return _spans(stays)


def _expected(records: Records) -> dict[str, tuple[Span, ...]]:
    """Return when the newest plan expects vehicles to be plugged in that are not yet."""
    if records.plans.is_empty():
        return {}
    newest = records.plan_vehicles.filter(pl.col("plan_id") == records.plans["plan_id"][-1])
    stays = (
        newest.drop_nulls(["expected_arrival_at", "requested_departure_at"])
        .with_columns(
            start_at=pl.max_horizontal("expected_arrival_at", pl.lit(max(records.as_of, records.span.start_at))),
            end_at=pl.min_horizontal("requested_departure_at", pl.lit(records.span.end_at)),
        )
        .filter(pl.col("start_at") < pl.col("end_at"))
    )
    return _spans(stays)


def _spans(stays: pl.DataFrame) -> dict[str, tuple[Span, ...]]:
    spans: dict[str, tuple[Span, ...]] = {}
    rows = stays.select("vehicle_id", "start_at", "end_at").sort("vehicle_id", "start_at", "end_at")
    for vehicle_id, start_at, end_at in rows.iter_rows():
        spans[vehicle_id] = (*spans.get(vehicle_id, ()), Span(start_at, end_at))
    return spans


def _steps(power: pl.DataFrame) -> dict[str, tuple[PowerStep, ...]]:
    columns = power.select("vehicle_id", "start_at", "end_at", "power_kw").sort("vehicle_id", "start_at")
    return {
        str(part["vehicle_id"][0]): tuple(PowerStep(*row[1:]) for row in part.iter_rows())
        for part in columns.partition_by("vehicle_id", maintain_order=True)
    }


def _quarantine(landing: Landing, records: Records) -> tuple[QuarantineLine, ...]:
    """Count what was quarantined since the night began; an example of personal data is not shown."""
    rows = read_current(landing, "quarantined_row", as_of=records.as_of)
    detail = pl.when(~pl.col("is_restricted").fill_null(value=False)).then(pl.coalesce("detail", "record_ref"))
    counts = (
        rows.filter(pl.col("ingested_at").is_between(records.span.start_at, records.as_of))
        .group_by("entity", "reason", maintain_order=True)
        .agg(rows=pl.len(), example=detail.drop_nulls().first())
        .sort("rows", "entity", "reason", descending=[True, False, False])
    )
    return tuple(QuarantineLine(**row) for row in counts.iter_rows(named=True))


def _stale(records: Records, lines: tuple[DepartureLine, ...]) -> tuple[StaleSource, ...]:
    """Return the vehicles whose last report is older than their source promises, or that never reported."""
    vehicles = pl.DataFrame({"vehicle_id": _home_vehicles(records, lines)}, schema={"vehicle_id": pl.String()})
    last = (
        records.snapshots.sort("observed_at", maintain_order=True)
        .unique("vehicle_id", keep="last", maintain_order=True)
        .select("vehicle_id", source_id="source", last_at="observed_at")
    )
    contracts = records.contracts.select("source_id", "owner", "contact", "on_failure", promised_min="freshness_min")
    silent_min = (pl.lit(records.as_of) - pl.col("last_at")).dt.total_seconds() / 60
    stale = (
        vehicles.join(last, on="vehicle_id", how="left", maintain_order="left")
        .join(contracts, on="source_id", how="left", maintain_order="left")
        .filter(pl.col("last_at").is_null() | (silent_min > pl.col("promised_min")))
        .sort("source_id", "last_at", "vehicle_id", nulls_last=True)
    )
    return tuple(StaleSource(**row) for row in stale.iter_rows(named=True))


def _connectors(landing: Landing, records: Records) -> tuple[ConnectorLine, ...]:
    """Return every connector of the site, what the bridge last said of it, and who is plugged in."""
    running = (
        records.sessions.filter(pl.col("ended_at").is_null())
        .unique(CONNECTOR_KEY, keep="last", maintain_order=True)
        .select(*CONNECTOR_KEY, "vehicle_id", is_in_use=pl.lit(value=True))
    )
    made = records.plans.select("plan_id", plan_as_of="as_of")
    states = (
        read_current(landing, "profile_state", as_of=records.as_of, since=records.span.start_at)
        .join(made, on="plan_id", how="inner", maintain_order="left")
        .sort("plan_as_of", "observed_at", maintain_order=True)
        .unique(CONNECTOR_KEY, keep="last", maintain_order=True)
        .select(*CONNECTOR_KEY, "state", "evidence", "detail", updated_at="observed_at")
    )
    # What charges at a silent station may go on charging.
    silent = records.silent.join(running, on=CONNECTOR_KEY, how="anti")
    closed = pl.concat([records.faults, silent]).group_by(CONNECTOR_KEY).agg(closed_since=pl.col("faulty_since").min())
    lines = (
        records.connectors.select(CONNECTOR_KEY)
        .join(running, on=CONNECTOR_KEY, how="left", maintain_order="left")
        .join(states, on=CONNECTOR_KEY, how="left", maintain_order="left")
        .join(closed, on=CONNECTOR_KEY, how="left", maintain_order="left")
        .with_columns(pl.col("is_in_use").fill_null(value=False))
        .sort(CONNECTOR_KEY)
    )
    return tuple(ConnectorLine(**row) for row in lines.iter_rows(named=True))
