"""Knowledge of habit: what the same vehicle, duty, first trip, model, class and depot did before.

Every statistic is as-of: a day enters it when its outcome became known. Groups run from the most particular to the
most general, and baselines fall back along them.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import polars as pl

from ml.cycles import clock_h
from ml.features import duty_plan
from ml.history import WINDOW_ROWS as DEFAULT_WINDOW_ROWS
from ml.history import Statistic, add_history

GROUPS: Final[Mapping[str, tuple[str, ...]]] = {
    "vehicle_duty_weekday": ("vehicle_id", "block_id", "weekday"),
    "vehicle_weekday": ("vehicle_id", "weekday"),
    "vehicle": ("vehicle_id",),
    "duty": ("block_id",),
    "first_trip": ("start_key",),
    "model": ("model",),
    "class": ("vehicle_class",),
    "site": ("everyone",),
}
_RETURN: Final[Mapping[str, Sequence[Statistic]]] = {"return_clock_h": ("median", "count"), "duration_h": ("median",)}
_USE: Final[Mapping[str, Sequence[Statistic]]] = {
    "distance_km": ("median", "count"),
    "kwh_per_km": ("median", "count"),
    "pp_per_km": ("median", "count"),
    "drop_pp": ("median", "count"),
    "soc_departure_pct": ("median", "count"),
    "lateness_h": ("median", "count"),
}
STATISTICS: Final[Mapping[str, Mapping[str, Sequence[Statistic]]]] = {
    "vehicle_duty_weekday": _RETURN,
    "vehicle_weekday": {
        "return_clock_h": ("median", "last", "count"),
        "distance_km": ("median", "count"),
        "drop_pp": ("median", "last", "count"),
    },
    "vehicle": {**_RETURN, **_USE, "return_clock_h": ("median", "last", "spread", "count")},
    "duty": {**_RETURN, "lateness_h": ("median", "count"), "distance_km": ("median", "count")},
    "first_trip": _RETURN,
    "model": {**_RETURN, **_USE},
    "class": {**_RETURN, **_USE},
    "site": {**_RETURN, **_USE},
}
WINDOW_ROWS: Final[Mapping[str, int]] = {"vehicle_duty_weekday": 8, "vehicle_weekday": 8, "site": 60}
"""Latest outcomes that count, 20 where nothing is said: what sixty days of facts hold, so that a forecast made from
recent facts sees the same as training did. The depot's own window shows what today's traffic does to everyone."""

COLUMNS: Final = tuple(
    f"{group}_{value}_{statistic}"
    for group, values in STATISTICS.items()
    for value, statistics in values.items()
    for statistic in statistics
    if statistic != "count" or (group in ("vehicle", "vehicle_duty_weekday") and value == "return_clock_h")
)


def outcomes(cycles: pl.DataFrame, duties: pl.DataFrame, vehicles: pl.DataFrame, *, timezone: str) -> pl.DataFrame:
    """Return one row per finished cycle, in the order in which they became known: what came of it, and its groups.

    ``lateness_h`` is measured against the plan that was known when the vehicle left.
    """
    closed = cycles.filter(pl.col("known_at").is_not_null()).with_columns(
        row_key=pl.int_range(pl.len()), predicted_at="departure_known_at"
    )
    planned = duty_plan.known_plans(closed, duties)
    batteries = vehicles.select("vehicle_id", "usable_kwh")
    rows = closed.join(planned, on="row_key", how="left", maintain_order="left")
    rows = rows.join(batteries, on="vehicle_id", how="left", maintain_order="left")
    return (
        _with_attributes(rows.with_columns(start_key=_start_key(timezone)), vehicles)
        .select(
            *dict.fromkeys(column for by in GROUPS.values() for column in by),
            "operating_date",
            "known_at",
            "distance_km",
            "soc_departure_pct",
            "drop_pp",
            return_clock_h=clock_h(pl.col("returned_at"), timezone),
            duration_h=_hours(pl.col("returned_at") - pl.col("departed_at")),
            lateness_h=_hours(pl.col("returned_at") - pl.col("planned_return_at")),
            kwh_per_km=_per_km(pl.coalesce("energy_kwh", pl.col("drop_pp") / 100 * pl.col("usable_kwh"))),
            pp_per_km=_per_km(pl.col("drop_pp")),
        )
        .sort("known_at", "vehicle_id", "operating_date")
    )


def _hours(duration: pl.Expr) -> pl.Expr:
    return duration.dt.total_seconds() / 3600


def _per_km(value: pl.Expr) -> pl.Expr:
    return pl.when(pl.col("distance_km") >= 1).then(value / pl.col("distance_km"))


def _start_key(timezone: str) -> pl.Expr:
    hour = clock_h(pl.col("departed_at"), timezone).floor().cast(pl.Int64).cast(pl.String)
    return pl.coalesce("provider_ref", pl.col("route_id") + "@" + hour)


def add_groups(rows: pl.DataFrame, cycles: pl.DataFrame, vehicles: pl.DataFrame, *, timezone: str) -> pl.DataFrame:
    """Add the columns that groups are made of; rows not yet departed have no first trip.

    ``start_key`` is the provider's number of the first trip where it has one, else its route and hour of departure.
    """
    keys = cycles.select("vehicle_id", "operating_date", start_key=_start_key(timezone))
    named = rows.join(keys, on=["vehicle_id", "operating_date"], how="left", maintain_order="left")
    return _with_attributes(named, vehicles)


def _with_attributes(named: pl.DataFrame, vehicles: pl.DataFrame) -> pl.DataFrame:
    attributes = vehicles.select("vehicle_id", "model", "vehicle_class")
    return named.join(attributes, on="vehicle_id", how="left", maintain_order="left").with_columns(
        weekday=pl.col("operating_date").dt.weekday().cast(pl.Int64),
        everyone=pl.lit("all"),
        start_key=pl.when(pl.col("departed_at").is_not_null()).then("start_key"),
    )


def add(rows: pl.DataFrame, finished: pl.DataFrame) -> pl.DataFrame:
    """Add the as-of statistics of all groups.

    Args:
        rows: Rows with the groups' columns and ``predicted_at``.
        finished: ``outcomes`` of the same vehicles.
    """
    for name, by in GROUPS.items():
        window = WINDOW_ROWS.get(name, DEFAULT_WINDOW_ROWS)
        rows = add_history(rows, finished, name=name, by=by, values=STATISTICS[name], window=window)
    return rows
