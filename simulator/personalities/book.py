"""The charging profiles of one station: read, held, stacked, expired, and what they allow at an instant. Pure.

Times are epoch seconds of the station's own clock. Within a purpose the highest stack level that says something now
wins; a transaction's profile takes the place of the default one; the station's maximum caps the result.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from core.time_grid import parse_instant
from simulator.personalities.traits import DEFAULT, MAXIMUM, TRANSACTION, Personality

Json = dict[str, Any]
VOLTAGE_V: Final = 230.0
HARDWARE_A: Final = 32.0
PHASES: Final = 3
DAY_S: Final = 86_400.0
PURPOSES: Final = {
    "ChargePointMaxProfile": MAXIMUM,
    "ChargingStationMaxProfile": MAXIMUM,
    "TxDefaultProfile": DEFAULT,
    "TxProfile": TRANSACTION,
}


class ProfileRefusedError(ValueError):
    """The station answers Rejected."""


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit in force: amperes per phase, and over how many phases."""

    current_a: float
    phases: int

    @property
    def power_kw(self) -> float:
        """The power that it allows."""
        return self.current_a * VOLTAGE_V * self.phases / 1000


@dataclass(frozen=True, slots=True)
class Profile:
    """An installed profile; ``periods`` are (offset in s, limit in its unit, phases)."""

    profile_id: int
    connector_id: int
    level: int
    purpose: str
    transaction_id: str | None
    unit: str
    start_s: float
    is_daily: bool
    valid_from_s: float
    valid_to_s: float
    duration_s: float
    periods: tuple[tuple[float, float, int], ...]
    received_s: float

    def limit_at(self, at_s: float) -> Limit | None:
        """Return its limit at an instant, or None where it says nothing."""
        if not self.valid_from_s <= at_s < self.valid_to_s:
            return None
        into_s = at_s - self.start_s
        if self.is_daily:
            into_s %= DAY_S
        if not 0 <= into_s < self.duration_s:
            return None
        _, value, phases = next(period for period in reversed(self.periods) if period[0] <= into_s)
        return Limit(value if self.unit == "A" else value / (VOLTAGE_V * phases), phases)

    def edges(self) -> Iterator[float]:
        """Yield the instants at which it may change (of a daily one, those of the day that it came and the next)."""
        for day in (0.0, DAY_S) if self.is_daily else (0.0,):
            yield from (self.start_s + day + start for start, _, _ in self.periods)
        yield from (self.start_s + self.duration_s, self.valid_from_s, self.valid_to_s)


def read_profile(connector_id: int, raw: Json, *, received_s: float) -> Profile:
    """Read a profile in the words of any OCPP version.

    Raises:
        ProfileRefusedError: it is not complete.
    """
    try:
        schedule = raw["chargingSchedule"]
        schedule = schedule[0] if isinstance(schedule, list) else schedule
        transaction_id = raw.get("transactionId")
        duration = schedule.get("duration")
        return Profile(
            profile_id=int(raw["chargingProfileId"] if "chargingProfileId" in raw else raw["id"]),
            connector_id=connector_id,
            level=int(raw["stackLevel"]),
            purpose=PURPOSES[raw["chargingProfilePurpose"]],
            transaction_id=None if transaction_id is None else str(transaction_id),
            unit=schedule["chargingRateUnit"],
            start_s=_seconds(schedule.get("startSchedule"), received_s),
            is_daily=raw.get("recurrencyKind") == "Daily",
            valid_from_s=_seconds(raw.get("validFrom"), float("-inf")),
            valid_to_s=_seconds(raw.get("validTo"), float("inf")),
            duration_s=float("inf") if duration is None else float(duration),
            periods=tuple(
                (float(one["startPeriod"]), float(one["limit"]), int(one.get("numberPhases") or PHASES))
                for one in schedule["chargingSchedulePeriod"]
            ),
            received_s=received_s,
        )
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise ProfileRefusedError(f"the profile is not complete: {error!r}") from error


def _seconds(text: str | None, otherwise: float) -> float:
    return otherwise if text is None else parse_instant(text).timestamp()


