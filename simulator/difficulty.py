"""Measures how hard a scenario is, with its own small calculations, and says so in a table.

Floors are in ``scenario.Difficulty``. Nights are charged again from the true SoC at every plug-in, under rules that
know different things: nothing (uncontrolled), who came first, or everything (least slack with the true departure).
"""

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from core.time_grid import local_instant
from simulator.scenario import LIVE_DATE, TIMEZONE
from simulator.world.charging import STEP, UNLIMITED_KW, Rule, Session, by_arrival, by_slack, charge_step
from simulator.world.fleet import Site, required_share
from simulator.world.history import World
from simulator.world.people import Drive

READY_TOLERANCE = 0.01
EVENINGS = range(4)  # Monday to Thursday: the morning after is a working day
ATTEMPTS, LAST = 8, 1e6


@dataclass(frozen=True, slots=True)
class Night:
    """What one night comes to, over all sites. Shares are of the departures that were plugged in."""

    night: date
    departures: int
    peak_to_limit: float
    fcfs_not_ready: float
    foresight_not_ready: float
    need_kwh: float


@dataclass(frozen=True, slots=True)
class Measured:
    """The measured difficulty of a scenario; ``nights`` are those before working days, the live night last."""

    lateness_sd_min: float
    lateness_known_sd_min: float
    arrival_soc_sd_pct: float
    forgotten_share: float
    nights: tuple[Night, ...]

    @property
    def live(self) -> Night:
        """The live night."""
        return self.nights[-1]

    def typical(self, name: str) -> float:
        """Return the median of a figure over the nights of the history; NaN where it has none."""
        figures = [float(getattr(night, name)) for night in self.nights[:-1]]
        return float(np.median(figures)) if figures else math.nan


def measure(world: World) -> Measured:
    """Measure a world."""
    drives = [drive for drive in world.drives if drive.duty.operating_date < LIVE_DATE]
    lateness = np.array([drive.lateness_min for drive in drives])
    residual = _unexplained(lateness, drives)
    socs = np.array([100 * drive.energy_kwh / drive.vehicle.battery.capacity_kwh for drive in drives])
    soc_residual = _unexplained(socs, drives)
    nights = [day for day in world.scenario.dates[:-1] if day.weekday() in EVENINGS]
    return Measured(
        lateness_sd_min=float(residual.std()),
        lateness_known_sd_min=float((lateness - residual).std()),
        arrival_soc_sd_pct=float(soc_residual.std()),
        forgotten_share=_forgotten_share(world),
        nights=tuple(_night(world, night) for night in nights),
    )


def _unexplained(values: NDArray[np.float64], drives: list[Drive]) -> NDArray[np.float64]:
    """Return what least squares on duty, weekday and driver leaves, corrected for the freedom they took.

    Duty means the block and whether it is the short Saturday form, so that planned distance is known too.
    """
    labels = [
        (
            f"block {drive.duty.vehicle.block.block_id} {drive.duty.distance_km}",
            f"weekday {drive.duty.operating_date.weekday()}",
            f"driver {drive.duty.driver.driver_id}",
        )
        for drive in drives
    ]
    names = sorted({name for row in labels for name in row})
    place = {name: k for k, name in enumerate(names)}
    design = np.zeros((len(drives), len(names)))
    for row, row_labels in enumerate(labels):
        design[row, [place[name] for name in row_labels]] = 1.0
    solution, _, rank, _ = np.linalg.lstsq(design, values, rcond=None)
    freedom = max(1, len(values) - int(rank))
    rest: NDArray[np.float64] = (values - design @ solution) * float(np.sqrt(len(values) / freedom))
    return rest


