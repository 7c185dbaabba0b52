"""The closed loop: see, decide, let a quarter of an hour pass on true batteries, and see again."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np

from planning.closures import closed, elsewhere
from planning.fallback import CHARGER, Reading
from planning.model import Battery, FloatArray
from planning.replay.observation import Forecaster, Observation, PluggedIn, Readings
from planning.replay.policies import Orders, Policy, with_peak_so_far
from planning.replay.world import (
    REPORTS_EVERY,
    GuestStay,
    TrueStay,
    World,
    hours_there,
    remaining,
    slot_start,
    slots_of,
)
from planning.site_state import ConnectorKey, ConnectorState, SiteState, VehicleRequest

NOTHING_KW = 0.05


@dataclass(frozen=True, slots=True)
class Contender:
    """A policy with what it knows.

    ``is_omniscient``: it reads every SoC exactly and at any instant, and knows prices and loads as they will be; what
    must stay free under the limit for loads that could have come binds it like everybody.
    """

    name: str
    forecaster: Forecaster
    policy: Policy
    is_omniscient: bool = False


@dataclass(frozen=True, slots=True)
class Departure:
    """A departure as it came about; ``short_kwh`` is what the battery lacked of the required SoC."""

    vehicle_id: str
    at: datetime
    soc_pct: float
    required_soc_pct: float
    short_kwh: float


@dataclass(frozen=True, slots=True)
class Played:
    """What a contender made of a span: departures, charging and stationary battery per slot, plans, new profiles."""

    contender: str
    departures: tuple[Departure, ...]
    charging_kw: FloatArray
    battery_kw: FloatArray
    plans: int
    profiles: int
    profiles_unchanged: int


@dataclass(slots=True)
class _Outlet:
    """A connector in use: who is on it, the true SoC (0 to 1), the readings so far and what was counted."""

    stay: TrueStay | GuestStay
    transaction_id: str
    soc: float
    counted_kwh: float = 0.0
    readings: Readings = ()
    station_readings: Readings = ()
    takes_nothing: bool = False


def replay(world: World, contender: Contender) -> Played:
    """Play a world under a contender.

    A vehicle is charged from the first slot that begins with it until the minute in which it is unplugged. What the
    contender sees is what the site's instruments would show; between two readings of a vehicle the charger's meter
    counts on.
    """
    return _Run(world, contender).played()


class _Run:
    """One contender's way through a world.

    Invariants: nothing of a stay is shown before its first slot; a battery is charged by orders alone.
    """

    def __init__(self, world: World, contender: Contender) -> None:
        self._world, self._contender = world, contender
        site = world.settled
        self._connectors: Mapping[ConnectorKey, ConnectorState] = {item.key: item for item in site.connectors}
        self._outlets: dict[ConnectorKey, _Outlet] = {}
        self._soc: dict[str, float] = {}
        self._gone: set[str] = set()
        self._departures: list[Departure] = []
        self._charging_kw, self._battery_kw = np.zeros(site.slots), np.zeros(site.slots)
        self._stored_kwh = 0.0 if site.battery is None else site.battery.start_kwh
        self._plans = self._profiles = self._unchanged = 0
        self._held: dict[ConnectorKey, tuple[tuple[datetime, float], ...]] = {}
        self._silent = frozenset[ConnectorKey]() if contender.is_omniscient else world.dark
        # That a dark station is dead shows by its silence. Of another it shows when it is to give something: the
        # voltage of a cable check, its own fallback, or what it is ordered to. Foresight knows it before.
        self._faulted = dict.fromkeys(world.dead if contender.is_omniscient else world.dark, site.start_at)
        self._arrivals, self._ends = _by_slot(world)

    def played(self) -> Played:
        """Return what came of it."""
        for slot in range(self._world.settled.slots):
            for stay in self._ends.get(slot, ()):
                self._leave(stay)
            for number, stay in self._arrivals.get(slot, ()):
                self._arrive(stay, number)
            if self._outlets:
                self._pass(slot, self._planned(slot))
        for stay in self._ends.get(self._world.settled.slots, ()):
            self._leave(stay)
        return Played(
            contender=self._contender.name,
            departures=tuple(self._departures),
            charging_kw=self._charging_kw,
            battery_kw=self._battery_kw,
            plans=self._plans,
            profiles=self._profiles,
            profiles_unchanged=self._unchanged,
        )

    def _arrive(self, stay: TrueStay | GuestStay, number: int) -> None:
        if stay.connector in self._world.dead and _gives_at_once(self._connectors[stay.connector]):
            self._faulted.setdefault(stay.connector, stay.plugged_at)
        if isinstance(stay, GuestStay):
            soc = 0.0
        else:
            known = self._soc.get(stay.vehicle_id, 0.5)
            soc = known if stay.start_soc_pct is None else stay.start_soc_pct / 100
        self._outlets[stay.connector] = _Outlet(stay, f"replay-{number}", soc)

    def _leave(self, stay: TrueStay | GuestStay) -> None:
        outlet = self._outlets.get(stay.connector)
        is_there = outlet is not None and outlet.stay is stay
        if is_there:
            del self._outlets[stay.connector]
            self._held.pop(stay.connector, None)
        if isinstance(stay, GuestStay):
            return
        soc = outlet.soc if outlet is not None and is_there else (stay.start_soc_pct or 0.0) / 100
        self._soc[stay.vehicle_id] = soc
        if stay.required is not None:
            self._gone.add(stay.vehicle_id)
            lacking = max(0.0, stay.required.soc_pct / 100 - soc) * stay.battery.capacity_kwh
            self._departures.append(
                Departure(stay.vehicle_id, stay.unplugged_at, 100 * soc, stay.required.soc_pct, lacking)
            )

    def _planned(self, slot: int) -> Orders:
        """Return the contender's orders for a slot, and count what profiles they take."""
        site, at = self._site(slot), slot_start(self._world.settled, slot)
        orders = self._contender.policy(site, self._requests(at), at)
        self._plans += 1
        for key, periods in orders.periods.items():
            if continues(self._held.get(key), periods, at):
                self._unchanged += 1
            else:
                self._profiles += 1
            self._held[key] = periods
        return orders

    def _requests(self, at: datetime) -> list[VehicleRequest]:
        """Return what the contender asks for; who stands at a dead connector must move, which nobody here ever does."""
        requests = self._contender.forecaster.requests(self._observe(at))
        if self._contender.is_omniscient:
            return [one for one in requests if (one.plugged_at or one.bay) not in self._faulted]
        return [elsewhere(one, self._faulted, as_of=at) for one in requests]

    def _site(self, slot: int) -> SiteState:
        """Return the site as known, with its transactions, the peaks so far and what its battery holds."""
        known = self._world.known(slot)
        if self._contender.is_omniscient:
            known = as_it_was(self._world.settled, slot, known)
        running = {key: outlet.transaction_id for key, outlet in self._outlets.items() if key not in self._silent}
        connectors = tuple(replace(item, transaction_id=running.get(item.key)) for item in known.connectors)
        connectors = closed(connectors, self._faulted)
        battery = None if known.battery is None else replace(known.battery, start_kwh=self._stored_kwh)
        site = replace(known, connectors=connectors, battery=battery)
        return with_peak_so_far(site, self._peaks_kw(slot))

    def _peaks_kw(self, slot: int) -> dict[str, float]:
        """Return the highest import so far within each demand charge's slots."""
        settled = self._world.settled
        drawn = settled.base_load_kw - settled.pv_kw + self._charging_kw + self._battery_kw
        past = {}
        for charge in settled.demand_charges:
            counted = np.arange(slot) if charge.slots is None else charge.slots[charge.slots < slot]
            past[charge.name] = float(drawn[counted].max(initial=0.0))
        return past

    def _observe(self, at: datetime) -> Observation:
        """Return what is seen; whoever stands at a silent station is known by the vehicle's own readings alone."""
        shown = [self._show(key, outlet, at) for key, outlet in sorted(self._outlets.items())]
        return Observation(
            at=at,
            plugged=tuple(one for one in shown if one.connector not in self._silent),
            gone=frozenset(self._gone),
            unplaced={
                one.vehicle_id: one.readings for one in shown if one.vehicle_id and one.connector in self._silent
            },
        )

    def _show(self, key: ConnectorKey, outlet: _Outlet, at: datetime) -> PluggedIn:
        vehicle_id = outlet.stay.vehicle_id if isinstance(outlet.stay, TrueStay) else None
        exact = self._contender.is_omniscient
        latest = outlet.readings[-1][0].observed_at if outlet.readings else None
        if vehicle_id is not None and (exact or latest is None or at - latest >= REPORTS_EVERY):
            percent = 100 * outlet.soc if exact else round(100 * outlet.soc)
            outlet.readings = (*outlet.readings, (Reading(percent, at, "telematics"), outlet.counted_kwh))
        if vehicle_id is not None and self._connectors[key].current_type == "dc" and not exact:
            reading = Reading(round(100 * outlet.soc), at, CHARGER)
            outlet.station_readings = (*outlet.station_readings, (reading, outlet.counted_kwh))
        return PluggedIn(
            connector=key,
            transaction_id=outlet.transaction_id,
            plugged_at=outlet.stay.plugged_at,
            vehicle_id=vehicle_id,
            counted_kwh=outlet.counted_kwh,
            readings=outlet.readings,
            station_readings=outlet.station_readings,
            takes_nothing=outlet.takes_nothing,
        )

    def _pass(self, slot: int, orders: Orders) -> None:
        """Let a slot pass: every battery takes what it can of what its connector offers."""
        hours = self._world.settled.slot_minutes / 60
        for key, outlet in self._outlets.items():
            connector = self._connectors[key]
            offered = min(orders.limit_kw.get(key, connector.fallback_kw), connector.max_kw)
            if offered < min(connector.min_kw, connector.max_kw) - 1e-9:
                offered = 0.0
            if key in self._world.dead:
                if offered > 0:
                    self._faulted.setdefault(key, slot_start(self._world.settled, slot))
                offered = 0.0
            power_kw = offered
            there_h = hours_there(self._world.settled, slot, outlet.stay.unplugged_at)
            if isinstance(outlet.stay, TrueStay) and there_h > 0:
                power_kw, outlet.soc = outlet.stay.battery.charge(outlet.soc, offered, there_h)
            outlet.takes_nothing = offered > 0 and power_kw < NOTHING_KW
            power_kw *= there_h / hours
            outlet.counted_kwh += power_kw * hours
            self._charging_kw[slot] += power_kw
        self._battery_kw[slot] = self._stationary(orders.battery_kw, hours)

    def _stationary(self, wanted_kw: float, hours: float) -> float:
        """Charge or discharge the stationary battery within its bounds."""
        spec = self._world.settled.battery
        if spec is None:
            return 0.0
        power_kw = float(np.clip(wanted_kw, -_givable_kw(spec, self._stored_kwh, hours), spec.max_power_kw))
        power_kw = min(power_kw, (spec.capacity_kwh - self._stored_kwh) / spec.charge_efficiency / hours)
        into = power_kw * spec.charge_efficiency if power_kw > 0 else power_kw / spec.discharge_efficiency
        self._stored_kwh += into * hours
        return power_kw


