"""What speaks of a vehicle's state of charge: telematics, the station, the meter, and what it told before it came."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import polars as pl

from core.schema import INSTANT
from orchestration.steps.transactions import SETTLING, OpenTransaction
from planning.fallback import CHARGER, Reading, SocEvidence
from planning.model import FloatArray

ARRIVAL_REPORT = timedelta(minutes=45)
"""A vehicle tells of its battery within this of being plugged in, or not at all."""

PARKED_WITHIN = timedelta(minutes=2)
"""A reading this long before the end of a trip is of its end."""

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class LastHeard:
    """What a vehicle told of its battery last before it was plugged in, and for how long it drove on at most."""

    reading: Reading
    drove_on_h: float

    @classmethod
    def of(cls, reading: Reading, plugged_at: datetime, *, was_back: bool) -> "LastHeard":
        """Return a reading from before a plug-in; who was back by then drove no further."""
        return cls(reading, 0.0 if was_back else (plugged_at - reading.observed_at).total_seconds() / 3600)


def evidence_of(
    seen: Row,
    trip: Row | None,
    transaction: OpenTransaction | None,
    meters: pl.DataFrame,
    told: pl.DataFrame,
) -> SocEvidence:
    """Return the evidence on a vehicle's SoC.

    Args:
        seen: Its latest telematics, by field, with ``soc_at`` and ``soc_source``.
        trip: Its last trip.
        transaction: The transaction that charges it.
        meters: ``meter_value`` rows.
        told: See ``told_while_plugged``.
    """
    samples = samples_of(transaction, meters)
    register = _register(samples)
    counted_kwh = None if transaction is None else register.since(transaction.started_at)
    reading = _reading(seen, samples)
    if reading is None:
        return SocEvidence(counted_kwh=counted_kwh)
    last_move_at = None if trip is None else trip["ended_at"] or trip["observed_at"]
    moved_since = last_move_at is not None and reading.observed_at < last_move_at - PARKED_WITHIN
    return SocEvidence(
        reading,
        register.since(reading.observed_at),
        moved_since,
        arrival_soc_pct=_arrival_soc_pct(told, transaction),
        counted_kwh=counted_kwh,
        earlier=_earlier(reading, told, samples, register),
    )


def told_while_plugged(snapshots: pl.DataFrame, transaction: OpenTransaction | None) -> pl.DataFrame:
    """Return what a plugged vehicle told of its battery since shortly before it was plugged in, oldest first."""
    if transaction is None or transaction.vehicle_id is None:
        return snapshots.clear()
    return snapshots.filter(
        pl.col("vehicle_id") == transaction.vehicle_id,
        pl.col("observed_at") >= transaction.started_at - SETTLING,
        pl.col("soc_pct").is_not_null(),
    ).sort("observed_at")


def last_heard(
    snapshots: pl.DataFrame, trip: Row | None, transaction: OpenTransaction, site_id: str
) -> LastHeard | None:
    """Return what a plugged vehicle told last before; one that had come to the site by then drove no further."""
    before = snapshots.filter(
        pl.col("vehicle_id") == transaction.vehicle_id,
        pl.col("soc_pct").is_not_null(),
        pl.col("source") != CHARGER,
        pl.col("observed_at") <= transaction.started_at,
    ).sort("observed_at")
    if before.is_empty():
        return None
    reading = Reading(before["soc_pct"][-1], before["observed_at"][-1], before["source"][-1])
    was_back = (
        trip is not None
        and trip["end_site_id"] == site_id
        and trip["ended_at"] is not None
        and trip["ended_at"] <= reading.observed_at + PARKED_WITHIN
    )
    return LastHeard.of(reading, transaction.started_at, was_back=was_back)


def _arrival_soc_pct(told: pl.DataFrame, transaction: OpenTransaction | None) -> float | None:
    """Return what a plugged vehicle first told of its battery around plug-in; None where it told nothing."""
    if transaction is None or told.is_empty() or told["observed_at"][0] > transaction.started_at + ARRIVAL_REPORT:
        return None
    return float(told["soc_pct"][0])


def _earlier(
    newest: Reading, told: pl.DataFrame, samples: pl.DataFrame, register: "_Register"
) -> tuple[tuple[float, float], ...]:
    """Return the readings before the newest, by whoever told that, with the energy counted since each.

    None from before the meter began: the vehicle may have driven since.
    """
    own = samples.filter(pl.col("soc_pct").is_not_null()) if newest.source == CHARGER else told
    if register.is_empty:
        return ()
    before = own.filter(pl.col("observed_at") < newest.observed_at).filter(
        pl.col("observed_at").dt.epoch("us") >= register.at_us[0]
    )
    charged_kwh = register.each_since(before["observed_at"])
    return tuple(zip(before["soc_pct"].to_list(), charged_kwh.tolist(), strict=True))


def samples_of(transaction: OpenTransaction | None, meters: pl.DataFrame) -> pl.DataFrame:
    """Return the meter's samples of a transaction, oldest first."""
    if transaction is None:
        return meters.clear()
    return meters.filter(
        pl.col("station_id") == transaction.station_id,
        pl.col("connector_id") == transaction.connector_id,
        pl.col("observed_at") >= transaction.started_at,
    ).sort("observed_at")


def _reading(seen: Row, samples: pl.DataFrame) -> Reading | None:
    """Return the newest reading of the station, which has it by the cable (DC), else the vehicle's own."""
    known = samples.filter(pl.col("soc_pct").is_not_null())
    if known.height:
        return Reading(known["soc_pct"][-1], known["observed_at"][-1], CHARGER)
    return None if seen.get("soc_pct") is None else Reading(seen["soc_pct"], seen["soc_at"], seen["soc_source"])


@dataclass(frozen=True, slots=True)
class _Register:
    """An energy register's course over a transaction: microseconds since the epoch, and kWh, both ascending in time."""

    at_us: FloatArray
    energy_kwh: FloatArray

    @property
    def is_empty(self) -> bool:
        """Say whether the meter said nothing."""
        return not len(self.at_us)

    def since(self, instant: datetime) -> float | None:
        """Return grid-side energy counted since an instant; None where the meter said nothing."""
        return None if self.is_empty else float(self.each_since(pl.Series([instant], dtype=INSTANT))[0])

    def each_since(self, instants: pl.Series) -> FloatArray:
        """Return grid-side energy counted since each instant, in between samples in proportion."""
        counted: FloatArray = np.maximum(
            self.energy_kwh[-1] - np.interp(_us(instants), self.at_us, self.energy_kwh), 0.0
        )
        return counted


def _register(samples: pl.DataFrame) -> _Register:
    known = samples.filter(pl.col("energy_register_kwh").is_not_null())
    return _Register(_us(known["observed_at"]), known["energy_register_kwh"].to_numpy().astype(float))


def _us(instants: pl.Series) -> FloatArray:
    return instants.dt.epoch("us").to_numpy().astype(float)
