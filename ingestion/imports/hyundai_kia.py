"""Answers of the Hyundai and Kia vehicle APIs of eight regions, a JSON document per answer.

Every region and generation keeps the same facts elsewhere; the first place that has one counts. Stamps are on the
region's clock but for those that say UTC; the United States count miles. ``batSoc`` is the 12 V battery and no SoC.
"""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Final

import polars as pl

from core.schema import INSTANT
from core.units import KM_PER_MILE
from ingestion.columns import Check, UnreadableError, check, number, numbered, said
from ingestion.imports.history import RECORD_REF, Format, History, context, observed
from ingestion.providers.base import RECORD

LATENCY: Final = timedelta(minutes=5)
ZONES: Final = {
    "au": "Australia/Sydney", "br": "America/Sao_Paulo", "ca": "America/Toronto", "cn": "Asia/Shanghai",
    "eu": "Europe/Berlin", "us": "America/New_York",
}  # fmt: skip
REPORT: Final = "lastVehicleInfo.vehicleStatusRpt.vehicleStatus"
ROOTS: Final = ("status", "vehicleStatus", REPORT)
CCS2: Final = ("", "resMsg.state.Vehicle.")
RANGE: Final = "evStatus.drvDistance[0].rangeByFuel.totalAvailableRange"
PLACES: Final = {
    "stamp": (
        "status.time", "status.lastStatusDate", "vehicleStatus.time", "vehicleStatus.dateTime",
        *(f"{root}Date" for root in CCS2),
    ),
    "utc_stamp": (f"{REPORT}.syncDate.utc",),
    "soc": (
        *(f"{root}.evStatus.batteryStatus" for root in ROOTS),
        *(f"{root}Green.BatteryManagement.BatteryRemain.Ratio" for root in CCS2),
    ),
    "odometer": (
        "status.odometer.value", "odometer.value", "vehicleDetails.odometer",
        "vehicleConfig.vehicleDetail.vehicle.mileage", *(f"{root}Drivetrain.Odometer" for root in CCS2),
    ),
    "charging": tuple(f"{root}.evStatus.batteryCharge" for root in ROOTS),
    "plug": (
        *(f"{root}.evStatus.batteryPlugin" for root in ROOTS),
        *(f"{root}Green.ChargingInformation.ConnectorFastening.State" for root in CCS2),
    ),
    "range": (
        *(f"{root}.{RANGE}.value" for root in ROOTS), *(f"{root}Drivetrain.FuelSystem.DTE.Total" for root in CCS2),
    ),
    "range_unit": (
        *(f"{root}.{RANGE}.unit" for root in ROOTS), *(f"{root}Drivetrain.FuelSystem.DTE.Unit" for root in CCS2),
    ),
}  # fmt: skip
KILOMETRES: Final = "1"
UNPLUGGED: Final = ("0", "false")
CHECKS: Final = (
    Check("no_time", pl.col("at").is_null(), said("time is {}", "stamp")),
    Check(
        "soc_unreadable", pl.col("soc_pct").is_null() & pl.col("soc").is_not_null(), said("SoC is {}", "soc"), "soc_pct"
    ),
)
ROW: Final = (
    RECORD, "vehicle_id", "observed_at", "available_at", "soc_pct", "soc_basis", "odometer_km", "is_plugged",
    "charging_state", "range_km",
)  # fmt: skip


def read(files: Sequence[Path]) -> History:
    """Read one state per document; region and car are told by the file's name (``eu_kia_ev6_2023_…``).

    Raises:
        ingestion.columns.UnreadableError: a file is no JSON, or its name begins with no region.
    """
    records = numbered(pl.DataFrame([_document(file) for file in files], schema=[RECORD_REF, "document"], orient="row"))
    states, rejected = check(_typed(records), CHECKS, entity="vehicle_snapshot")
    rows = observed(states, pl.col("at"), latency=LATENCY).select(ROW)
    vehicles = states.select("vehicle_id", vehicle_class=pl.lit("car")).unique()
    return History(records, {"vehicle_snapshot": rows}, rejected, context(vehicle=vehicles))


def _document(file: Path) -> tuple[str, str]:
    text = file.read_text(encoding="utf-8")
    if file.name[:2] not in ZONES or not text.lstrip().startswith("{"):
        raise UnreadableError(f"{file.name} is no answer named after its region ({', '.join(ZONES)})")
    return file.name, text


def _typed(records: pl.DataFrame) -> pl.DataFrame:
    """Return the records with what their documents hold, and canonical columns beside it."""
    found = [
        pl.coalesce(pl.col("document").str.json_path_match(f"$.{path}") for path in paths).alias(name)
        for name, paths in PLACES.items()
    ]
    region = pl.col(RECORD_REF).str.head(2)
    car = (
        pl.col(RECORD_REF)
        .str.extract(r"^(.*_\d{4})_|^(.*)\.json$", 1)
        .fill_null(pl.col(RECORD_REF).str.strip_suffix(".json"))
    )
    per_unit = pl.when(pl.col("range_unit") == KILOMETRES).then(1.0).otherwise(KM_PER_MILE)
    charging = pl.col("charging") == "true"
    return records.with_columns(*found).with_columns(
        vehicle_id=pl.concat_str(pl.lit("hyundai_kia:"), car),
        at=pl.coalesce(_instant("utc_stamp", region, utc=True), _instant("stamp", region, utc=False)),
        soc_pct=number("soc"),
        soc_basis=pl.lit("displayed"),
        odometer_km=number("odometer") * pl.when(region == "us").then(KM_PER_MILE).otherwise(1.0),
        is_plugged=~pl.col("plug").str.to_lowercase().is_in(UNPLUGGED),
        charging_state=pl.when(charging).then(pl.lit("charging")).when(~charging).then(pl.lit("not_charging")),
        range_km=number("range") * per_unit,
    )


def _instant(column: str, region: pl.Expr, *, utc: bool) -> pl.Expr:
    """Read ``20240720120000`` (and a fraction) on the region's clock, or in UTC."""
    naive = pl.col(column).str.head(14).str.to_datetime("%Y%m%d%H%M%S", time_unit="us", strict=False)
    if utc:
        return naive.dt.replace_time_zone("UTC").cast(INSTANT)
    by_region = [
        pl.when(region == name).then(
            naive.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null").dt.convert_time_zone("UTC")
        )
        for name, zone in ZONES.items()
    ]
    return pl.coalesce(by_region).cast(INSTANT)


FORMAT: Final = Format(
    "hyundai_kia",
    read,
    patterns=("??_*.json",),
    latency=LATENCY,
    title="answers of the Hyundai and Kia vehicle APIs",
    private=("document",),
)
