"""Marts against independent calculations over the same landing rows, in Polars."""

from datetime import timedelta

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from core.landing import Landing
from core.settings import Settings
from orchestration import warehouse

ZONES = {"north": "Europe/Berlin", "west": "America/New_York"}


def trips_of(settings: Settings) -> pl.DataFrame:
    trips = Landing(settings.landing_dir).read("trip").filter(~pl.col("is_deleted").fill_null(value=False))
    return trips.sort("vehicle_id", "started_at")


def duty_days(trips: pl.DataFrame, homes: dict[str, str | None]) -> pl.DataFrame:
    """Group trips into duties and days, vehicle by vehicle, one trip after the other."""
    rows = []
    for (vehicle_id,), of_vehicle in trips.group_by("vehicle_id", maintain_order=True):
        zone = ZONES.get(homes.get(str(vehicle_id)) or "", "UTC")
        duty, busy_until, last_site = None, None, None
        for trip in of_vehicle.iter_rows(named=True):
            rest = None if busy_until is None else trip["started_at"] - busy_until
            at_depot = trip["start_site_id"] is not None and trip["start_site_id"] == last_site
            if rest is None or rest >= timedelta(hours=2) or (at_depot and rest >= timedelta(hours=1)):
                duty = trip["started_at"]
            ended_at = trip["ended_at"] or trip["started_at"]
            busy_until = ended_at if busy_until is None else max(busy_until, ended_at)
            last_site = trip["end_site_id"]
            rows.append({**trip, "duty": duty, "zone": zone})
    grouped = pl.DataFrame(rows, schema={**trips.schema, "duty": trips.schema["started_at"], "zone": pl.String()})
    local = [
        part.with_columns(operating_date=pl.col("duty").dt.convert_time_zone(str(zone)).dt.date())
        for (zone,), part in grouped.group_by("zone", maintain_order=True)
    ]

    def whole(name: str) -> pl.Expr:
        return pl.when(pl.col(name).is_not_null().all()).then(pl.col(name).sum())

    return (
        pl.concat(local)
        .sort("vehicle_id", "started_at")
        .group_by("vehicle_id", "operating_date", maintain_order=True)
        .agg(
            first_departure_at=pl.col("started_at").first(),
            last_return_at=pl.when(pl.col("ended_at").is_not_null().all()).then(pl.col("ended_at").max()),
            duties=pl.col("duty").n_unique().cast(pl.Int64),
            trips=pl.len().cast(pl.Int64),
            distance_km=whole("distance_km"),
            energy_kwh=whole("energy_kwh"),
            soc_at_departure_pct=pl.col("soc_start_pct").first(),
            soc_at_return_pct=pl.col("soc_end_pct").last(),
        )
        .sort("vehicle_id", "operating_date")
    )


def test_duty_cycle_days_equal_the_oracle(fleet: Settings) -> None:
    vehicles = Landing(fleet.landing_dir).read("vehicle")
    homes = dict(vehicles.select("vehicle_id", "site_id").iter_rows())
    capacity = pl.when(pl.col("vehicle_id") != "stray").then(60.0)  # no battery is known of the stray vehicle
    trips = trips_of(fleet).with_columns(
        energy_kwh=pl.coalesce("energy_kwh", (pl.col("soc_start_pct") - pl.col("soc_end_pct")) / 100 * capacity)
    )
    expected = duty_days(trips, homes)
    columns = ", ".join(expected.columns)
    found = warehouse.query(fleet, f"select {columns} from fct_duty_cycle_day order by vehicle_id, operating_date")
    assert_frame_equal(found, expected, rel_tol=1e-9)


def test_the_fleet_has_the_cases_that_are_hard(fleet: Settings) -> None:
    """The oracle would prove little if no duty ran past midnight or over a clock change."""
    found = warehouse.query(
        fleet,
        """select
               count(*) filter (timezone(timezone, last_return_at)::date > operating_date) as past_midnight,
               count(*) filter (operating_date in ('2026-03-28', '2026-03-29', '2026-10-24', '2026-10-25')) as dst,
               count(*) filter (last_return_at is null) as still_out,
               count(*) filter (distance_km is null) as unknown_distance,
               count(*) filter (is_timezone_assumed) as assumed,
               count(*) filter (duties > 1) as several_duties
           from fct_duty_cycle_day""",
    )
    assert all(count > 0 for count in found.row(0)), found


