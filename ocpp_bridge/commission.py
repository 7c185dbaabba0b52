"""Commissioning a station, step by step, against the running bridge: what it can do, and what it really does.

Talks to the bridge over its HTTP alone, and to the electrician through ``say``. Each step has a verdict and what was
measured; together they are the protocol. Instants are the bridge's; patience is wall time.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, Protocol

from core.time_grid import parse_instant

SCHEMA: Final = "depotwise.commissioning/1"
ABOVE_SHARE: Final = 0.05
ABOVE_KW: Final = 0.3
FOLLOWS_SHARE: Final = 0.7
FLOWS_KW: Final = 0.5
PHASE_ON_A: Final = 3.0
RESOLUTION_KWH: Final = 0.02
CURRENTS_A: Final = (6.0, 7.0, 8.0, 10.0, 13.0, 16.0)
Json = dict[str, Any]


class Ask(Protocol):
    """How the bridge is asked: method, path and body; the answer's JSON."""

    def __call__(self, method: str, path: str, body: Json | None = None) -> Json:
        """Return the answer, or raise."""


class CommissioningError(RuntimeError):
    """It cannot go on; the message says what the electrician should do."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait, in seconds of wall time; ``trial_s`` is on the bridge's clock."""

    vehicle_s: float = 600.0
    sample_s: float = 120.0
    settling_s: float = 30.0
    cut_s: float = 180.0
    return_s: float = 300.0
    trial_s: float = 900.0
    cut_trial_s: float = 60.0
    look_s: float = 1.0


class Verdict(StrEnum):
    """What came of a step."""

    PASSED = "passed"
    FAILED = "failed"
    UNCLEAR = "unclear"  # it could not be told from here


@dataclass(slots=True)
class Step:
    """A step, its verdict, and what was measured."""

    step: str
    verdict: Verdict
    says: str
    measured: Mapping[str, Any] = field(default_factory=dict)

    def as_json(self) -> Json:
        """Return it for the protocol."""
        return {"step": self.step, "verdict": self.verdict, "says": self.says, "measured": dict(self.measured)}


