"""Single drives, for sources that know no depot: each is asked about at its departure, and answers with its SoC.

A drive is a trip; where the source tells only states, a run of moving states. Frames in, frames out.
"""

from datetime import timedelta
from typing import Final

import polars as pl

from ml.cycles import complete_trips, local_date
from ml.dataset import as_of_join

SILENCE: Final = timedelta(minutes=10)
"""A vehicle that has not moved for this long has arrived; its next movement is another drive."""
MOVING_KMH: Final = 5.0
"""Less may be the zero of a sensor."""
LEAST_DRIVE_KM: Final = 0.5
LONGEST_STEP_S: Final = 60.0
"""Speed is taken to hold for so long at most; over longer gaps the odometer tells the distance."""


def drives(trips: pl.DataFrame, snapshots: pl.DataFrame, *, timezone: str) -> pl.DataFrame:
    """Return one row per drive, sorted by vehicle and start, with when each half of it became known.

    ``known_at``, the end, ``drop_pp`` (SoC used) and ``distance_km`` are NULL while it lasts.

    Args:
        trips: Versions of ``trip``, oldest knowledge first.
        snapshots: Versions of ``vehicle_snapshot``, oldest knowledge first; they serve vehicles without trips.
        timezone: IANA zone of ``operating_date``, the local date of the departure.
    """
    told = complete_trips(trips)
    silent = snapshots.join(told.select("vehicle_id"), on="vehicle_id", how="anti", maintain_order="left")
    columns = [
        "vehicle_id", "started_at", "start_known_at", "soc_start_pct",
        "ended_at", "end_known_at", "distance_km", "soc_end_pct",
    ]  # fmt: skip
    both = pl.concat([told.select(columns), runs_of_movement(silent).select(columns)], how="vertical_relaxed")
    drop = pl.col("soc_start_pct") - pl.col("soc_end_pct")
    return (
        both.filter(pl.col("distance_km").fill_null(LEAST_DRIVE_KM) >= LEAST_DRIVE_KM)
        .with_columns(drop_pp=drop, operating_date=local_date(pl.col("started_at"), timezone))
        .rename({"started_at": "departed_at", "end_known_at": "known_at"})
        .sort("vehicle_id", "departed_at")
    )


def runs_of_movement(snapshots: pl.DataFrame) -> pl.DataFrame:
    """Return the drives that states tell: runs of moving states with less than ``SILENCE`` between them.

    A drive is known to be over when the vehicle has stood still, or said nothing, for ``SILENCE``.
    """
    vehicle = "vehicle_id"
    ordered = snapshots.unique([vehicle, "observed_at"], keep="first", maintain_order=True).sort(vehicle, "observed_at")
    odometer = pl.col("odometer_km").forward_fill().over(vehicle)
    states = ordered.with_columns(
        odometer_km=odometer,
        soc_pct=pl.col("soc_pct").forward_fill().over(vehicle),
        risen_km=odometer - odometer.shift().over(vehicle),
        step_s=(pl.col("observed_at") - pl.col("observed_at").shift().over(vehicle)).dt.total_seconds(fractional=True),
    )
    is_moving = (pl.col("speed_kmh") >= MOVING_KMH) | (pl.col("speed_kmh").is_null() & (pl.col("risen_km") > 0))
    moving = states.filter(is_moving.fill_null(value=False))
    since = pl.col("observed_at") - pl.col("observed_at").shift().over(vehicle)
    driven_km = pl.col("speed_kmh").fill_null(0) * pl.col("step_s").fill_null(0).clip(0, LONGEST_STEP_S) / 3600
    latency = pl.col("available_at") - pl.col("observed_at")
    return (
        moving.with_columns(run=(since >= SILENCE).fill_null(value=True).cum_sum().over(vehicle), driven_km=driven_km)
        .group_by(vehicle, "run", maintain_order=True)
        .agg(
            started_at=pl.col("observed_at").first(),
            start_known_at=pl.col("available_at").first(),
            soc_start_pct=pl.col("soc_pct").first(),
            ended_at=pl.col("observed_at").last(),
            end_known_at=pl.col("observed_at").last() + SILENCE + latency.last(),
            soc_end_pct=pl.col("soc_pct").last(),
            driven_km=pl.col("driven_km").sum(),
            odometer_rise_km=pl.col("odometer_km").last() - pl.col("odometer_km").first(),
        )
        # An odometer that counts whole kilometres may have risen by nearly one too many.
        .with_columns(distance_km=pl.max_horizontal("driven_km", pl.col("odometer_rise_km") - 1))
    )


def drive_questions(all_drives: pl.DataFrame) -> pl.DataFrame:
    """Return a question for each finished drive, asked when its departure was known, with what came of it.

    ``row_key`` names vehicle and departure; ``closed_distance_km`` is only known afterwards. Drives of which only the
    end was ever told are left out.
    """
    asked = all_drives.filter(
        pl.col("known_at").is_not_null(), pl.col("start_known_at") < pl.col("known_at"), pl.col("drop_pp").is_not_null()
    )
    key = pl.col("vehicle_id") + "/" + pl.col("departed_at").dt.strftime("%Y-%m-%dT%H:%M:%SZ")
    return asked.with_columns(
        row_key=key,
        subject_id=key,
        predicted_at="start_known_at",
        stage=pl.lit("departure"),
        horizon=pl.lit("departure"),
        soc_arrival_pct="soc_end_pct",
        closed_distance_km="distance_km",
    ).sort("predicted_at", "row_key")


def with_temperature(rows: pl.DataFrame, snapshots: pl.DataFrame, weather: pl.DataFrame, *, at: str) -> pl.DataFrame:
    """Add ``temperature_c``: what the vehicle's own thermometer last told by ``at``, else the place's weather."""
    own = snapshots.filter(pl.col("ambient_temperature_c").is_not_null()).select(
        "vehicle_id", "available_at", own_c="ambient_temperature_c"
    )
    past = weather.with_columns(known_from=pl.max_horizontal("available_at", "start_at"), everywhere=pl.lit(1))
    place = past.select("everywhere", "known_from", place_c="temperature_c").sort("known_from", maintain_order=True)
    joined = as_of_join(rows.with_columns(everywhere=pl.lit(1)), own, by=["vehicle_id"], at=at)
    joined = as_of_join(joined, place, by=["everywhere"], at=at, known="known_from")
    return joined.with_columns(temperature_c=pl.coalesce("own_c", "place_c")).drop("own_c", "place_c", "everywhere")
