"""What limits mean in kW for the vehicle on a connector, and how a station shares its maximum. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from simulator.charge_point.profiles import Limit, ProfileStore, Transaction
from simulator.world.fleet import Connector

PHASE_VOLTAGE_V = 230.0
LEAST_CURRENT_A = 6.0


@dataclass(frozen=True, slots=True)
class Step:
    """A step of a composite schedule; ``value`` in the unit that was asked for."""

    start_s: int
    value: float


def offered_kw(connector: Connector, limit: Limit | None, phases: int) -> float:
    """Return the power that a connector offers its vehicle under a limit.

    Watts are for all phases of the schedule together, so a vehicle on one phase gets its share of them. Below 6 A, or
    below a cabinet's minimum, a station cannot charge at all.

    Args:
        connector: The connector.
        limit: What the profiles say; None is no limit.
        phases: Phases that the vehicle uses (AC).
    """
    if connector.current_type == "dc":
        power_kw = connector.max_kw if limit is None else min(connector.max_kw, limit.value / 1000)
        return power_kw if power_kw >= connector.min_kw else 0.0
    rated_a = 1000 * connector.max_kw / (3 * PHASE_VOLTAGE_V)
    current_a = rated_a if limit is None else min(rated_a, per_phase_a(limit))
    used = phases if limit is None else min(phases, limit.phases)
    return current_a * PHASE_VOLTAGE_V * used / 1000 if current_a >= LEAST_CURRENT_A - 1e-9 else 0.0


def per_phase_a(limit: Limit) -> float:
    """Return a limit as amperes per phase, at the nominal voltage."""
    return limit.value if limit.unit == "A" else limit.value / (PHASE_VOLTAGE_V * limit.phases)


def total_kw(limit: Limit) -> float:
    """Return a limit as power over all of its phases."""
    return limit.value / 1000 if limit.unit == "W" else limit.value * PHASE_VOLTAGE_V * limit.phases / 1000


def share_station(
    wanted_kw: Mapping[int, float], least_kw: Mapping[int, float], total: float | None
) -> dict[int, float]:
    """Share a station's maximum between its connectors: equally, and nobody gets more than wanted or less than least.

    Args:
        wanted_kw: By connector, what its own limit offers and the vehicle could use.
        least_kw: By connector, the least power above zero.
        total: The station's maximum, or None.
    """
    if total is None or sum(wanted_kw.values()) <= total:
        return dict(wanted_kw)
    given = dict.fromkeys(wanted_kw, 0.0)
    rest, left = total, sorted(wanted_kw, key=lambda connector_id: (wanted_kw[connector_id], connector_id))
    while left:
        connector_id = left.pop(0)
        share = min(wanted_kw[connector_id], rest / (len(left) + 1))
        if share >= least_kw[connector_id]:
            given[connector_id] = share
            rest -= share
    return given


def composite(
    store: ProfileStore,
    connector: Connector,
    transaction: Transaction | None,
    *,
    at: datetime,
    duration_s: int,
    unit: str,
) -> list[Step]:
    """Return the schedule that a connector would follow from an instant on: the strictest of all purposes."""
    end_at = at + timedelta(seconds=duration_s)
    marks = [at, *store.changes(connector.connector_id, at, end_at, transaction)]
    steps: list[Step] = []
    for mark in marks:
        value = _composite_value(store, connector, transaction, mark, unit)
        if not steps or steps[-1].value != value:
            steps.append(Step(int((mark - at).total_seconds()), value))
    return steps


def _composite_value(
    store: ProfileStore, connector: Connector, transaction: Transaction | None, at: datetime, unit: str
) -> float:
    own = store.connector_limit(connector.connector_id, at, transaction)
    limits = [limit for limit in (own, store.station_limit(at)) if limit is not None]
    if connector.current_type == "dc":
        lowest_kw = min([connector.max_kw, *(limit.value / 1000 for limit in limits)])
        return round(1000 * lowest_kw, 1)
    rated_a = 1000 * connector.max_kw / (3 * PHASE_VOLTAGE_V)
    lowest_a = min([rated_a, *(per_phase_a(limit) for limit in limits)])
    phases = own.phases if own is not None else 3
    return round(lowest_a if unit == "A" else lowest_a * PHASE_VOLTAGE_V * phases, 1)
