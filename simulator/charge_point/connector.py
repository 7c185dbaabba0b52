"""One connector: what is plugged in, the transaction, the meter, and the status it shows. Pure; sends nothing."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from simulator.charge_point.profiles import Transaction
from simulator.world.battery import Battery
from simulator.world.fleet import Connector

HOUR = timedelta(hours=1)
FULL = 1 - 1e-9


@dataclass(slots=True)
class Plugged:
    """A vehicle on the cable. ``soc`` (0 to 1) is its true state; it stops by itself at ``stop_soc``.

    ``is_waiting`` until its token was answered; afterwards it charges once, or not at all.
    """

    token: str
    battery: Battery
    max_kw: float
    phases: int
    soc: float
    plugged_at: datetime
    stop_soc: float = 1.0
    is_waiting: bool = True

    def wanted_kw(self) -> float:
        """Return the grid-side power that it could take now."""
        if self.soc >= min(self.stop_soc, FULL):
            return 0.0
        return min(self.max_kw, self.battery.grid_limit_kw(self.soc))


@dataclass(slots=True)
class Running:
    """A transaction as the station keeps it; the id comes from the back end with its answer."""

    token: str
    started_at: datetime
    meter_start_kwh: float
    transaction_id: int | None = None

    def view(self) -> Transaction:
        """Return what profiles must know of it."""
        return Transaction(self.transaction_id, self.started_at)


@dataclass(slots=True)
class Outlet:
    """The state of one connector. ``offered_kw`` and ``power_kw`` are those of the last step."""

    connector: Connector
    register_kwh: float
    status: str = "Available"
    plugged: Plugged | None = None
    running: Running | None = None
    offered_kw: float = 0.0
    power_kw: float = 0.0
    next_sample_at: datetime | None = None
    charged_kwh: float = field(default=0.0)

    @property
    def transaction(self) -> Transaction | None:
        """The running transaction."""
        return self.running.view() if self.running else None

    @property
    def is_live(self) -> bool:
        """Energy may flow: a vehicle is there and its transaction runs."""
        return self.plugged is not None and self.running is not None

    def charge(self, offered_kw: float, duration: timedelta) -> None:
        """Let the vehicle draw for a step from what is offered."""
        assert self.plugged is not None
        hours = duration / HOUR
        wanted_kw = self.plugged.wanted_kw()
        charge = self.plugged.battery.charge(self.plugged.soc, min(offered_kw, wanted_kw), hours)
        self.plugged.soc = charge.soc
        self.offered_kw, self.power_kw = offered_kw, charge.grid_kw
        self.register_kwh += charge.grid_kw * hours
        self.charged_kwh += charge.grid_kw * hours

    def rest(self) -> None:
        """Let no energy flow in this step."""
        self.offered_kw = self.power_kw = 0.0

    def status_now(self) -> str:
        """Return the status that follows from what is plugged in and what flows."""
        if self.plugged is None:
            return "Available"
        if self.running is None:
            return "Preparing" if self.status in ("Available", "Preparing") else "Finishing"
        if self.power_kw > 0:
            return "Charging"
        return "SuspendedEVSE" if self.offered_kw <= 0 and self.plugged.wanted_kw() > 0 else "SuspendedEV"