def _gives_at_once(connector: ConnectorState) -> bool:
    """Say whether a connector gives something as soon as a plug is in: DC checks the cable first (IEC 61851-23)."""
    return connector.current_type == "dc" or connector.fallback_kw > 0


def as_it_was(settled: SiteState, slot: int, known: SiteState) -> SiteState:
    """Return the rest of a site as it was, with a limit that leaves vehicles what they have by what was known."""
    true = remaining(settled, slot)
    high = known.base_load_kw if known.base_load_high_kw is None else known.base_load_high_kw
    low = known.pv_kw if known.pv_low_kw is None else known.pv_low_kw
    kept_free_kw = (high - low) - (true.base_load_kw - true.pv_kw)
    return replace(true, grid_limit_kw=true.grid_limit_kw - kept_free_kw)


def continues(
    held: tuple[tuple[datetime, float], ...] | None, periods: tuple[tuple[datetime, float], ...], at: datetime
) -> bool:
    """Say whether new periods are what a connector holds already, from an instant on."""
    if not held:
        return False
    past = [limit_kw for start_at, limit_kw in held if start_at <= at]
    rest = tuple((start_at, limit_kw) for start_at, limit_kw in held if start_at > at)
    return bool(past) and periods == ((at, past[-1]), *rest)


def _givable_kw(spec: Battery, stored_kwh: float, hours: float) -> float:
    return min(spec.max_power_kw, stored_kwh * spec.discharge_efficiency / hours)


Arrivals = dict[int, list[tuple[int, TrueStay | GuestStay]]]
Ends = dict[int, list[TrueStay | GuestStay]]


def _by_slot(world: World) -> tuple[Arrivals, Ends]:
    """Return who comes with which slot, and who is gone with which."""
    arrivals: Arrivals = {}
    ends: Ends = {}
    stays: list[TrueStay | GuestStay] = [*world.stays, *world.guests]
    for number, stay in enumerate(sorted(stays, key=lambda stay: (stay.plugged_at, stay.connector))):
        first, last = slots_of(world.settled, stay.plugged_at, stay.unplugged_at)
        ends.setdefault(max(first, last), []).append(stay)
        if first < last:
            arrivals.setdefault(first, []).append((number, stay))
    return arrivals, ends