def _forgotten_share(world: World) -> float:
    """Return the share of returns after which nobody plugged in within three hours."""
    plugged: dict[int, list[datetime]] = defaultdict(list)
    for stay in world.stays:
        if stay.wish.vehicle:
            plugged[stay.wish.vehicle.index].append(stay.wish.plug_at)
    window = timedelta(hours=3)
    returns = [drive for drive in world.drives if drive.duty.operating_date <= LIVE_DATE]
    missed = sum(
        not any(drive.return_at <= at <= drive.return_at + window for at in plugged[drive.vehicle.index])
        for drive in returns
    )
    return missed / max(1, len(returns))


def _night(world: World, night: date) -> Night:
    begin = local_instant(night, time(12, 30), TIMEZONE)
    sites = [_charge_site(world, site, begin) for site in world.fleet.sites]
    departures = sum(site.departures for site in sites)
    count = max(1, departures)
    return Night(
        night=night,
        departures=departures,
        peak_to_limit=max(site.peak_to_limit for site in sites),
        fcfs_not_ready=sum(site.fcfs_short for site in sites) / count,
        foresight_not_ready=sum(site.foresight_short for site in sites) / count,
        need_kwh=sum(site.need_kwh for site in sites),
    )


@dataclass(frozen=True, slots=True)
class _SiteNight:
    departures: int
    peak_to_limit: float
    fcfs_short: int
    foresight_short: int
    need_kwh: float


def _charge_site(world: World, site: Site, begin: datetime) -> _SiteNight:
    night = _sessions(world, site, begin)
    uncontrolled, fcfs = _fresh(night), _fresh(night)
    ratio = _charge(world, site, uncontrolled, begin=begin, rule=by_arrival, bound=Bound.NONE)
    _charge(world, site, fcfs, begin=begin, rule=by_arrival, bound=Bound.LIMIT)
    need_kwh = sum(session.energy_kwh for session in uncontrolled)
    return _SiteNight(len(night), ratio, _short(fcfs), _fewest_short(world, site, night, begin), need_kwh)


def _fresh(night: list[Session]) -> list[Session]:
    """Return the sessions as they were plugged in, with nothing charged yet."""
    return [replace(session, powers_kw=[], socs=[]) for session in night]


def _short(sessions: list[Session]) -> int:
    return sum(session.soc < session.target - READY_TOLERANCE for session in sessions)


def _fewest_short(world: World, site: Site, night: list[Session], begin: datetime) -> int:
    """Return how few a rule with perfect foresight leaves behind: an upper bound on what is unavoidable.

    Least slack first spreads a shortage over everybody; so whoever falls shortest is served last in the next attempt.
    """
    given_up: set[int] = set()
    fewest = len(world.fleet.vehicles)
    for _ in range(ATTEMPTS):
        sessions = _fresh(night)

        def rule(session: Session, at: datetime, last: frozenset[int] = frozenset(given_up)) -> float:
            return by_slack(session, at) + (LAST if session.stay.connector.index in last else 0.0)

        _charge(world, site, sessions, begin=begin, rule=rule, bound=Bound.LIMIT_LESS_FALLBACKS)
        fewest = min(fewest, _short(sessions))
        rest = [session for session in sessions if session.stay.connector.index not in given_up]
        if fewest == 0 or not rest:
            break
        worst = max(rest, key=lambda session: (session.target - session.soc) * session.stay.battery.capacity_kwh)
        given_up.add(worst.stay.connector.index)
    return fewest


def _sessions(world: World, site: Site, begin: datetime) -> list[Session]:
    """Return the night's last stay of every vehicle that leaves on the next morning, with its true need."""
    end = begin + timedelta(days=1)
    morning = {
        drive.vehicle.index: drive
        for drive in world.drives
        if drive.vehicle.site_id == site.site_id and begin + timedelta(hours=12) <= drive.departure_at < end
    }
    last = {
        stay.wish.vehicle.index: stay
        for stay in world.stays
        if stay.wish.vehicle and stay.wish.vehicle.index in morning and stay.wish.unplug_at < end
        and stay.wish.unplug_at > begin and stay.wish.plug_at > begin - timedelta(hours=3)
    }  # fmt: skip
    arrival_soc = _arrival_soc(world, begin)
    made = []
    for index, stay in sorted(last.items()):
        capacity_kwh = stay.battery.capacity_kwh
        target = required_share(morning[index].expected_kwh, capacity_kwh, world.scenario.difficulty)
        soc = arrival_soc[index]
        session = Session(
            stay, _step(stay.wish.plug_at, begin), _step(stay.wish.unplug_at, begin), soc, target, stay.wish.unplug_at
        )
        made.append(session)
    return made


