"""A small made-up night for tests of the replay: vans on AC, one limit, dear evenings."""

from datetime import UTC, datetime, timedelta

import numpy as np

from planning.fallback import SocEstimate
from planning.model import DemandCharge, Group
from planning.replay.batteries import SheetBattery
from planning.replay.knowledge import measured_soc
from planning.replay.observation import Observation
from planning.replay.world import Span, TrueStay, remaining
from planning.requirements import Requirement
from planning.site_state import ArrivalEstimate, ConnectorState, SiteState, VehicleRequest, VehicleSpec

START = datetime(2026, 2, 10, 12, tzinfo=UTC)
SLOT_MIN = 30
SLOTS = 40
VANS = 4


def site(limit_kw: float = 40.0, **changes: object) -> SiteState:
    known = {
        "site_id": "north",
        "currency": "EUR",
        "start_at": START,
        "grid_limit_kw": np.full(SLOTS, limit_kw),
        "base_load_kw": np.full(SLOTS, 8.0),
        "pv_kw": np.zeros(SLOTS),
        "price_per_kwh": np.where(np.arange(SLOTS) < 24, 0.3, 0.1),
        "slot_minutes": SLOT_MIN,
        "connectors": tuple(
            ConnectorState(f"CP-{number}", 1, "ac", 11.0, 4.14, 4.2, group_id="feeder") for number in range(VANS)
        ),
        "groups": (Group("feeder", np.full(SLOTS, 33.0)),),
        "demand_charges": (DemandCharge("month", 10.0, 0.0, None),),
    }
    return SiteState(**{**known, **changes})


def stay(
    number: int,
    *,
    kind: str = "van",
    arrive_h: float = 5.0,
    leave_h: float = 18.0,
    start: float = 30.0,
    need: float = 70.0,
):
    spec = VehicleSpec(f"{kind}-{number}", 70.0, ac_max_kw=11.0, taper_power_kw=11.0, taper_knee_soc_pct=90.0,
                       taper_end_fraction=0.3, efficiency=0.9)  # fmt: skip
    return TrueStay(
        spec=spec,
        battery=SheetBattery(spec, "ac", 11.0),
        connector=(f"CP-{number}", 1),
        plugged_at=START + timedelta(hours=arrive_h),
        unplugged_at=START + timedelta(hours=leave_h),
        start_soc_pct=start,
        required=Requirement(need, "dispatch", None),
    )


def world(stays: list[TrueStay], **changes: object) -> Span:
    settled = site(**changes)
    return Span(
        settled=settled,
        stays=tuple(stays),
        foreseen=lambda at: remaining(settled, int((at - START) / timedelta(minutes=SLOT_MIN))),
    )


class Timetable:
    """Knows when each van is planned to come and leave and what it usually has; sees the rest. It keeps what it saw."""

    def __init__(self, stays: list[TrueStay], *, late_h: float = 0.25, guess_pct: float = 25.0) -> None:
        self.stays, self.late, self.guess_pct = stays, timedelta(hours=late_h), guess_pct
        self.seen: list[Observation] = []

    def requests(self, seen: Observation) -> list[VehicleRequest]:
        self.seen.append(seen)
        here = seen.of_vehicles()
        return [self._request(one, seen, here) for one in self.stays if one.vehicle_id not in seen.gone]

    def _request(self, one: TrueStay, seen: Observation, here: dict) -> VehicleRequest:
        plugged = here.get(one.vehicle_id)
        assert one.required is not None
        return VehicleRequest(
            spec=one.spec,
            requested_departure_at=one.unplugged_at,
            soc=measured_soc(plugged, one.spec, seen.at)
            if plugged
            else SocEstimate(self.guess_pct, 4, "guess", seen.at),
            requirement=one.required,
            plugged_at=plugged.connector if plugged else None,
            transaction_id=plugged.transaction_id if plugged else None,
            arrival=None if plugged else ArrivalEstimate(max(one.plugged_at, seen.at) + self.late, "timetable", 5),
            bay=one.connector,
        )
