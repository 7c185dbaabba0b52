"""What the two telematics providers have received, and when: fed with the world's samples, read by the HTTP APIs.

Here is decided which samples become records, how late they arrive and which are wrong; the words are the APIs'.
"""

from datetime import datetime, timedelta
from typing import NamedTuple

from core.time_grid import local_date
from simulator.providers.event_log import EventLog
from simulator.scenario import TIMEZONE, Faults, Scenario
from simulator.world.chance import share
from simulator.world.charging import STEP, Session
from simulator.world.fleet import Vehicle
from simulator.world.history import World
from simulator.world.telemetry import Leg, Sample, Witness, history_of

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
CHARGING_STATE = {"van": 1, "truck": 2, "bus": 2}


class StatusDatum(NamedTuple):
    """One Geotab diagnostic reading."""

    number: int
    vehicle: Vehicle
    at: datetime
    diagnostic: str
    value: float


class TripVersion(NamedTuple):
    """A Geotab trip as it was calculated; a later version has another ``trip_id``."""

    trip_id: str
    vehicle: Vehicle
    started_at: datetime
    ended_at: datetime
    distance_km: float
    odometer_km: float
    next_start_at: datetime | None
    stop: tuple[float, float]
    driver_id: str | None
    deleted_at: datetime | None


class ChargeRecord(NamedTuple):
    """A Geotab charge event."""

    vehicle: Vehicle
    started_at: datetime
    ended_at: datetime
    soc_start_pct: float
    soc_end_pct: float
    grid_kwh: float
    stored_kwh: float
    peak_kw: float


class Telematics:
    """All records of both providers; ``witnesses`` go on where the history stopped."""

    def __init__(self, world: World) -> None:
        self._scenario: Scenario = world.scenario
        self._faults: Faults = world.scenario.faults
        self._number = 0
        self.statuses: EventLog[Sample] = EventLog()
        self.positions: EventLog[Sample] = EventLog()
        self.status_data: EventLog[StatusDatum] = EventLog()
        self.log_records: EventLog[Sample] = EventLog()
        self.trips: EventLog[TripVersion] = EventLog()
        self.charge_events: EventLog[ChargeRecord] = EventLog()
        self.witnesses: dict[int, Witness] = {}
        self._load_history(world)

    def release(self, until: datetime) -> None:
        """Let readers see what is received by an instant."""
        for log in (
            self.statuses, self.positions, self.status_data, self.log_records, self.trips, self.charge_events,
        ):  # fmt: skip
            log.release(until)

    def observe(self, sample: Sample) -> None:
        """Take a sample in, at the provider that the vehicle reports to."""
        wrong = self._falsified(sample)
        received_at = self._received_at(sample)
        if sample.vehicle.model.vehicle_class == "van":
            self._observe_van(wrong, received_at)
        else:
            self.statuses.add(received_at, wrong)
            if sample.trigger == "timer" and sample.speed_kmh > 0:
                self.positions.add(received_at, wrong)

    def drove(self, legs: list[Leg], *, driver_id: str | None) -> None:
        """Take a van's legs in as trips: some are recalculated later, some are merged with the one before."""
        for number, leg in enumerate(legs):
            following = legs[number + 1] if number + 1 < len(legs) else None
            self._trip(leg, following, driver_id, version=0, published_at=leg.ended_at + 3 * MINUTE)
            chance = share(self._scenario.seed, "trip", leg.vehicle.vehicle_id, leg.started_at)
            if chance < self._faults.recalculated_trip_share:
                better = leg._replace(distance_km=leg.distance_km * (0.98 + 0.04 * chance))
                self._trip(better, following, driver_id, version=1, published_at=leg.ended_at + 95 * MINUTE)
            elif following is not None and chance > 1 - self._faults.merged_trip_share:
                self._merge(leg, following, driver_id)

    def charged(self, record: ChargeRecord) -> None:
        """Take a van's finished charging in."""
        self.charge_events.add(record.ended_at + 6 * MINUTE, record)

    def _load_history(self, world: World) -> None:
        for vehicle in world.fleet.vehicles:
            witness, samples, legs = history_of(world, vehicle)
            self.witnesses[vehicle.index] = witness
            for sample in samples:
                self.observe(sample)
            if vehicle.model.vehicle_class == "van":
                self._load_trips(world, vehicle, legs)
        for session in world.sessions:
            vehicle_or_guest = session.stay.wish.vehicle
            if vehicle_or_guest and vehicle_or_guest.model.vehicle_class == "van" and session.energy_kwh > 0:
                self.charged(charge_record(session, world.scenario.history_start_at))

    def _load_trips(self, world: World, vehicle: Vehicle, legs: list[Leg]) -> None:
        drivers = {
            drive.duty.operating_date: drive.duty.driver.driver_id for drive in world.drives if drive.vehicle is vehicle
        }
        for day in sorted({local_date(leg.started_at, TIMEZONE) for leg in legs}):
            today = [leg for leg in legs if local_date(leg.started_at, TIMEZONE) == day]
            self.drove(today, driver_id=drivers.get(day))

    def _observe_van(self, sample: Sample, received_at: datetime) -> None:
        for diagnostic, value in readings(sample):
            self._number += 1
            self.status_data.add(received_at, StatusDatum(self._number, sample.vehicle, sample.at, diagnostic, value))
        if sample.trigger != "timer" or sample.speed_kmh > 0:
            self.log_records.add(received_at, sample)

    def _trip(
        self, leg: Leg, following: Leg | None, driver_id: str | None, *, version: int, published_at: datetime
    ) -> None:
        next_start_at = following.started_at if following and version else None
        self.trips.add(published_at, self._trip_version(leg, version, next_start_at, driver_id, deleted_at=None))

    def _trip_version(
        self,
        leg: Leg,
        version: int,
        next_start_at: datetime | None,
        driver_id: str | None,
        *,
        deleted_at: datetime | None,
    ) -> TripVersion:
        return TripVersion(
            trip_id=self._trip_id(leg, version),
            vehicle=leg.vehicle,
            started_at=leg.started_at,
            ended_at=leg.ended_at,
            distance_km=leg.distance_km,
            odometer_km=leg.odometer_end_km,
            next_start_at=next_start_at,
            stop=self.witnesses[leg.vehicle.index].place_at_end(leg),
            driver_id=driver_id,
            deleted_at=deleted_at,
        )

    def _merge(self, leg: Leg, following: Leg, driver_id: str | None) -> None:
        """Recalculate two legs into one: the first grows under a new id, the second is deleted."""
        at = following.ended_at + 70 * MINUTE
        whole = leg._replace(
            ended_at=following.ended_at,
            distance_km=leg.distance_km + following.distance_km,
            end_share=following.end_share,
            odometer_end_km=following.odometer_end_km,
        )
        self._trip(whole, None, driver_id, version=2, published_at=at)
        self.trips.add(at + SECOND, self._trip_version(following, 0, None, driver_id, deleted_at=at))

    def _trip_id(self, leg: Leg, version: int) -> str:
        number = int(share(self._scenario.seed, "trip id", leg.vehicle.index, leg.started_at, version) * 16**8)
        return f"b{number:X}"

    def _received_at(self, sample: Sample) -> datetime:
        """Return when the provider has the sample: seconds later, or hours where the vehicle was out of reach."""
        seed, vehicle_id = self._scenario.seed, sample.vehicle.vehicle_id
        received_at = sample.at + (4 + 56 * share(seed, "delay", vehicle_id, sample.at)) * SECOND
        day = sample.at.date()
        if share(seed, "buffered", vehicle_id, day) < self._faults.buffered_day_share:
            begin = 6 + 10 * share(seed, "buffer start", vehicle_id, day)
            end = begin + 2 + 4 * share(seed, "buffer length", vehicle_id, day)
            hour = sample.at.hour + sample.at.minute / 60
            if begin <= hour < end:
                return max(received_at, sample.at + timedelta(hours=end - hour))
        return received_at

    def _falsified(self, sample: Sample) -> Sample:
        """Return the sample, or what a broken device makes of it."""
        chance = share(self._scenario.seed, "false", sample.vehicle.vehicle_id, sample.at)
        if chance < self._faults.impossible_soc_share:
            return sample._replace(soc_pct=140.0)
        return sample


