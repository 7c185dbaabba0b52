"""What a connector should hold under a publication, before the site's limits have their say. Pure.

Turns an entry of a publication into a demand and a place in the station's stack. Sharing a limit is in ``targets``,
sending in ``conductor``.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from core.publication import ConnectorPlan, Publication
from ocpp_bridge.clocks import ClockBounds
from ocpp_bridge.config import BridgeConfig, ConnectorConfig
from ocpp_bridge.curves import Curve, constant, from_instants, lower, steps, upper
from ocpp_bridge.holdings import CLOCK_MARGIN_S
from ocpp_bridge.profiles import Capabilities, Place, Slot, Wiring


@dataclass(frozen=True, slots=True)
class Override:
    """A limit that somebody set over HTTP, until an instant."""

    ev_limit_kw: float
    valid_until: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class Trial:
    """A limit for one connector in place of its plan, while it is being commissioned."""

    limit_kw: float
    until_s: float


@dataclass(frozen=True, slots=True)
class Wish:
    """Limits that a connector should hold: where, what, until when, and for which plan (None: an emergency)."""

    slot: Slot
    transaction_id: str | None
    reserved_kw: Curve
    end_s: float
    plan_id: str | None
    wiring: Wiring


def limits_kw(
    config: BridgeConfig, publication: Publication | None, override: Override | None
) -> dict[str | None, Curve]:
    """Return the limit of the site (None) and of each group over time: the strictest of all that apply."""
    curves: dict[str | None, list[Curve]] = {scope: [constant(kw)] for scope, kw in config.limits_kw.items()}
    if publication is not None:
        end_s = publication.valid_until.timestamp()
        of_site = from_instants((period.start_at, period.limit_kw) for period in publication.ev_limit_kw)
        curves[None].append(of_site.until(end_s, math.inf))
        for group in publication.groups:
            if group.limit_kw:
                of_group = from_instants((period.start_at, period.limit_kw) for period in group.limit_kw)
                curves.setdefault(group.group_id, []).append(of_group.until(end_s, math.inf))
    if override is not None:
        curves[None].append(constant(override.ev_limit_kw).until(override.valid_until.timestamp(), math.inf))
    return {scope: lower(*several) for scope, several in curves.items()}


def wiring_of(entry: ConnectorPlan, config: ConnectorConfig) -> Wiring:
    """Return the wiring that converts an entry; whoever plugs in next may use all phases."""
    return Wiring(
        config.current_type,
        config.phases,
        config.nominal_voltage_v or entry.nominal_voltage_v,
        min(config.max_kw, entry.max_kw),
        max(config.min_kw, entry.min_kw),
        vehicle_phases=entry.vehicle_phases if entry.transaction_id is not None else None,
    )


def planned_kw(entry: ConnectorPlan, config: ConnectorConfig) -> Curve:
    """Return what an entry allows, in kW of the vehicle: before its first period the fallback holds."""
    ceiling = min(config.max_kw, entry.max_kw)
    pairs = [(period.start_at.timestamp(), min(period.limit_kw, ceiling)) for period in entry.periods]
    return steps([(-math.inf, min(config.fallback_kw, pairs[0][1])), *pairs])


def wish_of(publication: Publication, entry: ConnectorPlan, config: ConnectorConfig) -> Wish:
    """Return what an entry wants its connector to hold."""
    wiring = wiring_of(entry, config)
    slot = Slot.DEFAULT if entry.transaction_id is None else Slot.TRANSACTION
    course = planned_kw(entry, config)
    if entry.periods[0].start_at <= publication.as_of:
        # All begin with what they are sent and acknowledge; nobody goes by a clock to the plan's first period.
        course = course.since(publication.as_of.timestamp(), course.at(publication.as_of.timestamp()))
    return Wish(
        slot,
        None if entry.transaction_id is None else str(entry.transaction_id),
        course.scaled(wiring.reserve_factor),
        publication.valid_until.timestamp(),
        publication.plan_id,
        wiring,
    )


def trial_wish(trial: Trial, config: ConnectorConfig, transaction_id: str | None) -> Wish:
    """Return what a trial wants its connector to hold."""
    slot = Slot.DEFAULT if transaction_id is None else Slot.TRANSACTION
    return Wish(slot, transaction_id, constant(trial.limit_kw), trial.until_s, None, config.wiring)


def courses_kw(
    wish: Wish | None, rest: Curve, clock: ClockBounds, *, wait_s: float, proven_share: float = 1.0
) -> tuple[Curve, Curve]:
    """Return what the connector would count for if the wish came true, for ever: at once, and patiently.

    Patiently means that it begins each higher period only when all others have ended theirs.
    """
    if wish is None:
        return rest, rest
    course = wish.reserved_kw.scaled(proven_share)
    counted = course.widened(clock.early_s, clock.late_s)
    wanted = _then_rest(wish, counted, rest, clock)
    if clock.late_s > wait_s or counted is course:  # of a slower one nobody waits for, all counts
        return wanted, wanted
    return wanted, _then_rest(wish, lower(counted, course.delayed(wait_s)), rest, clock)


def _then_rest(wish: Wish, course: Curve, rest: Curve, clock: ClockBounds) -> Curve:
    alive = course.until(wish.end_s + max(CLOCK_MARGIN_S, clock.late_s))
    return upper(alive, rest.since(wish.end_s - max(CLOCK_MARGIN_S, clock.early_s)))


def granted(wish: Wish, share_kw: Curve, clock: ClockBounds, *, now_s: float, proven_share: float = 1.0) -> Wish:
    """Return the wish, cut down to what the site can give from now on, whatever the station's clock shows."""
    given = share_kw.since(now_s, math.inf).narrowed(clock.early_s, clock.late_s)
    return replace(wish, reserved_kw=lower(wish.reserved_kw, given.scaled(1 / proven_share)))


