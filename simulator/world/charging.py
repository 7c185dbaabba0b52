"""Charging under a simple rule: who may draw how much, step by step. Used for the history and to measure difficulty.

The platform has rules of its own; none of them is used here.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from simulator.world.bays import Stay

STEP = timedelta(minutes=5)
STEP_HOURS = STEP / timedelta(hours=1)
UNLIMITED_KW = float("inf")


@dataclass(slots=True)
class Session:
    """A stay at a charger and what flowed. ``powers_kw[k]`` and ``socs[k]`` are of step ``first_step + k``.

    ``socs`` holds the SoC (0 to 1) at the end of the step; ``target`` is where the rule stops charging.
    """

    stay: Stay
    first_step: int
    last_step: int
    soc: float
    target: float
    deadline_at: datetime
    soc_at_plug: float = 0.0
    powers_kw: list[float] = field(default_factory=list)
    socs: list[float] = field(default_factory=list)

    def wanted_kw(self) -> float:
        """Return the power that it can use now; 0 once its target is reached."""
        if self.soc >= self.target - 1e-6:
            return 0.0
        return min(self.stay.max_kw, self.stay.battery.grid_limit_kw(self.soc))

    def draw(self, offered_kw: float) -> float:
        """Charge for one step and return the mean grid power drawn."""
        charge = self.stay.battery.charge(self.soc, offered_kw, STEP_HOURS)
        self.soc = charge.soc
        self.powers_kw.append(charge.grid_kw)
        self.socs.append(charge.soc)
        return charge.grid_kw

    @property
    def energy_kwh(self) -> float:
        """Grid-side energy so far."""
        return sum(self.powers_kw) * STEP_HOURS


Rule = Callable[[Session, datetime], float]


def by_arrival(session: Session, at: datetime) -> float:  # noqa: ARG001 - every rule takes the instant
    """First come, first served."""
    return session.stay.wish.plug_at.timestamp()


def by_departure(session: Session, at: datetime) -> float:  # noqa: ARG001 - every rule takes the instant
    """Earliest planned departure first: the old load manager of the depot."""
    return session.deadline_at.timestamp()


def by_slack(session: Session, at: datetime) -> float:
    """Least slack first: hours until the departure, less the hours that charging still takes at full power."""
    battery, stay = session.stay.battery, session.stay
    missing_kwh = max(0.0, session.target - session.soc) * battery.capacity_kwh
    usual_kw = max(0.1, battery.stored_kw(session.soc, battery.losses.to_terminal_kw(stay.max_kw)))
    return (session.deadline_at - at) / timedelta(hours=1) - missing_kwh / usual_kw


def charge_step(
    sessions: list[Session], *, at: datetime, limit_kw: float, group_limits_kw: Mapping[str, float], rule: Rule
) -> float:
    """Charge all sessions for one step, in the order of the rule, within the site's and the groups' limits.

    Returns:
        The power that all of them drew together.
    """
    room_kw = limit_kw
    group_room_kw = dict(group_limits_kw)
    for session in sorted(sessions, key=lambda session: rule(session, at)):
        group_id = session.stay.connector.group_id
        offered_kw = min(session.wanted_kw(), room_kw)
        if group_id in group_room_kw:
            offered_kw = min(offered_kw, group_room_kw[group_id])
        drawn_kw = session.draw(offered_kw if offered_kw >= session.stay.min_kw else 0.0)
        room_kw -= drawn_kw
        if group_id in group_room_kw:
            group_room_kw[group_id] -= drawn_kw
    return limit_kw - room_kw if limit_kw != UNLIMITED_KW else sum(session.powers_kw[-1] for session in sessions)
