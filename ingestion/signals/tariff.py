"""Time-of-use tariffs as blocks of the local day, and their price over the slots of a day.

Two layouts are read: schedules with times and prices (as acnportal keeps them), and a rate of the US Utility Rate
Database with its matrices of month by hour. A tariff speaks of local clock time; only ``slot_prices`` brings it to UTC.
"""

import calendar
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from itertools import groupby
from typing import Any, Final

import polars as pl

from core.schema import INSTANT
from core.time_grid import SLOT_MINUTES, local_day
from ingestion.columns import Check, Reading, check, numbered, said
from ingestion.providers.base import RECORD

DAY_MINUTES: Final = 1440
DAYS: Final = {"ALL": "all", "WEEKDAYS": "weekdays", "WEEKENDS": "weekends"}
SCHEDULE: Final = pl.Schema(
    {
        "tariff_id": pl.String(),
        "effective": pl.String(),
        "currency": pl.String(),
        "id": pl.String(),
        "effective_start": pl.String(),
        "effective_end": pl.String(),
        "dow_mask": pl.String(),
        "times": pl.List(pl.Float64),
        "tariffs": pl.List(pl.Float64),
        "demand_charge": pl.Float64(),
    }
)
ROW: Final = (
    "tariff_id", "schedule_id", "effective_date", "season_start", "season_end", "days", "start_minute", "end_minute",
    "price_per_kwh", "demand_price_per_kw", "currency", "observed_at", "available_at",
)  # fmt: skip


def _rising(column: str) -> pl.Expr:
    steps = pl.col(column).list.diff().list.slice(1)
    return (pl.col(column).list.first() == 0) & (steps.list.min().fill_null(1) > 0)


CHECKS: Final = (
    Check("no_schedule_id", pl.col("schedule_id").is_null(), said("a schedule of {} has no id", "tariff_id")),
    Check("no_effective_date", pl.col("observed_at").is_null(), said("effective is {}", "effective")),
    Check(
        "blocks_do_not_match",
        (pl.col("times").list.len() != pl.col("tariffs").list.len()).fill_null(value=True)
        | (pl.col("times").list.len() == 0),
        said("{} of {} has not one price for each time", "id", "tariff_id"),
    ),
    Check("times_do_not_rise", ~_rising("times"), said("times of {} of {} do not rise from 0", "id", "tariff_id")),
    # Two schedules of one season that claim every day would give an hour two prices; their names say which is which.
    Check(
        "days_contradict_name",
        (pl.col("days") == "all") & pl.col("named_days").is_not_null() & ~pl.col("is_alone"),
        said("{} of {} is masked {}", "id", "tariff_id", "dow_mask"),
        field="days",
    ),
)


def schedule_records(document: Mapping[str, Any], *, tariff_id: str, currency: str) -> pl.DataFrame:
    """Return the schedules of a tariff document, a record each, with the document's own fields beside them.

    Raises:
        KeyError, TypeError: it is no such document.
    """
    shared = {"tariff_id": tariff_id, "effective": document["effective"], "currency": currency}
    rows = [{**shared, **schedule} for schedule in document["schedule"]]
    return pl.DataFrame(rows, schema=SCHEDULE, strict=False)


def read_schedules(records: pl.DataFrame) -> Reading:
    """Turn schedules into ``tariff_rate`` rows, one per block; the name settles days that the mask leaves in doubt."""
    named = pl.col("id").str.to_lowercase().str.extract(r"(weekday|weekend)$")
    effective = pl.col("effective").str.to_date("%Y-%m-%d", strict=False)
    typed = records.with_columns(
        schedule_id=pl.col("id"),
        days=pl.col("dow_mask").replace_strict(DAYS, default=None),
        named_days=pl.concat_str(named, pl.lit("s")),
        is_alone=pl.len().over("tariff_id", "effective_start", "effective_end") == 1,
        observed_at=effective.cast(INSTANT),
    )
    kept, rejected = check(typed, CHECKS, entity="tariff_rate")
    blocks = kept.with_columns(
        days=pl.coalesce("days", "named_days"),
        effective_date=pl.col("observed_at").dt.date().cast(pl.String),
        season_start=_month_day("effective_start"),
        season_end=_month_day("effective_end"),
        start_minute=pl.col("times") * 60,
        end_minute=(pl.col("times") * 60).list.slice(1).list.concat(pl.lit([float(DAY_MINUTES)])),
        available_at=pl.col("observed_at"),
        demand_price_per_kw=pl.col("demand_charge"),
    ).explode("start_minute", "end_minute", "tariffs")
    rates = blocks.with_columns(
        pl.col("start_minute", "end_minute").round().cast(pl.Int64), price_per_kwh=pl.col("tariffs")
    )
    return Reading(records, {"tariff_rate": rates.select(RECORD, *ROW)}, rejected)