def readings(sample: Sample) -> list[tuple[str, float]]:
    """Return the diagnostics that a van's device sends with a sample."""
    found = [("DiagnosticStateOfChargeId", round(sample.soc_pct, 1))]
    if sample.speed_kmh > 0 or sample.trigger in ("ignition_on", "ignition_off"):
        found.append(("DiagnosticOdometerId", round(sample.odometer_km * 1000)))
    if sample.trigger == "ignition_off":
        found.append(("DiagnosticElectricEnergyOutId", round(sample.energy_used_kwh, 2)))
        found.append(("DiagnosticOutsideTemperatureId", sample.ambient_c))
    if sample.is_plugged or sample.trigger in ("unplugged", "ignition_on"):
        state = CHARGING_STATE[sample.vehicle.model.vehicle_class] if sample.charging_kw > 0 else 0
        found.append(("DiagnosticElectricVehicleChargingStateId", float(state)))
    if sample.charging_kw > 0:
        found.append(("DiagnosticElectricVehicleBatteryPowerId", round(-1000 * sample.charging_kw)))
    return found


def charge_record(session: Session, start_at: datetime) -> ChargeRecord:
    """Return the charge event of a finished stay; ``start_at`` is the instant of step 0."""
    on = [k for k, power_kw in enumerate(session.powers_kw) if power_kw > 0]
    vehicle = session.stay.wish.vehicle
    if vehicle is None or not on:
        raise ValueError("only a vehicle that charged has a charge event")
    capacity_kwh = session.stay.battery.capacity_kwh
    return ChargeRecord(
        vehicle,
        max(session.stay.wish.plug_at, start_at + (session.first_step + on[0]) * STEP),
        start_at + (session.first_step + on[-1] + 1) * STEP,
        100 * session.soc_at_plug,
        100 * session.soc,
        session.energy_kwh,
        (session.soc - session.soc_at_plug) * capacity_kwh,
        max(session.powers_kw),
    )
