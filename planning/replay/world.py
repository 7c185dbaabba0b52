"""What really happens at a site over a night or a day: who is plugged in where and when, and with which battery."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from math import ceil, floor
from typing import Protocol

from planning.model import FloatArray
from planning.replay.batteries import TrueBattery
from planning.requirements import Requirement
from planning.site_state import ConnectorKey, SiteState, VehicleSpec

REPORTS_EVERY = timedelta(minutes=30)


@dataclass(frozen=True, slots=True)
class TrueStay:
    """A vehicle at a charger, as it really came and went.

    ``start_soc_pct`` None: it comes with what it left the stay before with. ``required`` None: no departure follows
    (it is moved, say); it is what the departure is judged by, whatever a plan aimed at.
    """

    spec: VehicleSpec
    battery: TrueBattery
    connector: ConnectorKey
    plugged_at: datetime
    unplugged_at: datetime
    start_soc_pct: float | None
    required: Requirement | None

    @property
    def vehicle_id(self) -> str:
        """Whose stay it is."""
        return self.spec.vehicle_id


@dataclass(frozen=True, slots=True)
class GuestStay:
    """Somebody unknown at a charger, who draws what is offered."""

    connector: ConnectorKey
    plugged_at: datetime
    unplugged_at: datetime


class World(Protocol):
    """The truth. It is revealed slot by slot, and nothing of it before.

    ``settled`` is the site over the whole span, with the load that was measured and the prices that were in force; its
    connectors are free. ``dead`` connectors take a plug and give nothing; the stations of those that are ``dark`` are
    without power and say nothing, not even that a plug is in. ``carbon_g_per_kwh`` [T] is None where nobody knows it.
    """

    @property
    def settled(self) -> SiteState:
        """The site as it was."""

    @property
    def stays(self) -> tuple[TrueStay, ...]:
        """Who was plugged in."""

    @property
    def guests(self) -> tuple[GuestStay, ...]:
        """Unknown vehicles that were plugged in."""

    @property
    def dead(self) -> frozenset[ConnectorKey]:
        """Connectors that give nothing."""

    @property
    def dark(self) -> frozenset[ConnectorKey]:
        """Those of them whose stations are silent."""

    @property
    def carbon_g_per_kwh(self) -> FloatArray | None:
        """Carbon intensity of the grid, [T]."""

    def known(self, slot: int) -> SiteState:
        """Return the site from a slot to the end of the span as it was known when the slot began; all are free."""


@dataclass(frozen=True, slots=True)
class Span:
    """A recorded or simulated stretch of time; ``foreseen`` says what was known of it at an instant, from there on."""

    settled: SiteState
    stays: tuple[TrueStay, ...]
    foreseen: Callable[[datetime], SiteState]
    guests: tuple[GuestStay, ...] = ()
    dead: frozenset[ConnectorKey] = field(default=frozenset())
    dark: frozenset[ConnectorKey] = field(default=frozenset())
    carbon_g_per_kwh: FloatArray | None = None

    def known(self, slot: int) -> SiteState:
        """Return the site from a slot on as it was known when the slot began."""
        return self.foreseen(slot_start(self.settled, slot))


def slot_start(site: SiteState, slot: int) -> datetime:
    """Return when a slot of a site begins."""
    return site.start_at + slot * timedelta(minutes=site.slot_minutes)


def slots_of(site: SiteState, begin: datetime, end: datetime) -> tuple[int, int]:
    """Return the first slot that begins with somebody there, and the first that begins after they have gone."""
    slot = timedelta(minutes=site.slot_minutes)
    first = max(0, ceil((begin - site.start_at) / slot))
    return first, max(first, min(site.slots, ceil((end - site.start_at) / slot)))


def hours_there(site: SiteState, slot: int, end: datetime) -> float:
    """Return for how long of a slot somebody is there who is until ``end``, in whole minutes, as batteries count."""
    minutes = floor((end - slot_start(site, slot)) / timedelta(minutes=1))
    return min(site.slot_minutes, max(0, minutes)) / 60


def remaining(site: SiteState, slot: int) -> SiteState:
    """Return a site's slots from one on."""

    def rest(values: FloatArray | None) -> FloatArray | None:
        return None if values is None else values[slot:]

    charges = tuple(
        replace(charge, slots=None if charge.slots is None else charge.slots[charge.slots >= slot] - slot)
        for charge in site.demand_charges
    )
    return replace(
        site,
        start_at=slot_start(site, slot),
        grid_limit_kw=site.grid_limit_kw[slot:],
        base_load_kw=site.base_load_kw[slot:],
        pv_kw=site.pv_kw[slot:],
        price_per_kwh=site.price_per_kwh[slot:],
        base_load_high_kw=rest(site.base_load_high_kw),
        pv_low_kw=rest(site.pv_low_kw),
        demand_charges=charges,
        soft_limits=tuple(replace(soft, limit_kw=soft.limit_kw[slot:]) for soft in site.soft_limits),
        carbon_kg_per_kwh=rest(site.carbon_kg_per_kwh),
        groups=tuple(replace(group, limit_kw=group.limit_kw[slot:]) for group in site.groups),
        attended=None if site.attended is None else site.attended[slot:],
    )