class Commissioning:
    """One connector's way through commissioning."""

    def __init__(
        self, ask: Ask, say: Callable[[str], None], station_id: str, connector_id: int, patience: Patience
    ) -> None:
        self._ask, self._say = ask, say
        self._station_id, self._connector_id = station_id, connector_id
        self._patience = patience
        self._path = f"/stations/{station_id}"

    def run(self) -> Json:
        """Take all steps; return the protocol.

        Raises:
            CommissioningError: the station is not there, or no vehicle came.
        """
        begun_at = self._look()["at"]
        steps = [self._told(self._identify())]
        try:
            todo = (
                self._wait_for_vehicle,
                self._follow,
                self._pause,
                self._phases,
                self._minimum,
                self._cut,
            )
            steps.extend(self._told(step()) for step in todo)
        finally:
            self._ask("POST", f"{self._path}/trial", self._trial_body(0.0, 0.0))
        return {
            "schema": SCHEMA,
            "station_id": self._station_id,
            "connector_id": self._connector_id,
            "begun_at": begun_at,
            "ended_at": self._look()["at"],
            "passed": all(one.verdict is not Verdict.FAILED for one in steps),
            "steps": [one.as_json() for one in steps],
        }

    # --- steps -------------------------------------------------------------------------------------------------------

    def _identify(self) -> Step:
        found = self._look()
        if not found["connected"]:
            raise CommissioningError(f"{self._station_id} is not connected; power it up and point it at the bridge")
        if found["limit_kw"] is None:
            return Step(
                "capabilities", Verdict.FAILED, "it holds no fallback: profiles are off, or refused", found["about"]
            )
        about = found["about"]
        says = f"{about['vendor']} {about['model']}, OCPP {about['version']}, {'/'.join(about['units'])}"
        return Step("capabilities", Verdict.PASSED, f"{says}, {about['max_periods']} periods, fallback accepted", about)

    def _wait_for_vehicle(self) -> Step:
        self._say("Plug in a vehicle that wants to charge, and start charging.")
        found = self._until(lambda one: one["transaction_id"] is not None, self._patience.vehicle_s)
        if found is None:
            raise CommissioningError("no transaction began; plug in a vehicle, then run this again")
        self._say(f"Transaction {found['transaction_id']} runs.")
        return Step("vehicle", Verdict.PASSED, f"transaction {found['transaction_id']}", {"status": found["status"]})

    def _follow(self) -> Step:
        """Two limits, one after the other: the meter must be below each, and near it if the vehicle wants as much."""
        found = self._look()
        measured = []
        for current_a in (12.0, 8.0):
            limit_kw = min(found["max_kw"], max(found["min_kw"], self._kw(found, current_a)))
            metered_kw = self._under(limit_kw)
            measured.append({"limit_kw": round(limit_kw, 2), "power_kw": metered_kw})
        if any(one["power_kw"] is None for one in measured):
            return Step(
                "limit", Verdict.UNCLEAR, "no power is sent; read its display at each limit", {"tried": measured}
            )
        above = [one for one in measured if one["power_kw"] > one["limit_kw"] * (1 + ABOVE_SHARE) + ABOVE_KW]
        if above:
            says = f"{above[0]['power_kw']:.2f} kW flow where {above[0]['limit_kw']:.2f} kW were set"
            return Step("limit", Verdict.FAILED, says, {"tried": measured})
        near = all(one["power_kw"] >= FOLLOWS_SHARE * one["limit_kw"] for one in measured)
        says = "the meter follows the limit" if near else "the meter stays below, the vehicle wants less than the limit"
        return Step("limit", Verdict.PASSED if near else Verdict.UNCLEAR, says, {"tried": measured})

    def _pause(self) -> Step:
        """Nothing, and then something again: some stations or vehicles do not wake up."""
        found = self._look()
        paused_kw = self._under(0.0)
        resumed_kw = self._under(max(found["min_kw"], self._kw(found, 10.0)))
        measured = {"paused_kw": paused_kw, "resumed_kw": resumed_kw}
        if paused_kw is None or resumed_kw is None:
            return Step("pause", Verdict.UNCLEAR, "the station sends no power", measured)
        if paused_kw > ABOVE_KW:
            return Step("pause", Verdict.FAILED, f"{paused_kw:.2f} kW flow during a pause", measured)
        if resumed_kw < FLOWS_KW:
            return Step("pause", Verdict.FAILED, "charging does not resume after a pause", measured)
        return Step("pause", Verdict.PASSED, "pauses, and resumes", measured)

    def _phases(self) -> Step:
        """How many conductors carry current: as metered, or from the power at a known limit."""
        found = self._look()
        if found["current_type"] == "dc":
            return Step("phases", Verdict.UNCLEAR, "direct current")
        limit_kw = max(found["min_kw"], self._kw(found, 10.0))
        power_kw = self._under(limit_kw)
        currents = self._look()["current_a"]
        used = sum(current >= PHASE_ON_A for current in currents.values())
        how = "current per phase"
        if not currents and power_kw is not None:
            used, how = round(power_kw / (limit_kw / found["phases"])), "power at a limit"
        if not used:
            return Step(
                "phases", Verdict.UNCLEAR, "neither currents nor a power to tell them from", {"power_kw": power_kw}
            )
        says = f"the vehicle uses {used} of {found['phases']} phases ({how})"
        return Step(
            "phases",
            Verdict.PASSED if used <= found["phases"] else Verdict.FAILED,
            says,
            {"phases": used, "current_a": currents},
        )

    def _minimum(self) -> Step:
        """The lowest current at which power flows."""
        found = self._look()
        tried: list[Json] = []
        for current_a in CURRENTS_A:
            limit_kw = self._kw(found, current_a)
            if found["current_type"] == "dc" or limit_kw > found["max_kw"]:
                break
            power_kw = self._under(limit_kw + 0.001)
            tried.append({"current_a": current_a, "power_kw": power_kw})
            if power_kw is not None and power_kw >= FLOWS_KW:
                right = limit_kw <= found["min_kw"] * 1.02 or current_a == CURRENTS_A[0]
                says = f"charges from {current_a:g} A ({limit_kw:.2f} kW); min_kw is {found['min_kw']:g}"
                verdict = Verdict.PASSED if right else Verdict.FAILED
                return Step("minimum", verdict, says, {"tried": tried, "current_a": current_a})
        return Step("minimum", Verdict.UNCLEAR, "no power was seen at any current", {"tried": tried})

    def _cut(self) -> Step:
        """Cut the link while a limit above the fallback runs out: afterwards only the fallback may have flowed."""
        found = self._look()
        limit_kw = min(found["max_kw"], max(found["fallback_kw"] * 1.5, found["min_kw"]))
        if self._under(limit_kw) is None and found["energy_register_kwh"] is None:
            return Step(
                "fallback", Verdict.UNCLEAR, "the station sends neither power nor energy; watch its display offline"
            )
        until_at = parse_instant(self._try(limit_kw, self._patience.cut_trial_s)["until"])
        before = self._fresh()
        self._say(f"The link is cut for {self._patience.cut_s:.0f} s. The station must fall to its fallback by itself.")
        self._ask("POST", f"{self._path}/cut", {"seconds": self._patience.cut_s})
        time.sleep(self._patience.cut_s)
        # A sample that came between the last look and the cut, or at once when it was back, must not stand for the
        # time after it: only one that is newer than all seen by now does.
        last = self._look()["metered_at"] or ""
        after = self._until(lambda one: one["connected"] and (one["metered_at"] or "") > last, self._patience.return_s)
        if before is None or after is None:
            return Step("fallback", Verdict.FAILED, "the station did not come back after the cut")
        return self._judge_cut(before, after, limit_kw, until_at)

    def _judge_cut(self, before: Json, after: Json, limit_kw: float, until_at: datetime) -> Step:
        if before["energy_register_kwh"] is None or after["energy_register_kwh"] is None:
            return Step("fallback", Verdict.UNCLEAR, "no energy register; compare its display with the fallback")
        begin, end = parse_instant(before["metered_at"]), parse_instant(after["metered_at"])
        limited_s = max(0.0, (min(until_at, end) - begin).total_seconds())
        rest_s = max(0.0, (end - max(begin, until_at)).total_seconds())
        allowed_kwh = (limit_kw * limited_s + before["fallback_kw"] * rest_s) / 3600
        energy_kwh = after["energy_register_kwh"] - before["energy_register_kwh"]
        measured = {
            "offline_s": round(limited_s + rest_s, 1),
            "energy_kwh": round(energy_kwh, 4),
            "allowed_kwh": round(allowed_kwh, 4),
            "fallback_kw": before["fallback_kw"],
        }
        if rest_s < 1:
            return Step("fallback", Verdict.UNCLEAR, "the cut was too short for the limit to run out", measured)
        if energy_kwh > allowed_kwh * (1 + ABOVE_SHARE) + RESOLUTION_KWH:
            return Step(
                "fallback", Verdict.FAILED, f"{energy_kwh:.3f} kWh flowed, {allowed_kwh:.3f} were allowed", measured
            )
        if before["fallback_kw"] > 0 and energy_kwh < FOLLOWS_SHARE * allowed_kwh - RESOLUTION_KWH:
            return Step("fallback", Verdict.UNCLEAR, "less flowed than the fallback allows", measured)
        return Step("fallback", Verdict.PASSED, "offline it kept to its fallback", measured)

    def _told(self, step: Step) -> Step:
        self._say(f"{step.step} {step.verdict}: {step.says}")
        return step

    # --- parts -------------------------------------------------------------------------------------------------------

    def _look(self) -> Json:
        """Return the station's state with its connector's beside it."""
        answer = self._ask("GET", "/stations")
        station = next((one for one in answer["stations"] if one["station_id"] == self._station_id), None)
        if station is None:
            raise CommissioningError(f"{self._station_id} is no station of this bridge; add it to bridge.yaml")
        wanted = (one for one in station["connectors"] if one["connector_id"] == self._connector_id)
        connector = next(wanted, None)
        if connector is None:
            raise CommissioningError(f"{self._station_id} has no connector {self._connector_id} in bridge.yaml")
        about = {name: station[name] for name in ("vendor", "model", "firmware", "version", "units", "max_periods")}
        return {**connector, "connected": station["connected"], "about": about, "at": answer["site"]["at"]}

    def _under(self, limit_kw: float) -> float | None:
        """Set a limit; return the power metered once it is in force and has settled, None if none is told."""
        self._try(limit_kw, self._patience.trial_s)
        in_force = self._until(
            lambda one: one["limit_kw"] is not None and abs(one["limit_kw"] - limit_kw) <= 0.1 + 0.02 * limit_kw,
            self._patience.sample_s,
        )
        if in_force is None:
            return None
        time.sleep(self._patience.settling_s)
        found = self._fresh()
        return None if found is None or found["power_kw"] is None else round(float(found["power_kw"]), 3)

    def _fresh(self) -> Json | None:
        """Wait for the next meter sample."""
        last = self._look()["metered_at"] or ""
        return self._until(lambda one: (one["metered_at"] or "") > last, self._patience.sample_s)

    def _try(self, limit_kw: float, seconds: float) -> Json:
        return self._ask("POST", f"{self._path}/trial", self._trial_body(limit_kw, seconds))

    def _trial_body(self, limit_kw: float, seconds: float) -> Json:
        return {"connector_id": self._connector_id, "limit_kw": limit_kw, "seconds": seconds}

    def _until(self, fits: Callable[[Json], bool], seconds: float) -> Json | None:
        deadline_s = time.monotonic() + seconds
        while True:
            found = self._look()
            if fits(found):
                return found
            if time.monotonic() > deadline_s:
                return None
            time.sleep(self._patience.look_s)

    @staticmethod
    def _kw(found: Json, current_a: float) -> float:
        lines = found["phases"] if found["current_type"] == "ac" else 1
        return float(current_a * found["voltage_v"] * lines / 1000)