def emergency(
    share_kw: Curve, rest: Curve, clock: ClockBounds, *, transaction_id: str | None, wiring: Wiring, now_s: float
) -> Wish | None:
    """Return what a connector without a plan must hold where the site cannot even give it its rest.

    It ends a margin after the site can: a clock that is ahead ends it early.
    """
    edges = sorted({*share_kw.edges(now_s), *rest.edges(now_s)})
    below = [edge for edge in edges if share_kw.at(edge) < rest.at(edge) - 1e-6]
    if not below:
        return None
    later = [edge for edge in edges if edge > below[-1]]
    horizon_s = math.floor(now_s / 3600) * 3600 + 2 * 3600.0
    slot = Slot.DEFAULT if transaction_id is None else Slot.TRANSACTION
    end_s = min(later[0] + max(CLOCK_MARGIN_S, clock.early_s) if later else math.inf, horizon_s)
    given = share_kw.since(now_s, math.inf).narrowed(clock.early_s, clock.late_s)
    return Wish(slot, transaction_id, lower(given, rest), end_s, None, wiring)


def ladder(wish: Wish, connector_id: int, capabilities: Capabilities, *, by_maximum: bool = False) -> list[Place]:
    """Return the places to try, best first, for a station that refuses.

    Some stations refuse the highest level that they report, or TxProfiles altogether, or all but a maximum
    (``by_maximum``). A default never goes to level 0, where it would replace the fallback and leave nothing when it
    expires.
    """
    top = capabilities.plan_level
    connector_id = 0 if by_maximum else connector_id
    defaults = [Place(connector_id, Slot.DEFAULT, level) for level in dict.fromkeys((top, min(top, 1))) if level > 0]
    if by_maximum or wish.slot is Slot.DEFAULT:
        return defaults
    levels = dict.fromkeys((top, min(top, 1), 0))
    own = [Place(connector_id, Slot.TRANSACTION, level, wish.transaction_id) for level in levels]
    return own + defaults


def group_names(config: ConnectorConfig, entry: ConnectorPlan | None) -> set[str]:
    """Return the groups that a connector belongs to, by configuration and by publication."""
    names = {config.group_id, entry.group_id if entry is not None else None}
    return {name for name in names if name is not None}


def entries_by_key(publication: Publication | None) -> Mapping[tuple[str, int], ConnectorPlan]:
    """Return the entries of a publication by connector."""
    if publication is None:
        return {}
    return {(entry.station_id, entry.connector_id): entry for entry in publication.connectors}
