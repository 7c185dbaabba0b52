"""Sampled values become one row per reading: units converted, phases summed, the meter's place chosen.

A meter may send one value for all phases, one per phase, or both; some call kWh Wh. What cannot be told becomes NULL
with a reason.
"""

from typing import Final

import polars as pl

from ingestion.columns import Check, check, number, said
from ingestion.providers.base import RECORD

REGISTER, IMPORT, EXPORT = "Energy.Active.Import.Register", "Power.Active.Import", "Power.Active.Export"
QUANTITIES: Final = ("energy_register_kwh", "power_kw", "offered_kw", "soc_pct")
UNITS: Final = pl.DataFrame(
    [
        (REGISTER, "wh", "energy_register_kwh", 0.001),
        (REGISTER, "kwh", "energy_register_kwh", 1.0),
        (IMPORT, "w", "power_kw", 0.001),
        (IMPORT, "kw", "power_kw", 1.0),
        (EXPORT, "w", "power_kw", -0.001),
        (EXPORT, "kw", "power_kw", -1.0),
        ("Power.Offered", "w", "offered_kw", 0.001),
        ("Power.Offered", "kw", "offered_kw", 1.0),
        ("SoC", "percent", "soc_pct", 1.0),
        ("SoC", "%", "soc_pct", 1.0),
    ],
    schema={"measurand": pl.String, "unit_key": pl.String, "quantity": pl.String, "factor": pl.Float64},
    orient="row",
)
USUAL_UNIT: Final = {REGISTER: "wh", IMPORT: "w", EXPORT: "w", "Power.Offered": "w", "SoC": "percent"}
PLACES: Final = {"Outlet": 0, "Cable": 1, "EV": 2, "Body": 3, "Inlet": 4}
LABEL_RATIO: Final = 100.0  # kWh called Wh is a thousandth of the truth, and no charger is wrong by a hundred
LEAST_EVIDENCE_KWH: Final = 0.5
ONE_VALUE: Final = (RECORD, "reading", "measurand")

CHECKS: Final = (
    Check(
        "value_not_a_number",
        pl.col("number").is_null(),
        said("{} is {}", "measurand", "value"),
        field="quantity",
    ),
    Check(
        "unit_of_another_quantity",
        pl.col("factor").is_null(),
        said("{} in {}", "measurand", "unit"),
        field="quantity",
    ),
)


def meter_rows(readings: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Turn readings into rows of ``meter_value``.

    Args:
        readings: ``RECORD``, ``reading``, station, connector, transaction, ``at``, ``observed_at``, ``sampledValue``.

    Returns:
        One row per reading that holds a known quantity, and what was rejected.
    """
    samples = (
        readings.select(RECORD, "reading", "sampledValue").explode("sampledValue").drop_nulls().unnest("sampledValue")
    )
    usable, rejected = check(_converted(samples), CHECKS, entity="meter_value")
    values = _one_place_and_phase(usable.drop_nulls("quantity"))
    columns = [pl.col("amount").filter(pl.col("quantity") == name).sum().alias(name) for name in QUANTITIES]
    present = [(pl.col("quantity") == name).any().alias(f"has_{name}") for name in QUANTITIES]
    summed = values.group_by(RECORD, "reading", maintain_order=True).agg(*columns, *present)
    known = summed.select(RECORD, "reading", *(pl.when(f"has_{name}").then(name).alias(name) for name in QUANTITIES))
    rows = readings.drop("sampledValue").join(known, on=[RECORD, "reading"], maintain_order="left")
    return rows, rejected


def _converted(samples: pl.DataFrame) -> pl.DataFrame:
    """Return raw samples of known measurands as amounts in canonical units, with the protocol's defaults."""
    measurand = pl.col("measurand").fill_null(REGISTER)
    named = samples.with_columns(measurand=measurand).filter(
        pl.col("measurand").is_in(list(USUAL_UNIT)), pl.col("format").fill_null("Raw") != "SignedData"
    )
    usual = pl.col("measurand").replace_strict(USUAL_UNIT, default=None, return_dtype=pl.String)
    keyed = named.with_columns(unit_key=pl.coalesce(pl.col("unit").str.to_lowercase(), usual), number=number("value"))
    joined = keyed.join(UNITS, on=["measurand", "unit_key"], how="left", maintain_order="left")
    return joined.with_columns(amount=pl.col("number") * pl.col("factor"))


def _one_place_and_phase(samples: pl.DataFrame) -> pl.DataFrame:
    """Keep, of each measurand of a reading, the place nearest to the outlet, and the whole instead of its phases.

    Values between two phases and of the neutral conductor are no parts of a sum.
    """
    place = pl.col("location").replace_strict(PLACES, default=0, return_dtype=pl.Int64)
    phase = pl.col("phase").str.strip_suffix("-N")
    summable = samples.with_columns(place=place, phase=phase).filter(
        pl.col("phase").is_null() | pl.col("phase").is_in(["L1", "L2", "L3"])
    )
    nearest = summable.filter(pl.col("place") == pl.col("place").min().over(ONE_VALUE))
    whole = nearest.filter(pl.col("phase").is_null() | ~pl.col("phase").is_null().any().over(ONE_VALUE))
    return whole.unique([*ONE_VALUE, "phase"], keep="last", maintain_order=True)


def labelled_right(rows: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Blank the registers of transactions whose meter calls kWh Wh.

    The register then stands at a thousandth of where the transaction started, or grows a hundred times slower than the
    power drawn; a register that stands still is another fault.

    Args:
        rows: Rows of ``meter_rows``, with ``first_id``, ``started_at`` and ``meter_start_kwh`` of their transaction.
    """
    transaction = ["station_id", "connector_id", "first_id", "started_at"]
    hours = (pl.col("observed_at").diff().dt.total_seconds() / 3600).clip(0, 1)
    register = pl.col("energy_register_kwh").drop_nulls()
    known = rows.filter(pl.col("first_id").is_not_null()).sort(*transaction, "observed_at")
    judged = known.group_by(transaction, maintain_order=True).agg(
        drawn_kwh=(pl.col("power_kw").shift(1) * hours).sum(),
        counted_kwh=register.last() - register.first(),
        first_kwh=register.first(),
        begin_kwh=pl.col("meter_start_kwh").first(),
    )
    slow = (pl.col("drawn_kwh") > LEAST_EVIDENCE_KWH) & (
        pl.col("counted_kwh").is_between(0, pl.col("drawn_kwh") / LABEL_RATIO, closed="right")
    )
    low = (pl.col("begin_kwh") > 1) & (
        (pl.col("first_kwh") * 1000).is_between(pl.col("begin_kwh"), pl.col("begin_kwh") * 1.02)
    )
    wrong = judged.filter((slow | low).fill_null(value=False)).select(*transaction, is_mislabelled=pl.lit(value=True))
    marked = rows.join(wrong, on=transaction, how="left", maintain_order="left")
    rule = Check(
        "kwh_labelled_wh",
        pl.col("is_mislabelled") & pl.col("energy_register_kwh").is_not_null(),
        said("register of {} kWh, transaction {} shows a thousand times more", "energy_register_kwh", "first_id"),
        field="energy_register_kwh",
    )
    kept, rejected = check(marked, [rule], entity="meter_value")
    return kept.drop("is_mislabelled"), rejected