class Book:
    """What one station holds.

    Invariants: one profile per id, and one per connector, purpose and level.
    """

    def __init__(self, personality: Personality) -> None:
        self._is = personality
        self.profiles: list[Profile] = []

    def install(self, profile: Profile, running: str | None) -> None:
        """Take a profile in.

        Raises:
            ProfileRefusedError: this personality does not take it.
        """
        self._check(profile, running)
        place = (profile.connector_id, profile.purpose, profile.level)
        self.profiles = [
            one
            for one in self.profiles
            if one.profile_id != profile.profile_id and (one.connector_id, one.purpose, one.level) != place
        ]
        if not self._is.needs_past_start or profile.start_s <= profile.received_s:
            self.profiles.append(profile)

    def _check(self, profile: Profile, running: str | None) -> None:
        personality = self._is
        if personality.refuses_profiles or profile.purpose not in personality.purposes:
            raise ProfileRefusedError("profiles of this purpose are not taken")
        if profile.level > personality.max_level or profile.level < 0:
            raise ProfileRefusedError("no such level")
        if profile.unit not in personality.units:
            raise ProfileRefusedError("no such rate unit")
        starts = [start for start, _, _ in profile.periods]
        if not starts or starts[0] != 0 or starts != sorted(set(starts)) or len(starts) > personality.max_periods:
            raise ProfileRefusedError("the periods do not ascend from 0, or are too many")
        if (profile.purpose == MAXIMUM) != (profile.connector_id == 0) and profile.purpose != DEFAULT:
            raise ProfileRefusedError("this purpose is not for this connector")
        is_checked = profile.purpose == TRANSACTION and personality.transaction_check == "strict"
        if is_checked and (running is None or profile.transaction_id != running):
            raise ProfileRefusedError("that transaction is not running")

    def clear(self, profile_id: int) -> bool:
        """Drop a profile; return whether the answer is Accepted (else Unknown)."""
        kept = [
            one
            for one in self.profiles
            if one.profile_id != profile_id or (self._is.clearing == "level 0 stays" and one.level == 0)
        ]
        found = len(kept) < len(self.profiles)
        self.profiles = kept
        return found or self._is.clearing == "always accepted"

    def clear_purpose(self, purpose: str) -> bool:
        """Drop all profiles of a purpose; return whether there were any."""
        kept = [one for one in self.profiles if one.purpose != purpose]
        found = len(kept) < len(self.profiles)
        self.profiles = kept
        return found

    def end_transaction(self, connector_id: int) -> None:
        """Forget the profiles of a connector's transaction."""
        self.profiles = [one for one in self.profiles if one.purpose != TRANSACTION or one.connector_id != connector_id]

    def limit(self, connector_id: int, at_s: float, running: str | None, *, with_maximum: bool = True) -> Limit:
        """Return what a connector may draw at an instant; the hardware is the last bound."""
        own = self._best(connector_id, TRANSACTION, at_s) if running is not None else None
        own = own or self._best(connector_id, DEFAULT, at_s)
        bounds = [own, self._best(0, MAXIMUM, at_s) if with_maximum else None]
        lowest_a = min([HARDWARE_A, *(one.current_a for one in bounds if one is not None)])
        phases = PHASES if own is None or self._is.ignores_phases else min(PHASES, own.phases)
        return Limit(lowest_a, phases)

    def edges(self, connector_id: int) -> set[float]:
        """Return every instant at which a connector's limit may change."""
        return {edge for one in self.profiles if one.connector_id in (0, connector_id) for edge in one.edges()}

    def _best(self, connector_id: int, purpose: str, at_s: float) -> Limit | None:
        best: tuple[tuple[int, int], Limit] | None = None
        for one in self.profiles:
            if one.purpose != purpose or one.connector_id not in (0, connector_id):
                continue
            rank = (one.level, one.connector_id)
            if best is not None and rank <= best[0]:
                continue
            limit = one.limit_at(at_s)
            if limit is not None:
                best = rank, limit
        return None if best is None else best[1]
