"""How this night was forecast, and how well, as far as it has come true.

Scores here are of one night, for people who ask whether to believe the board; backtests belong to ``ml``.
"""

from datetime import timedelta

import polars as pl

from core.landing import Landing
from reporting.records import Records, read_current
from reporting.view import ForecastLine

TARGETS = ("return_at", "soc_at_arrival_pct")
# A SoC reported this soon after the return still is the SoC at arrival.
ARRIVAL_REPORT = timedelta(minutes=30)


def forecast_lines(landing: Landing, records: Records) -> tuple[ForecastLine, ...]:
    """Return a line per target that was forecast for this night, from the first forecast of each vehicle in it."""
    made = read_current(landing, "forecast", as_of=records.as_of, since=records.span.start_at - timedelta(hours=1))
    is_tonight = pl.col("predicted_at").is_between(records.span.start_at, records.span.end_at, closed="left")
    first = (
        made.filter(pl.col("site_id") == records.site_id, is_tonight, pl.col("vehicle_id").is_not_null())
        .sort("predicted_at", "target", "subject_id", maintain_order=True)
        .unique(["target", "vehicle_id"], keep="first", maintain_order=True)
    )
    scored = _with_actual(first, records)
    return tuple(_line(part, target) for target in TARGETS if (part := scored.filter(target=target)).height)


def _with_actual(forecasts: pl.DataFrame, records: Records) -> pl.DataFrame:
    """Add ``actual`` in the forecast's unit: the first return to the site after it, and the SoC on that return."""
    returns = (
        records.trips.filter(pl.col("end_site_id") == records.site_id)
        .drop_nulls("ended_at")
        .select("vehicle_id", returned_at="ended_at", trip_soc_pct="soc_end_pct")
        .sort("returned_at", maintain_order=True)
    )
    reported = records.readings.select("vehicle_id", reported_at="observed_at", reported_soc_pct="soc_pct")
    hours = (pl.col("returned_at") - pl.col("predicted_at")).dt.total_seconds() / 3600
    soc_pct = pl.coalesce("trip_soc_pct", "reported_soc_pct")
    return (
        forecasts.join_asof(
            returns,
            left_on="predicted_at",
            right_on="returned_at",
            by="vehicle_id",
            strategy="forward",
            check_sortedness=False,
            coalesce=False,
        )
        .sort("returned_at", maintain_order=True)
        .join_asof(
            reported,
            left_on="returned_at",
            right_on="reported_at",
            by="vehicle_id",
            strategy="forward",
            tolerance=ARRIVAL_REPORT,
            check_sortedness=False,
        )
        .with_columns(actual=pl.when(pl.col("target") == "return_at").then(hours).otherwise(soc_pct))
    )


def _line(forecasts: pl.DataFrame, target: str) -> ForecastLine:
    known = forecasts.drop_nulls("actual")
    is_within = pl.col("actual").is_between("q05", "q95")
    rungs = forecasts["rung"].value_counts(sort=False).sort("rung")
    figures = known.select(error=(pl.col("point") - pl.col("actual")).abs().mean(), within=is_within.mean() * 100).row(
        0
    )
    return ForecastLine(
        target=target,
        unit=forecasts["unit"][0],
        forecasts=forecasts.height,
        names=tuple(forecasts["name"].unique().sort()),
        rungs=tuple(rungs.iter_rows()),
        scored=known.height,
        mean_absolute_error=figures[0],
        within_90_pct=figures[1],
    )
