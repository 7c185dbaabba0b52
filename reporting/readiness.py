"""Whether a vehicle is ready for its departure, on what evidence, and why not: pure, one departure at a time.

Ready means: SoC at pull-out at least the required SoC less one point, on evidence of rung 1 to 3. Before pull-out,
what is known now and the plan's prediction stand in, and the state says which. Nothing here reads or draws.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

READY_TOLERANCE_PP = 1.0
# A parked vehicle sleeps and keeps silent; after a day without a word we no longer trust that it has not moved.
LONGEST_SILENCE = timedelta(hours=24)
# Below it, energy metered since a report is noise of the register rather than charging.
LEAST_METERED_KWH = 0.5
DEFAULT_EFFICIENCY = 0.9
# People are late by an hour without anything being wrong; after two, somebody should ask.
LATE_BACK = timedelta(hours=2)
# Energy that a plan still gives and the SoC on top of which it comes are both estimates.
BEHIND_PLAN_PP = 5.0


class State(StrEnum):
    """How a departure stands; the first three are not ready, in the order in which they need somebody."""

    NOT_PLUGGED = "not_plugged"
    SHORT = "short"
    UNKNOWN = "unknown"
    CHARGING = "charging"
    DUE_BACK = "due_back"
    READY = "ready"

    @property
    def is_ok(self) -> bool:
        """Ready, or on course to be."""
        return self not in {State.NOT_PLUGGED, State.SHORT, State.UNKNOWN}


class Cause(StrEnum):
    """Why a departure is not ready."""

    NOT_PLUGGED_IN = "not_plugged_in"
    NOT_SEEN_BACK = "not_seen_back"
    TOO_LITTLE_ENERGY = "too_little_energy"
    BEHIND_PLAN = "behind_plan"
    CHARGER_FAULT = "charger_fault"
    NO_REPORT = "no_report"
    OLD_REPORT = "old_report"
    NO_REQUIREMENT = "no_requirement"
    NO_PREDICTION = "no_prediction"


@dataclass(frozen=True, slots=True)
class SocEvidence:
    """A SoC, and what it rests on (rungs of the fallback ladder: 1 best, 6 worst)."""

    soc_pct: float
    source: str
    rung: int
    observed_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Departure:
    """A planned departure and all that was known of it at ``as_of``, or at pull-out if that was earlier.

    ``reading_*`` is the last SoC that a vehicle or its charger reported; ``is_parked_since_reading`` tells that it was
    at the depot then and was not driven until pull-out, as far as anybody knows; ``metered_kwh`` is grid-side energy
    counted after it, until ``metered_at``, and ``planned_kwh_ahead`` what the plan still gives from then on.
    ``faulty_since`` is since when its connector, or the whole station, calls itself out of order.
    ``pulled_out_at`` is when it really left, ``is_plug_known`` tells that somebody would have seen a cable. Battery
    and power are what the vehicle and its connector can take. None is unknown.
    """

    vehicle_id: str
    block_id: str
    departure_at: datetime
    pulled_out_at: datetime | None = None
    route_id: str | None = None
    required_soc_pct: float | None = None
    predicted_soc_pct: float | None = None
    expected_arrival_at: datetime | None = None
    planned_return_at: datetime | None = None
    planned_soc_rung: int | None = None
    planned_soc_source: str | None = None
    reason_text: str | None = None
    battery_kwh: float | None = None
    efficiency: float | None = None
    max_kw: float | None = None
    reading_soc_pct: float | None = None
    reading_at: datetime | None = None
    reading_source: str | None = None
    freshness_min: float = 60.0
    is_parked_since_reading: bool = False
    metered_kwh: float | None = None
    metered_at: datetime | None = None
    planned_kwh_ahead: float | None = None
    station_id: str | None = None
    connector_id: int | None = None
    match_confidence: float | None = None
    plugged_at: datetime | None = None
    unplugged_at: datetime | None = None
    is_plugged: bool = False
    faulty_since: datetime | None = None
    is_plug_known: bool = True
    is_at_depot: bool = False
    home_since: datetime | None = None
    seen_at: datetime | None = None
    has_red_battery_telltale: bool = False

    @property
    def pull_out_at(self) -> datetime:
        """When it left, or was to leave."""
        return self.pulled_out_at or self.departure_at

    @property
    def due_back_at(self) -> datetime | None:
        """When it was to be back by its duty, or else by the plan, which moves with every plan that is made."""
        return self.planned_return_at or self.expected_arrival_at


@dataclass(frozen=True, slots=True)
class Judgement:
    """The verdict: state, cause where it is not ready, evidence, and what is missing (points, grid-side kWh).

    ``ready_at`` is the earliest that full power from now on could make it ready, taper and other vehicles left aside.
    """

    state: State
    soc: SocEvidence | None
    cause: Cause | None = None
    missing_pp: float | None = None
    missing_kwh: float | None = None
    ready_at: datetime | None = None


def judge_departure(departure: Departure, *, as_of: datetime) -> Judgement:
    """Say how a departure stands at ``as_of``; once it has left, or should have, the verdict is final.

    A vehicle that is still out is not ready for its next departure, however full it is.
    """
    is_gone = departure.pull_out_at <= as_of
    soc = soc_evidence(departure, as_of=as_of)
    required = departure.required_soc_pct
    is_enough = soc is not None and required is not None and soc.soc_pct >= required - READY_TOLERANCE_PP
    if is_enough and (is_gone or departure.is_at_depot):
        return Judgement(State.READY, soc)
    if is_gone and departure.plugged_at is None and departure.is_plug_known:
        return _missing(departure, State.NOT_PLUGGED, Cause.NOT_PLUGGED_IN, soc)
    if required is None:
        return Judgement(State.UNKNOWN, soc, Cause.NO_REQUIREMENT)
    return _verdict(departure, soc) if is_gone else _outlook(departure, soc, as_of=as_of)


def soc_evidence(departure: Departure, *, as_of: datetime) -> SocEvidence | None:
    """Return the best evidence of rung 1 to 3 of the SoC at ``as_of`` or at pull-out, or None when there is none.

    A report with energy counted after it is rung 3; one that is fresh by its source's contract, rung 1; an older one
    of a vehicle that has stood at the depot since, rung 2.
    """
    soc_pct, reading_at = departure.reading_soc_pct, departure.reading_at
    if soc_pct is None or reading_at is None:
        return None
    silence = min(as_of, departure.pull_out_at) - reading_at
    source = departure.reading_source or "unknown source"
    is_held = departure.is_parked_since_reading and silence <= LONGEST_SILENCE
    charged_pp = _energy_pp(departure, departure.metered_kwh)
    if is_held and charged_pp and departure.metered_at:
        return SocEvidence(min(100.0, soc_pct + charged_pp), f"{source} + charger", 3, departure.metered_at)
    if silence <= timedelta(minutes=departure.freshness_min):
        return SocEvidence(soc_pct, source, 1, reading_at)
    return SocEvidence(soc_pct, source, 2, reading_at) if is_held else None


def _energy_pp(departure: Departure, energy_kwh: float | None) -> float:
    """Return the points of SoC that grid-side energy makes; 0 for noise, and where the battery is not known."""
    if energy_kwh is None or not departure.battery_kwh or energy_kwh < LEAST_METERED_KWH:
        return 0.0
    return 100.0 * energy_kwh * (departure.efficiency or DEFAULT_EFFICIENCY) / departure.battery_kwh


def _verdict(departure: Departure, soc: SocEvidence | None) -> Judgement:
    """Judge a departure whose time has come, that was plugged in, and that is not known to have been ready."""
    if soc is None:
        return Judgement(State.UNKNOWN, None, _why_unknown(departure))
    return _missing(departure, State.SHORT, Cause.TOO_LITTLE_ENERGY, soc)


def _outlook(departure: Departure, soc: SocEvidence | None, *, as_of: datetime) -> Judgement:
    """Judge a departure that is still ahead and not yet ready."""
    predicted, required = departure.predicted_soc_pct, departure.required_soc_pct or 0.0
    hindered = _hindered(departure, soc, as_of=as_of)
    if hindered is not None:
        return hindered
    if predicted is None:
        return Judgement(State.UNKNOWN, soc, Cause.NO_PREDICTION)
    if predicted < required - READY_TOLERANCE_PP:
        short = _missing(departure, State.SHORT, Cause.TOO_LITTLE_ENERGY, soc, reached_pct=predicted)
        return replace(short, ready_at=_ready_at(departure, soc, as_of))
    if not departure.is_plugged:
        return Judgement(State.DUE_BACK, soc)
    if soc is None:
        return Judgement(State.UNKNOWN, None, _why_unknown(departure))
    # What the plan promises counts only as far as its energy is still to come: chargers do not always follow.
    reached_pct = soc.soc_pct + _energy_pp(departure, departure.planned_kwh_ahead)
    if departure.battery_kwh and reached_pct < required - BEHIND_PLAN_PP:
        short = _missing(departure, State.SHORT, Cause.BEHIND_PLAN, soc, reached_pct=reached_pct)
        return replace(short, ready_at=_ready_at(departure, soc, as_of))
    return Judgement(State.CHARGING, soc)


def _hindered(departure: Departure, soc: SocEvidence | None, *, as_of: datetime) -> Judgement | None:
    """Judge a departure of a vehicle that cannot charge where it is, whatever was planned; None where it can."""
    if departure.is_plugged:
        if departure.faulty_since is None:
            return None
        return _missing(departure, State.SHORT, Cause.CHARGER_FAULT, soc)
    if departure.is_at_depot and departure.is_plug_known:
        return _missing(departure, State.NOT_PLUGGED, Cause.NOT_PLUGGED_IN, soc)
    return Judgement(State.NOT_PLUGGED, soc, Cause.NOT_SEEN_BACK) if _is_overdue(departure, as_of) else None


def _is_overdue(departure: Departure, as_of: datetime) -> bool:
    return departure.due_back_at is not None and as_of - departure.due_back_at > LATE_BACK


def _why_unknown(departure: Departure) -> Cause:
    return Cause.NO_REPORT if departure.reading_at is None else Cause.OLD_REPORT


def _missing(
    departure: Departure, state: State, cause: Cause, soc: SocEvidence | None, *, reached_pct: float | None = None
) -> Judgement:
    """Put a number on what is missing."""
    reached = reached_pct if reached_pct is not None else soc.soc_pct if soc is not None else None
    if reached is None or departure.required_soc_pct is None:
        return Judgement(state, soc, cause)
    missing_pp = departure.required_soc_pct - reached
    if not departure.battery_kwh:
        return Judgement(state, soc, cause, missing_pp)
    missing_kwh = missing_pp / 100 * departure.battery_kwh / (departure.efficiency or DEFAULT_EFFICIENCY)
    return Judgement(state, soc, cause, missing_pp, missing_kwh)


def _ready_at(departure: Departure, soc: SocEvidence | None, as_of: datetime) -> datetime | None:
    if soc is None or not departure.max_kw or not departure.is_plugged or departure.required_soc_pct is None:
        return None
    full_pp_per_hour = _energy_pp(departure, departure.max_kw)
    if not full_pp_per_hour:
        return None
    return as_of + timedelta(hours=max(0.0, departure.required_soc_pct - soc.soc_pct) / full_pp_per_hour)
