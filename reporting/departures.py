"""Every planned departure of a night with what was known of it: joins only, the verdict is in ``readiness``.

Each step adds columns to the planned departures, as of ``judged_at``: now, or pull-out where that has passed.
"""

from dataclasses import fields
from datetime import timedelta

import polars as pl

from reporting.readiness import Departure, judge_departure
from reporting.records import CONNECTOR_KEY, Records
from reporting.site_power import intervals_in_force
from reporting.view import DepartureLine

# The drive out of the depot nearest to the planned departure is the pull-out, if it began within these.
EARLIEST_PULL_OUT = timedelta(hours=2)
LATEST_PULL_OUT = timedelta(hours=4)
# Plans round departures to slots, and may have known of another hour.
SAME_DEPARTURE = timedelta(hours=1)


def departure_lines(records: Records) -> tuple[DepartureLine, ...]:
    """Return a line per planned departure of the night: those that are not ready first, then by pull-out."""
    lines = []
    for row in departure_facts(records).iter_rows(named=True):
        departure = Departure(**row)
        judgement = judge_departure(departure, as_of=records.as_of)
        lines.append(DepartureLine(departure, judgement, is_gone=departure.pull_out_at <= records.as_of))
    return tuple(sorted(lines, key=_board_order))


def _board_order(line: DepartureLine) -> tuple[bool, bool, str, str]:
    departure = line.departure
    needs_somebody = not line.judgement.state.is_ok or departure.has_red_battery_telltale
    return not needs_somebody, line.is_gone, departure.departure_at.isoformat(), departure.vehicle_id


def departure_facts(records: Records) -> pl.DataFrame:
    """Return one row per planned departure with the fields of ``Departure``."""
    planned = records.duties.filter(
        pl.col("planned_departure_at").is_between(records.span.start_at, records.span.end_at, closed="left")
    ).select(
        "vehicle_id",
        "block_id",
        "route_id",
        departure_at="planned_departure_at",
        duty_soc_pct="min_target_soc_pct",
    )
    facts = planned.sort("departure_at", "vehicle_id", "block_id", maintain_order=True)
    for add in (
        _add_pull_out,
        _add_plan,
        _add_session,
        _add_sight,
        _add_reading,
        _add_metered,
        _add_planned,
        _add_vehicle,
    ):
        facts = add(facts, records)
    return facts.select(field.name for field in fields(Departure))


def _add_pull_out(facts: pl.DataFrame, records: Records) -> pl.DataFrame:
    """When it really left, where that is known, and the instant at which the departure is judged."""
    is_out_of_here = pl.col("start_site_id").fill_null(records.site_id) == records.site_id
    is_shunting = (pl.col("end_site_id") == records.site_id) & (pl.col("distance_km") < 1)
    drives = (
        records.trips.filter(is_out_of_here, ~is_shunting.fill_null(value=False))
        .select("vehicle_id", pulled_out_at="started_at")
        .sort("pulled_out_at", maintain_order=True)
    )
    is_too_early = pl.col("departure_at") - pl.col("pulled_out_at") > EARLIEST_PULL_OUT
    pull_out_at = pl.coalesce("pulled_out_at", "departure_at")
    return (
        facts.join_asof(
            drives,
            left_on="departure_at",
            right_on="pulled_out_at",
            by="vehicle_id",
            strategy="nearest",
            tolerance=LATEST_PULL_OUT,
            check_sortedness=False,
            coalesce=False,
        )
        .with_columns(pulled_out_at=pl.when(~is_too_early).then("pulled_out_at"))
        .with_columns(judged_at=pl.min_horizontal(pull_out_at, pl.lit(records.as_of)))
    )


def _add_plan(facts: pl.DataFrame, records: Records) -> pl.DataFrame:
    """The last plan made before the departure that covers it."""
    departure = ["vehicle_id", "block_id", "departure_at"]
    lines = (
        facts.select(*departure, "pulled_out_at")
        .join(records.plan_vehicles, on="vehicle_id", how="inner", maintain_order="left_right")
        .filter(
            (pl.col("requested_departure_at") - pl.col("departure_at")).abs() <= SAME_DEPARTURE,
            pl.col("plan_as_of") <= pl.coalesce("pulled_out_at", "departure_at"),
        )
        .sort("plan_as_of", "plan_id", maintain_order=True)
        .unique(departure, keep="last", maintain_order=True)
        .select(
            *departure,
            "expected_arrival_at",
            "reason_text",
            plan_soc_pct="min_target_soc_pct",
            predicted_soc_pct="predicted_departure_soc_pct",
            planned_soc_rung="soc_rung",
            planned_soc_source="soc_source",
            planned_station_id="station_id",
            planned_connector_id="connector_id",
        )
    )
    return facts.join(lines, on=departure, how="left", maintain_order="left").with_columns(
        required_soc_pct=pl.coalesce("plan_soc_pct", "duty_soc_pct")
    )


