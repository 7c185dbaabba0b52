"""The bar in small: forecasts that are off by half an hour and five points, against knowing everything."""

from dataclasses import dataclass, replace
from datetime import timedelta

import numpy as np
import pytest

from planning.fallback import SocEstimate
from planning.model import DemandCharge
from planning.replay.faults import FAULTS, Disturbed
from planning.replay.knowledge import PerfectForesight, measured_soc
from planning.replay.loop import Contender, replay
from planning.replay.observation import Observation
from planning.replay.policies import policy_of
from planning.replay.scoring import Score, infeasible_of, score, total
from planning.replay.world import Span, TrueStay
from planning.requirements import Requirement
from planning.site_state import ArrivalEstimate, ConnectorState, Expected, VehicleRequest
from tests.planning.replay.yard import stay, world

VANS = 10
NIGHTS = range(3)
SPREAD_MIN, SPREAD_PCT = 30.0, 5.0
CAREFUL = 0.6  # standard deviations that the careful side of ten vans' pooled errors lies from the middle


@dataclass(frozen=True)
class Roughly:
    """Knows when each van leaves, and about when it comes and with what; what it has seen it knows."""

    stays: tuple[TrueStay, ...]
    late_min: dict[str, float]
    low_pct: dict[str, float]

    def requests(self, seen: Observation) -> list[VehicleRequest]:
        here = seen.of_vehicles()
        return [self._request(one, seen, here) for one in self.stays if one.vehicle_id not in seen.gone]

    def _request(self, one: TrueStay, seen: Observation, here: dict) -> VehicleRequest:
        plugged = here.get(one.vehicle_id)
        middle_at = max(one.plugged_at + timedelta(minutes=self.late_min[one.vehicle_id]), seen.at)
        middle_pct = one.start_soc_pct + self.low_pct[one.vehicle_id]
        careful_at = middle_at + timedelta(minutes=CAREFUL * SPREAD_MIN)
        guess = SocEstimate(middle_pct - CAREFUL * SPREAD_PCT, 4, "forecast", seen.at)
        return VehicleRequest(
            spec=one.spec,
            requested_departure_at=one.unplugged_at,
            soc=measured_soc(plugged, one.spec, seen.at) if plugged else guess,
            requirement=replace(one.required, margin_pp=1.0),
            plugged_at=plugged.connector if plugged else None,
            transaction_id=plugged.transaction_id if plugged else None,
            arrival=None if plugged else ArrivalEstimate(careful_at, "forecast", 4, seen.at),
            bay=one.connector,
            expected=None if plugged else Expected(middle_at, middle_pct),
        )


def night(number: int, limit_kw: float) -> tuple[Span, Roughly]:
    """Ten vans that come in the evening; a demand charge that begins anew."""
    chance = np.random.default_rng([number, 20261126])
    stays = [
        replace(
            stay(
                k, arrive_h=chance.uniform(3, 8), leave_h=chance.uniform(16, 19), start=chance.uniform(25, 60), need=85
            ),
            required=Requirement(85.0, "dispatch", None),
        )
        for k in range(VANS)
    ]
    connectors = tuple(ConnectorState(f"CP-{k}", 1, "ac", 11.0, 4.14, 0.0) for k in range(VANS))
    charge = DemandCharge("month", 10.0, 0.0, None)
    over = world(stays, limit_kw=limit_kw, connectors=connectors, groups=(), demand_charges=(charge,))
    names = [one.vehicle_id for one in stays]
    late = dict(zip(names, chance.normal(0, SPREAD_MIN, VANS), strict=True))
    low = dict(zip(names, chance.normal(0, SPREAD_PCT, VANS), strict=True))
    return over, Roughly(over.stays, late, low)


def scores(limit_kw: float, fault: str = "none") -> tuple[Score, Score]:
    """Return the planner's score and foresight's over the nights."""
    ours, best = [], []
    for number in NIGHTS:
        calm, forecaster = night(number, limit_kw)
        over = FAULTS[fault].world(calm)
        seer = Contender("seer", PerfectForesight(over), policy_of("foresight"), is_omniscient=True)
        foresight = replay(over, seer)
        infeasible = infeasible_of(foresight)
        told = Disturbed(forecaster, FAULTS[fault], over)
        played = replay(over, Contender("platform", told, policy_of("optimiser")))
        ours.append(score(over, played, infeasible))
        best.append(score(over, foresight, infeasible))
    return total(ours), total(best)


def test_where_a_demand_charge_binds_rough_forecasts_cost_little_and_nobody_is_late() -> None:
    ours, best = scores(limit_kw=120.0)
    assert ours.departures - ours.infeasible == len(NIGHTS) * VANS
    assert ours.ready_pct == 100.0
    assert ours.cost <= 1.05 * best.cost


@pytest.mark.parametrize("fault", ["late_return", "dead_charger", "faulty_charger"])
def test_a_fault_leaves_ready_whom_foresight_could_make_ready(fault: str) -> None:
    ours, _ = scores(limit_kw=120.0, fault=fault)
    assert ours.ready_pct is not None
    assert ours.ready_pct >= 98.5
