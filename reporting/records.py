"""The rows of one site's night, read from landing as of an instant and put into the shape that the page needs.

One row per key, whatever the source; charger samples become energy per stretch of time and vehicle. What rows mean
for a departure is said in ``departures``; nothing here judges.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

from core.entities import ENTITIES
from core.faults import LONGEST_LINK, faulty_connectors, silent_connectors
from core.landing import Landing
from core.time_grid import SLOT, SLOT_HOURS
from reporting.view import Span

# Vehicles stand over a long weekend: their last report, or the plug-in that still holds, may lie days back.
LOOKBACK = timedelta(days=7)
# No plan looks further ahead than this.
LONGEST_PLAN = timedelta(hours=36)
DEFAULT_FRESHNESS_MIN = 60.0
# A vehicle's last word on its way in may be a few minutes older than its arrival.
WAY_IN = timedelta(minutes=10)

CONNECTOR_KEY = ["station_id", "connector_id"]
SESSION_KEY = [*CONNECTOR_KEY, "transaction_id", "started_at"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Records:
    """One site's rows: configuration, plans, and what vehicles and chargers said until ``as_of``.

    ``sessions``: transactions with the matched vehicle and its confidence. ``places``: vehicle_id, placed_at, is_home,
    home_since. ``readings``: vehicle_id, observed_at, soc_pct, source, freshness_min, is_home. ``charged``: station,
    connector, vehicle, start_at, end_at, energy_kwh. ``faults`` and ``silent``: station, connector, faulty_since.
    """

    site_id: str
    as_of: datetime
    span: Span
    vehicles: pl.DataFrame
    connectors: pl.DataFrame
    contracts: pl.DataFrame
    duties: pl.DataFrame
    plans: pl.DataFrame
    plan_vehicles: pl.DataFrame
    plan_intervals: pl.DataFrame
    snapshots: pl.DataFrame
    trips: pl.DataFrame
    sessions: pl.DataFrame
    places: pl.DataFrame
    readings: pl.DataFrame
    charged: pl.DataFrame
    faults: pl.DataFrame
    silent: pl.DataFrame


def read_current(landing: Landing, entity_name: str, *, as_of: datetime, since: datetime | None = None) -> pl.DataFrame:
    """Return one row per key as of an instant: the version known last, whichever source brought it."""
    key = list(ENTITIES[entity_name].key)
    rows = landing.read(entity_name, as_of=as_of, since=since)
    return rows.sort([*key, "available_at", "source"], maintain_order=True).unique(
        key, keep="last", maintain_order=True
    )


def read_records(landing: Landing, *, site_id: str, as_of: datetime, span: Span) -> Records:
    """Read one site's night as it was known at ``as_of``."""
    since = span.start_at - LOOKBACK
    is_here = pl.col("site_id") == site_id

    def of_site(entity_name: str, *, since: datetime | None = None) -> pl.DataFrame:
        return read_current(landing, entity_name, as_of=as_of, since=since).filter(is_here)

    connectors = of_site("connector")
    contracts = read_current(landing, "source_contract", as_of=as_of)
    snapshots = read_current(landing, "vehicle_snapshot", as_of=as_of, since=since)
    sessions = _sessions(landing, connectors, site_id=site_id, as_of=as_of, since=since)
    samples = read_current(landing, "meter_value", as_of=as_of, since=since).join(
        connectors, on=CONNECTOR_KEY, how="semi", maintain_order="left"
    )
    planned_since = span.start_at - LONGEST_PLAN
    plans = of_site("plan", since=planned_since).filter(pl.col("as_of") <= as_of).sort("as_of", "plan_id")
    trips = read_current(landing, "trip", as_of=as_of, since=since).filter(~pl.col("is_deleted").fill_null(value=False))
    places = _places(snapshots, trips, sessions, site_id=site_id)
    return Records(
        site_id=site_id,
        as_of=as_of,
        span=span,
        vehicles=read_current(landing, "vehicle", as_of=as_of),
        connectors=connectors,
        contracts=contracts,
        duties=of_site("duty").filter(~pl.col("is_deleted").fill_null(value=False)),
        plans=plans,
        plan_vehicles=_of_plans(of_site("plan_vehicle", since=planned_since), plans),
        plan_intervals=_of_plans(of_site("plan_interval", since=planned_since), plans),
        snapshots=snapshots,
        trips=trips,
        sessions=sessions,
        places=places,
        readings=_placed(_readings(snapshots, trips, sessions, samples, contracts=contracts), places),
        charged=_charged(sessions, samples),
        faults=faulty_connectors(read_current(landing, "connector_status", as_of=as_of, since=since), connectors),
        silent=silent_connectors(
            read_current(landing, "station_link", as_of=as_of, since=as_of - LONGEST_LINK), connectors, as_of=as_of
        ),
    )