def sessions_of(settings: Settings) -> pl.DataFrame:
    """One row per session, chosen among its sources by the documented precedence."""
    landing = Landing(settings.landing_dir)
    samples = (
        landing.read("meter_value")
        .sort("observed_at")
        .group_by("source", "station_id", "connector_id", "transaction_id", maintain_order=True)
        .agg(
            last_kwh=pl.col("energy_register_kwh").max(),
            first_kwh=pl.col("energy_register_kwh").min(),
            flow_at=pl.col("observed_at").filter(pl.col("power_kw") > 1).max(),
        )
    )
    keys = ["source", "station_id", "connector_id", "transaction_id"]
    told = landing.read("charging_transaction").join(samples, on=keys, how="left", maintain_order="left")
    register = pl.col("meter_end_kwh") - pl.col("meter_start_kwh")
    sampled = pl.col("last_kwh") - pl.coalesce("meter_start_kwh", "first_kwh")
    stopped = pl.coalesce("charging_ended_at", "flow_at")
    told = told.with_columns(
        energy_basis=pl.when(register.is_not_null())
        .then(pl.lit("register"))
        .when(pl.col("energy_kwh").is_not_null())
        .then(pl.lit("reported"))
        .when(sampled.is_not_null())
        .then(pl.lit("meter_values")),
        energy_kwh=pl.coalesce(register, "energy_kwh", sampled),
        idle_min=((pl.col("ended_at") - stopped).dt.total_seconds() / 60).clip(0),
    )
    point = pl.col("metering_point").replace_strict(
        {"evse_ac_out": 0, "telematics_estimate": 3}, default=1, return_dtype=pl.Int64
    )
    basis = pl.col("energy_basis").replace_strict({"register": 0, "reported": 1}, default=2, return_dtype=pl.Int64)
    night = pl.col("transaction_id").str.strip_prefix("cdr-")
    return (
        told.with_columns(night=night, is_unknown=pl.col("energy_kwh").is_null(), point=point, basis=basis)
        .sort("station_id", "night", "is_unknown", "point", "basis", "source")
        .unique(["station_id", "night"], keep="first", maintain_order=True)
        .sort("station_id", "started_at")
        .select("station_id", "transaction_id", "source", "energy_kwh", "energy_basis", "metering_point", "idle_min")
    )


def test_charging_sessions_equal_the_oracle(fleet: Settings) -> None:
    expected = sessions_of(fleet)
    columns = ", ".join(expected.columns)
    found = warehouse.query(fleet, f"select {columns} from fct_charging_session order by station_id, started_at")
    assert_frame_equal(found, expected, rel_tol=1e-9)
    assert set(found["energy_basis"]) >= {"register", "reported", "meter_values"}


def test_no_kilowatt_hour_counts_twice(fleet: Settings) -> None:
    found = warehouse.query(
        fleet,
        """select
               (select count(*) from fct_charging_session) as sessions,
               (select sum(energy_kwh) from fct_charging_session
                where ended_at is not null and energy_basis <> 'meter_values') as session_kwh,
               (select count(*) from fct_charging_session where other_sources = 1) as told_twice""",
    )
    told = Landing(fleet.landing_dir).read("charging_transaction")
    assert found["sessions"].item() == told.filter(pl.col("source") == "bridge").height
    assert found["told_twice"].item() == told.filter(pl.col("source") == "backend").height > 0


def test_intervals_hold_what_sessions_drew(fleet: Settings) -> None:
    """Per site, what the quarter-hours say is what the sessions with a known end say."""
    found = warehouse.query(
        fleet,
        """with sessions as (
               select site_id, sum(energy_kwh) as session_kwh from fct_charging_session
               where energy_basis = 'register' group by site_id
           ), slots as (
               select site_id, sum(charging_power_kw) / 4 as slot_kwh from fct_site_load_interval group by site_id
           )
           select session_kwh, slot_kwh from sessions join slots using (site_id)""",
    )
    assert found.height == 2
    assert (found["slot_kwh"] >= 0.99 * found["session_kwh"]).all()


def test_an_empty_landing_builds_every_mart_empty(empty: Settings) -> None:
    tables = warehouse.query(empty, "select table_name from duckdb_tables() order by 1")["table_name"].to_list()
    assert "fct_duty_cycle_day" in tables
    counts = {table: warehouse.query(empty, f"select count(*) from {table}").item() for table in tables}
    assert counts == dict.fromkeys(tables, 0)


@pytest.mark.parametrize("table", ["fct_trip", "fct_charging_session", "dim_vehicle"])
def test_published_instants_are_utc(fleet: Settings, table: str) -> None:
    schema = warehouse.query(fleet, f"select * from {table} limit 1").schema
    instants = {name: dtype for name, dtype in schema.items() if isinstance(dtype, pl.Datetime)}
    assert all(dtype == pl.Datetime("us", "UTC") for dtype in instants.values())
    assert all(name.endswith("_at") for name in instants)
