"""Knowledge of a site's power: what the same quarter-hour carried on the days known so far, and what it carries now.

Every statistic is as-of: a slot enters it when its metered value became known.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Final

import polars as pl

from core.time_grid import SLOT
from ml.dataset import as_of_join
from ml.history import Statistic, add_history

GROUPS: Final[Mapping[str, tuple[str, ...]]] = {
    "kind_quarter": ("site_id", "is_weekend", "quarter"),
    "weekday_quarter": ("site_id", "weekday", "quarter"),
    "quarter": ("site_id", "quarter"),
    "site": ("site_id",),
}
STATISTICS: Final[Mapping[str, Mapping[str, Sequence[Statistic]]]] = {
    "kind_quarter": {"power_kw": ("median", "last", "spread", "count")},
    "weekday_quarter": {"power_kw": ("median", "last", "count")},
    "quarter": {"power_kw": ("median", "last", "count")},
    "site": {"power_kw": ("median", "count")},
}
WINDOW_ROWS: Final[Mapping[str, int]] = {"weekday_quarter": 5, "quarter": 14, "site": 96 * 7}
"""Latest outcomes that count, 20 where nothing is said: five weeks of anything."""
COLUMNS: Final = (
    "quarter",
    "weekday",
    "is_weekend",
    "lead_h",
    "season_sin",
    "season_cos",
    *(
        f"{group}_power_kw_{kind}"
        for group, values in STATISTICS.items()
        for kind in values["power_kw"]
        if kind != "count"
    ),
    "power_now_kw",
    "power_now_over_usual_kw",
    "power_day_over_usual_kw",
    "temperature_c",
)


def add(rows: pl.DataFrame, finished: pl.DataFrame, weather: pl.DataFrame, *, timezone: str) -> pl.DataFrame:
    """Add the local time of the slot, as-of statistics of it, what the site carries now, and the temperature.

    Args:
        rows: Questions with site_id, slot_at and predicted_at.
        finished: Metered slots with site_id, slot_at, power_kw and known_at, in the order in which they became known.
        weather: Versions of ``weather`` of one place, oldest knowledge first.
        timezone: IANA zone of the site.
    """
    rows, finished = with_local_time(rows, timezone), with_local_time(finished, timezone)
    for name, by in GROUPS.items():
        window = WINDOW_ROWS.get(name, 20)
        rows = add_history(rows, finished, name=name, by=by, values=STATISTICS[name], window=window)
    rows = _add_level(rows, finished)
    return _add_temperature(rows, weather).with_columns(
        lead_h=(pl.col("slot_at") - pl.col("predicted_at")).dt.total_seconds() / 3600
    )


def with_local_time(rows: pl.DataFrame, timezone: str) -> pl.DataFrame:
    """Add quarter of the local day (0 to 95), weekday (1 is Monday), whether that is a weekend, and the season."""
    local = pl.col("slot_at").dt.convert_time_zone(timezone)
    angle = local.dt.ordinal_day() * (2 * math.pi / 365.25)
    return rows.with_columns(
        quarter=local.dt.hour().cast(pl.Int64) * 4 + local.dt.minute().cast(pl.Int64) // 15,
        weekday=local.dt.weekday().cast(pl.Int64),
        is_weekend=(local.dt.weekday() >= 6).cast(pl.Int64),
        season_sin=angle.sin(),
        season_cos=angle.cos(),
    )


def _add_level(rows: pl.DataFrame, finished: pl.DataFrame) -> pl.DataFrame:
    """Add the newest metered power, when that was, and by how much it and the last day's mean exceed what is usual."""
    # What is usual must itself have been known: the median of the earlier slots of the same kind.
    kind = list(GROUPS["kind_quarter"])
    usual = pl.col("power_kw").shift().rolling_median(20, min_samples=1).over(kind)
    level = finished.with_columns(over_usual_kw=pl.col("power_kw") - usual)
    facts = level.select(
        "site_id",
        "known_at",
        newest_fact_at=pl.col("slot_at") + SLOT,
        power_now_kw="power_kw",
        power_now_over_usual_kw="over_usual_kw",
        power_day_over_usual_kw=pl.col("over_usual_kw").rolling_mean(96, min_samples=1).over("site_id"),
    )
    return as_of_join(rows, facts, by=["site_id"], known="known_at")


def _add_temperature(rows: pl.DataFrame, weather: pl.DataFrame) -> pl.DataFrame:
    """Add the temperature of the slot's hour in the forecast known at ``predicted_at``; NULL where there is none."""
    hours = weather.select("available_at", "temperature_c", hour=pl.col("start_at").dt.truncate("1h"))
    asked = rows.with_columns(hour=pl.col("slot_at").dt.truncate("1h"))
    return as_of_join(asked, hours, by=["hour"]).drop("hour")