def _of_plans(lines: pl.DataFrame, plans: pl.DataFrame) -> pl.DataFrame:
    """Give lines of plans their plan's ``as_of`` and start."""
    made = plans.select("plan_id", plan_as_of="as_of", plan_start_at="start_at")
    return lines.join(made, on="plan_id", how="inner", maintain_order="left")


def _sessions(
    landing: Landing, connectors: pl.DataFrame, *, site_id: str, as_of: datetime, since: datetime
) -> pl.DataFrame:
    """Return the site's transactions, each with the vehicle that it is believed to charge, or none."""
    matches = read_current(landing, "session_match", as_of=as_of, since=since).select(
        *SESSION_KEY, matched_vehicle_id="vehicle_id", match_confidence="confidence"
    )
    return (
        read_current(landing, "charging_transaction", as_of=as_of, since=since)
        .join(connectors.select(*CONNECTOR_KEY, is_here=True), on=CONNECTOR_KEY, how="left", maintain_order="left")
        .filter(pl.col("is_here").fill_null(value=False) | (pl.col("site_id") == site_id).fill_null(value=False))
        .join(matches, on=SESSION_KEY, how="left", maintain_order="left")
        .with_columns(vehicle_id=pl.coalesce("matched_vehicle_id", "vehicle_id"))
        .sort("started_at", *CONNECTOR_KEY, maintain_order=True)
    )


def _places(snapshots: pl.DataFrame, trips: pl.DataFrame, sessions: pl.DataFrame, *, site_id: str) -> pl.DataFrame:
    """Return when each vehicle was known to be at the site, or away, and since when it has been there.

    A report without a place says neither: many providers send position and SoC apart.
    """
    is_moving = pl.col("speed_kmh") > 5
    events = [
        snapshots.select(
            "vehicle_id",
            placed_at="observed_at",
            is_home=pl.when(is_moving).then(pl.lit(value=False)).otherwise(pl.col("at_site_id") == site_id),
        ),
        trips.select("vehicle_id", placed_at="started_at", is_home=pl.lit(value=False)),
        trips.select("vehicle_id", placed_at="ended_at", is_home=pl.col("end_site_id") == site_id),
        sessions.select("vehicle_id", placed_at="started_at", is_home=pl.lit(value=True)),
        sessions.select("vehicle_id", placed_at="ended_at", is_home=pl.lit(value=True)),
    ]
    return (
        pl.concat(events)
        .drop_nulls()
        # Of two events at one instant, leaving is the later one.
        .sort("placed_at", "vehicle_id", "is_home", descending=[False, False, True], maintain_order=True)
        .with_columns(visit=pl.col("is_home").rle_id().over("vehicle_id"))
        .with_columns(home_since=pl.when("is_home").then(pl.col("placed_at").min().over("vehicle_id", "visit")))
        .drop("visit")
    )


def _readings(
    snapshots: pl.DataFrame,
    trips: pl.DataFrame,
    sessions: pl.DataFrame,
    samples: pl.DataFrame,
    *,
    contracts: pl.DataFrame,
) -> pl.DataFrame:
    """Return every SoC that a vehicle, or a charger that it was plugged into, reported, with its source's promise."""
    promised = contracts.select(source="source_id", freshness_min="freshness_min")
    told = [
        snapshots.select("vehicle_id", "observed_at", "soc_pct", "source"),
        trips.select("vehicle_id", "source", observed_at="started_at", soc_pct="soc_start_pct"),
        trips.select("vehicle_id", "source", observed_at="ended_at", soc_pct="soc_end_pct"),
        _session_of(samples, sessions).select("vehicle_id", "observed_at", "soc_pct", source=pl.lit("charger")),
        sessions.select("vehicle_id", source=pl.lit("charger"), observed_at="started_at", soc_pct="soc_start_pct"),
        sessions.select("vehicle_id", source=pl.lit("charger"), observed_at="ended_at", soc_pct="soc_end_pct"),
    ]
    return (
        pl.concat(told, how="diagonal")
        .drop_nulls(["vehicle_id", "observed_at", "soc_pct"])
        .join(promised, on="source", how="left", maintain_order="left")
        .with_columns(pl.col("freshness_min").fill_null(DEFAULT_FRESHNESS_MIN))
        .sort("observed_at", "vehicle_id", "source", "soc_pct", maintain_order=True)
    )