def _add_session(facts: pl.DataFrame, records: Records) -> pl.DataFrame:
    """The vehicle's last transaction of this night, and whether it still runs."""
    of_vehicles = records.sessions.drop_nulls("vehicle_id").filter(
        pl.col("ended_at").is_null() | (pl.col("ended_at") >= records.span.start_at)
    )
    sessions = of_vehicles.select(
        "vehicle_id",
        "match_confidence",
        plugged_at="started_at",
        unplugged_at="ended_at",
        session_station_id="station_id",
        session_connector_id="connector_id",
    ).sort("plugged_at", maintain_order=True)
    ended_by_then = pl.col("unplugged_at") <= pl.col("judged_at")
    return (
        facts.sort("judged_at", maintain_order=True)
        .join_asof(
            sessions,
            left_on="judged_at",
            right_on="plugged_at",
            by="vehicle_id",
            check_sortedness=False,
            coalesce=False,
        )
        .with_columns(
            unplugged_at=pl.when(ended_by_then).then("unplugged_at"),
            is_plugged=pl.col("plugged_at").is_not_null() & ~ended_by_then.fill_null(value=False),
            station_id=pl.coalesce("session_station_id", "planned_station_id"),
            connector_id=pl.coalesce("session_connector_id", "planned_connector_id"),
        )
    )


def _add_sight(facts: pl.DataFrame, records: Records) -> pl.DataFrame:
    """What the vehicle itself last said of its place, its cable and its tell-tales."""
    seen = records.snapshots.sort("observed_at", maintain_order=True)
    cables = seen.select("vehicle_id", "is_plugged", cable_at="observed_at").drop_nulls()
    telltales = seen.select("vehicle_id", "has_red_battery_telltale", telltale_at="observed_at").drop_nulls()
    facts = _latest(facts, seen.select("vehicle_id", seen_at="observed_at"), at="seen_at")
    facts = _latest(facts, records.places, at="placed_at", allow_exact_matches=False)
    facts = _latest(facts, telltales, at="telltale_at")
    facts = _latest(facts.rename({"is_plugged": "is_charging"}), cables, at="cable_at")
    # Whatever was plugged in before the vehicle's present stay says nothing of it.
    is_of_this_stay = ~(pl.col("unplugged_at") < pl.col("home_since")).fill_null(value=False)
    facts = facts.with_columns(
        pl.when(is_of_this_stay).then(pl.col("plugged_at", "unplugged_at", "match_confidence")).name.keep()
    )
    # A cable that the charger has seen pulled since counts as pulled, whatever the vehicle said before.
    is_cable_in = pl.col("is_plugged") & (pl.col("cable_at") > pl.col("unplugged_at")).fill_null(value=True)
    is_home = pl.col("is_home").fill_null(value=False)
    return facts.with_columns(
        is_plugged=pl.col("is_charging") | (is_home & is_cable_in.fill_null(value=False)),
        # Where chargers speak, they would have told of a session.
        is_plug_known=pl.lit(records.sessions.height > 0) | pl.col("cable_at").is_not_null(),
        has_red_battery_telltale=pl.col("has_red_battery_telltale").fill_null(value=False),
    ).with_columns(
        is_at_depot=pl.col("is_plugged") | is_home,
        plugged_at=pl.coalesce("plugged_at", pl.when("is_plugged").then("cable_at")),
    )


def _add_reading(facts: pl.DataFrame, records: Records) -> pl.DataFrame:
    """The last SoC reported, and whether the vehicle has stood at the depot since."""
    readings = records.readings.select(
        "vehicle_id",
        "freshness_min",
        reading_at="observed_at",
        reading_soc_pct="soc_pct",
        reading_source="source",
        is_read_home="is_home",
    )
    # Strictly before: neither the pull-out itself nor the duty that it begins moved the vehicle until then.
    drives = records.trips.select("vehicle_id", driven_at="started_at").sort("driven_at", maintain_order=True)
    duties = records.duties.select("vehicle_id", "planned_return_at", due_out_at="planned_departure_at")
    facts = _latest(facts, drives, at="driven_at", allow_exact_matches=False)
    facts = facts.sort("departure_at", maintain_order=True).join_asof(
        duties.sort("due_out_at", maintain_order=True),
        left_on="departure_at",
        right_on="due_out_at",
        by="vehicle_id",
        allow_exact_matches=False,
        check_sortedness=False,
        coalesce=False,
    )
    moved_at = pl.max_horizontal("driven_at", "due_out_at")
    is_driven_since = (moved_at >= pl.col("reading_at")).fill_null(value=False)
    return _latest(facts, readings, at="reading_at").with_columns(
        pl.col("freshness_min").fill_null(60.0),
        is_parked_since_reading=(pl.col("is_read_home").fill_null(value=False) & ~is_driven_since),
    )