def _month_day(column: str) -> pl.Expr:
    """Return ``9-30`` as ``09-30``."""
    return pl.col(column).str.split("-").list.eval(pl.element().str.zfill(2)).list.join("-")


def urdb_schedules(rate: Mapping[str, Any], *, currency: str = "USD") -> pl.DataFrame:
    """Return a rate of the Utility Rate Database as schedule records: one per month and kind of day.

    The price is rate plus adjustment of the first tier; a rate whose price depends on how much was used is a different
    price for each customer and is told by its first tier here.

    Raises:
        KeyError, IndexError, TypeError: it is no such rate.
    """
    prices = [period[0]["rate"] + period[0].get("adj", 0.0) for period in rate["energyratestructure"]]
    flat = [period[0]["rate"] + period[0].get("adj", 0.0) for period in rate.get("flatdemandstructure", [])]
    months = rate.get("flatdemandmonths", [0] * 12)
    shared = {
        "tariff_id": rate["label"],
        "effective": (date(1970, 1, 1) + timedelta(seconds=rate["startdate"])).isoformat(),
        "currency": currency,
    }
    kinds = (("WEEKDAYS", "energyweekdayschedule"), ("WEEKENDS", "energyweekendschedule"))
    rows = [
        {
            **shared,
            "id": f"month-{month + 1:02d}-{mask.lower()}",
            "effective_start": f"{month + 1:02d}-01",
            "effective_end": f"{month + 1:02d}-{calendar.monthrange(2000, month + 1)[1]}",
            "dow_mask": mask,
            **_blocks([prices[period] for period in rate[matrix][month]]),
            "demand_charge": flat[months[month]] if flat else None,
        }
        for month in range(12)
        for mask, matrix in kinds
    ]
    return numbered(pl.DataFrame(rows, schema=SCHEDULE, strict=False))


def _blocks(hourly: Sequence[float]) -> dict[str, list[float]]:
    """Return runs of equal hourly prices as times and prices."""
    runs = [(next(hours), price) for price, hours in groupby(range(len(hourly)), key=hourly.__getitem__)]
    return {"times": [float(hour) for hour, _ in runs], "tariffs": [price for _, price in runs]}


def slot_prices(rates: pl.DataFrame, *, day: date, timezone: str, slot_minutes: int = SLOT_MINUTES) -> pl.DataFrame:
    """Return the energy price of every slot of a local day (92, 96 or 100 quarter-hours where clocks change).

    Args:
        rates: ``tariff_rate`` rows of one tariff.
        day: Local date.
        timezone: IANA zone of the site.
        slot_minutes: Length of a slot; it is priced as its start.

    Returns:
        ``start_at, end_at, price_per_kwh, currency``, ascending.

    Raises:
        ValueError: the tariff has no price, or more than one, for a part of the day.
    """
    begin, end = local_day(day, timezone)
    step = timedelta(minutes=slot_minutes)
    slots = pl.DataFrame(
        {"start_at": pl.datetime_range(begin, end, step, closed="left", time_unit="us", eager=True)}
    ).with_columns(end_at=pl.col("start_at") + step)
    clock = pl.col("start_at").dt.convert_time_zone(timezone)
    minute = clock.dt.hour().cast(pl.Int64) * 60 + clock.dt.minute()
    held = _held_on(rates, day).select("start_minute", "end_minute", "price_per_kwh", "currency")
    priced = slots.with_columns(minute=minute).join_where(
        held, pl.col("minute") >= pl.col("start_minute"), pl.col("minute") < pl.col("end_minute")
    )
    if priced["start_at"].n_unique() != slots.height or priced.height != slots.height:
        raise ValueError(f"the tariff gives {priced.height} prices for the {slots.height} slots of {day.isoformat()}")
    return priced.sort("start_at").select("start_at", "end_at", "price_per_kwh", "currency")


def _held_on(rates: pl.DataFrame, day: date) -> pl.DataFrame:
    """Return the blocks that hold on a local date; a season may run over the turn of the year."""
    today = pl.lit(f"{day:%m-%d}")
    start, end = pl.col("season_start").fill_null("01-01"), pl.col("season_end").fill_null("12-31")
    within = pl.when(start <= end).then((start <= today) & (today <= end)).otherwise((start <= today) | (today <= end))
    kind = "weekends" if day.weekday() >= 5 else "weekdays"
    return rates.filter(within, pl.col("days").fill_null("all").is_in(["all", kind]))
