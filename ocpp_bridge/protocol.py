"""What differs between OCPP versions when we speak first: one small class per family, the same methods.

Payloads only; sending them is ``station``, meaning is ``conductor`` and ``evidence``.
"""

from dataclasses import dataclass
from typing import Protocol

from ocpp_bridge.profiles import Capabilities, ChargingProfile, Slot, Unit
from ocpp_bridge.wire import Answer, Payload

Request = tuple[str, Payload]


@dataclass(frozen=True, slots=True)
class Composite:
    """A composite schedule as a station reported it: limits per second offset, in a unit."""

    unit: Unit
    periods: tuple[tuple[float, float], ...]


class OcppProtocol(Protocol):
    """How one OCPP version says what the bridge has to say."""

    version: str

    def probe(self) -> list[Request]:
        """Return the requests that tell a station's capabilities."""

    def capabilities(self, answers: list[Answer | None], known: Capabilities) -> Capabilities:
        """Read the answers (None: no answer came) on top of what is known already."""

    def install(self, profile: ChargingProfile) -> Request:
        """Return the request that installs a profile."""

    def remove(self, profile_id: int, *, connector_id: int, slot: Slot) -> Request:
        """Return the request that clears one of our profiles."""

    def read_back(self, connector_id: int, duration_s: int, unit: Unit) -> Request:
        """Return the request for the composite schedule."""

    def composite(self, answer: Answer) -> Composite | None:
        """Read a composite schedule; None if the answer holds none."""


def purpose_of(profile: ChargingProfile, *, station_maximum: str) -> str:
    """Return the OCPP purpose of a profile: whatever goes to the whole station is its maximum."""
    if profile.connector_id == 0:
        return station_maximum
    return "TxProfile" if profile.slot is Slot.TRANSACTION else "TxDefaultProfile"


def read_periods(raw: object) -> tuple[tuple[float, float], ...]:
    """Read composite periods as stations really send them: fractions, texts, missing fields."""
    if not isinstance(raw, list):
        return ()
    periods: list[tuple[float, float]] = []
    for period in raw:
        if isinstance(period, dict):
            start, limit = number(period.get("startPeriod")), number(period.get("limit"))
            if start is not None and limit is not None:
                periods.append((start, limit))
    return tuple(sorted(periods))


def number(value: object) -> float | None:
    """Return a finite number, also from text; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        result = float(value)
    except (ValueError, OverflowError):
        return None
    return result if abs(result) < 1e15 else None


def whole(value: object) -> int | None:
    """Return a whole number, also from text."""
    result = number(value)
    return None if result is None else int(result)