def _placed(readings: pl.DataFrame, places: pl.DataFrame) -> pl.DataFrame:
    """Say of each reading whether the vehicle was at the site then, or arrived right after."""
    known = places.select("vehicle_id", "placed_at", "is_home")

    def at(instant: pl.Expr, name: str) -> pl.DataFrame:
        return (
            readings.with_columns(looked_at=instant)
            .join_asof(known, left_on="looked_at", right_on="placed_at", by="vehicle_id", check_sortedness=False)
            .select(pl.col("is_home").fill_null(value=False).alias(name))
        )

    then, soon = at(pl.col("observed_at"), "then"), at(pl.col("observed_at") + WAY_IN, "soon")
    return readings.with_columns(is_home=then["then"] | soon["soon"])


def _session_of(samples: pl.DataFrame, sessions: pl.DataFrame) -> pl.DataFrame:
    """Give each charger sample the session that it fell into; samples outside of any are left out."""
    running = sessions.select(*CONNECTOR_KEY, "vehicle_id", "started_at", "ended_at")
    return (
        samples.sort("observed_at", maintain_order=True)
        .join_asof(running, left_on="observed_at", right_on="started_at", by=CONNECTOR_KEY, check_sortedness=False)
        .filter(
            pl.col("started_at").is_not_null()
            & (pl.col("observed_at") <= pl.col("ended_at").fill_null(pl.col("observed_at")))
        )
    )


def _charged(sessions: pl.DataFrame, samples: pl.DataFrame) -> pl.DataFrame:
    """Turn registers (or, without one, power samples) into grid-side energy per stretch between two samples."""
    sampled = _session_of(samples, sessions).select(
        *CONNECTOR_KEY, "vehicle_id", "started_at", "observed_at", "energy_register_kwh", "power_kw"
    )
    edges = [
        sessions.select(
            *CONNECTOR_KEY,
            "vehicle_id",
            "started_at",
            observed_at=at,
            energy_register_kwh=register,
            power_kw=pl.lit(None, pl.Float64),
        )
        for at, register in (("started_at", "meter_start_kwh"), ("ended_at", "meter_end_kwh"))
    ]
    session = [*CONNECTOR_KEY, "started_at"]
    hours = (pl.col("observed_at") - pl.col("start_at")).dt.total_seconds() / 3600
    return (
        pl.concat([*edges, sampled])
        .drop_nulls("observed_at")
        .filter(pl.any_horizontal(pl.col("energy_register_kwh", "power_kw").is_not_null()))
        .sort(*session, "observed_at", maintain_order=True)
        .unique([*session, "observed_at"], keep="last", maintain_order=True)
        .with_columns(
            start_at=pl.col("observed_at").shift().over(session),
            register_kwh=pl.col("energy_register_kwh").diff().over(session),
        )
        .with_columns(energy_kwh=pl.coalesce("register_kwh", pl.col("power_kw") * hours))
        # A register that runs backwards was replaced or reset: what it says of that stretch is unknown.
        .filter(pl.col("start_at").is_not_null() & (pl.col("energy_kwh") >= 0))
        .select(*CONNECTOR_KEY, "vehicle_id", "start_at", end_at="observed_at", energy_kwh="energy_kwh")
        .sort("end_at", *CONNECTOR_KEY, maintain_order=True)
    )


def power_by_slot(charged: pl.DataFrame, *by: str) -> pl.DataFrame:
    """Spread energy over the slots it was drawn in; return mean kW per slot (``start_at``) and ``by``, sorted."""
    overlap = pl.min_horizontal("end_at", pl.col("slot_at") + SLOT) - pl.max_horizontal("start_at", "slot_at")
    share = overlap.dt.total_microseconds() / (pl.col("end_at") - pl.col("start_at")).dt.total_microseconds()
    return (
        charged.with_columns(
            slot_at=pl.datetime_ranges(pl.col("start_at").dt.truncate("15m"), "end_at", interval="15m", closed="left")
        )
        .explode("slot_at")
        .group_by(*by, start_at="slot_at", maintain_order=True)
        .agg(power_kw=(pl.col("energy_kwh") * share).sum() / SLOT_HOURS)
        .sort(*by, "start_at")
    )