def _add_metered(facts: pl.DataFrame, records: Records) -> pl.DataFrame:
    """Energy that chargers counted into the vehicle since its last reading."""
    counted = (
        records.charged.drop_nulls("vehicle_id")
        .sort("end_at", maintain_order=True)
        .select(
            "vehicle_id",
            metered_at="end_at",
            counted_kwh=pl.col("energy_kwh").cum_sum().over("vehicle_id"),
        )
    )
    at_reading = counted.select("vehicle_id", counted_at="metered_at", counted_before_kwh="counted_kwh")
    return (
        _latest(facts, counted, at="metered_at")
        .sort("reading_at", maintain_order=True)
        .join_asof(
            at_reading,
            left_on="reading_at",
            right_on="counted_at",
            by="vehicle_id",
            check_sortedness=False,
        )
        .with_columns(metered_kwh=pl.col("counted_kwh") - pl.col("counted_before_kwh").fill_null(0.0))
    )


def _add_planned(facts: pl.DataFrame, records: Records) -> pl.DataFrame:
    """Energy that the plan gives the vehicle from its last reading (or the charger's count after it) to pull-out."""
    hours = (pl.col("end_at") - pl.col("start_at")).dt.total_seconds() / 3600
    planned = (
        intervals_in_force(records)
        .sort("end_at", maintain_order=True)
        .select(
            "vehicle_id",
            planned_at="end_at",
            planned_kwh=(pl.col("power_kw") * hours).cum_sum().over("vehicle_id"),
        )
    )
    given = planned.rename({"planned_at": "given_at", "planned_kwh": "given_kwh"})
    return (
        facts.with_columns(known_at=pl.max_horizontal("reading_at", "metered_at"))
        .sort("known_at", maintain_order=True)
        .join_asof(given, left_on="known_at", right_on="given_at", by="vehicle_id", check_sortedness=False)
        .sort("departure_at", maintain_order=True)
        .join_asof(planned, left_on="departure_at", right_on="planned_at", by="vehicle_id", check_sortedness=False)
        .with_columns(planned_kwh_ahead=pl.col("planned_kwh") - pl.col("given_kwh").fill_null(0.0))
    )


def _add_vehicle(facts: pl.DataFrame, records: Records) -> pl.DataFrame:
    """What the battery holds, what vehicle and connector can take together, and whether the connector can give it."""
    vehicles = records.vehicles.select(
        "vehicle_id",
        "efficiency",
        "ac_max_kw",
        "dc_max_kw",
        battery_kwh=pl.col("usable_kwh") * pl.col("soh_pct").fill_null(100.0) / 100,
    )
    connectors = records.connectors.select(*CONNECTOR_KEY, "current_type", connector_kw="max_kw")
    vehicle_kw = (
        pl.when(pl.col("current_type") == "ac")
        .then("ac_max_kw")
        .when(pl.col("current_type") == "dc")
        .then("dc_max_kw")
        .otherwise(pl.max_horizontal("ac_max_kw", "dc_max_kw"))
    )
    return (
        facts.join(vehicles, on="vehicle_id", how="left", maintain_order="left")
        .join(connectors, on=CONNECTOR_KEY, how="left", maintain_order="left")
        .join(records.faults, on=CONNECTOR_KEY, how="left", maintain_order="left")
        .with_columns(max_kw=pl.min_horizontal(vehicle_kw, "connector_kw"))
        .sort("departure_at", "vehicle_id", "block_id", maintain_order=True)
    )


def _latest(facts: pl.DataFrame, events: pl.DataFrame, *, at: str, allow_exact_matches: bool = True) -> pl.DataFrame:
    """Add the vehicle's last event until ``judged_at``; ``events`` are sorted by ``at``."""
    return facts.sort("judged_at", maintain_order=True).join_asof(
        events,
        left_on="judged_at",
        right_on=at,
        by="vehicle_id",
        allow_exact_matches=allow_exact_matches,
        check_sortedness=False,
        coalesce=False,
    )