def _arrival_soc(world: World, begin: datetime) -> dict[int, float]:
    """Return every vehicle's SoC as it stands at the depot that evening, before it is charged."""
    soc = dict(world.soc_at_live_start)
    if begin >= world.scenario.live_start_at:
        return soc | {driven.drive.vehicle.index: driven.soc_after for driven in world.homecoming}
    for session in reversed(world.sessions):
        vehicle = session.stay.wish.vehicle
        if vehicle and session.stay.wish.plug_at > begin - timedelta(hours=3):
            soc[vehicle.index] = session.soc_at_plug
    return soc


class Bound(Enum):
    """What bounds charging: nothing, the limits, or the limits less what idle connectors may fall back to."""

    NONE = "none"
    LIMIT = "limit"
    LIMIT_LESS_FALLBACKS = "limit_less_fallbacks"


def _charge(world: World, site: Site, sessions: list[Session], *, begin: datetime, rule: Rule, bound: Bound) -> float:
    """Charge the sessions under a rule; return the highest ratio of the site's import to its limit."""
    groups = {} if bound is Bound.NONE else dict(site.groups)
    fallbacks_kw = {connector.index: connector.fallback_kw for connector in world.fleet.connectors_of(site.site_id)}
    highest = 0.0
    for step in range(int(timedelta(days=1) / STEP)):
        at = begin + step * STEP
        active = [session for session in sessions if session.first_step <= step < session.last_step]
        if not active:
            continue
        limit_kw = UNLIMITED_KW if bound is Bound.NONE else world.vehicles_limit_kw(site, at)
        if bound is Bound.LIMIT_LESS_FALLBACKS:
            busy = {session.stay.connector.index for session in active}
            limit_kw = max(0.0, limit_kw - sum(kw for index, kw in fallbacks_kw.items() if index not in busy))
        drawn_kw = charge_step(active, at=at, limit_kw=limit_kw, group_limits_kw=groups, rule=rule)
        local = at.astimezone(world.zone)
        import_kw = drawn_kw + world.loads[site.site_id].base_load_kw(at)
        highest = max(highest, import_kw / site.import_limit_kw(local.hour * 60 + local.minute))
    return highest


def _step(instant: datetime, begin: datetime) -> int:
    return max(0, int((instant - begin) / STEP))


def table(measured: Measured) -> Iterable[str]:
    """Yield the lines of the table that ``python -m simulator difficulty`` prints."""
    yield f"residual lateness sd          {measured.lateness_sd_min:7.1f} min   floor 35"
    yield f"learnable lateness sd         {measured.lateness_known_sd_min:7.1f} min"
    yield f"residual arrival SoC sd       {measured.arrival_soc_sd_pct:7.1f} points floor 6"
    yield f"plugs forgotten               {100 * measured.forgotten_share:7.1f} %     aim 2"
    yield ""
    yield "                                 live   typical"
    rows = (
        ("uncontrolled peak / limit", "peak_to_limit", 1.0, "floor 1.5"),
        ("first come not ready, %", "fcfs_not_ready", 100.0, "floor 5"),
        ("foresight not ready, %", "foresight_not_ready", 100.0, "near 0"),
        ("departures", "departures", 1.0, ""),
        ("energy needed, kWh", "need_kwh", 1.0, ""),
    )
    for label, name, scale, floor in rows:
        live, typical = scale * getattr(measured.live, name), scale * measured.typical(name)
        yield f"{label:27} {live:9.2f} {typical:9.2f}   {floor}"
