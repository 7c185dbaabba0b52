"""Charging profiles as a station holds them: installing, clearing, stacking, expiry, composite schedules. Pure.

Within a purpose the highest stack level that is valid now wins; over purposes the lowest limit counts, where a
transaction profile takes the place of the default one. What the limits mean for a vehicle is in ``limits``.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from core.time_grid import parse_instant

Json = dict[str, Any]
MAX_PROFILE, DEFAULT_PROFILE, TX_PROFILE = "ChargePointMaxProfile", "TxDefaultProfile", "TxProfile"
KINDS = ("Absolute", "Recurring", "Relative")
RECURRENCES = {"Daily": timedelta(days=1), "Weekly": timedelta(days=7)}
MAX_PERIODS, MAX_STACK_LEVEL, MAX_INSTALLED = 24, 9, 20


class ProfileError(ValueError):
    """A profile that this station cannot hold; it answers Rejected."""


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit as it stands in a schedule: amperes per phase, or watts in all, and over how many phases."""

    unit: str
    value: float
    phases: int = 3


@dataclass(frozen=True, slots=True)
class Transaction:
    """What a profile must know of a running transaction; the id is None until the back end has given one."""

    transaction_id: int | None
    started_at: datetime


@dataclass(frozen=True, slots=True)
class Profile:
    """An installed profile. ``periods`` are (seconds from the schedule's start, limit), ascending from 0."""

    profile_id: int
    connector_id: int
    transaction_id: int | None
    stack_level: int
    purpose: str
    kind: str
    recurrence: timedelta | None
    valid_from: datetime | None
    valid_to: datetime | None
    start_at: datetime | None
    duration: timedelta | None
    periods: tuple[tuple[int, Limit], ...]
    received_at: datetime

    def limit_at(self, at: datetime, transaction: Transaction | None) -> Limit | None:
        """Return the limit at an instant; None where the profile says nothing then."""
        if (self.valid_from and at < self.valid_from) or (self.valid_to and at >= self.valid_to):
            return None
        begin_at = self._begin(at, transaction)
        if at < begin_at or (self.duration is not None and at >= begin_at + self.duration):
            return None
        elapsed_s = (at - begin_at).total_seconds()
        return [limit for start_s, limit in self.periods if start_s <= elapsed_s][-1]

    def changes(self, begin_at: datetime, end_at: datetime, transaction: Transaction | None) -> Iterator[datetime]:
        """Yield the instants within a span at which the limit may change."""
        marks = [mark for mark in (self.valid_from, self.valid_to) if mark]
        start_at = self._begin(begin_at, transaction)
        while start_at < end_at:
            marks += [start_at + timedelta(seconds=start_s) for start_s, _ in self.periods]
            marks += [start_at + self.duration] if self.duration is not None else []
            if self.recurrence is None:
                break
            start_at += self.recurrence
        yield from (mark for mark in marks if begin_at < mark < end_at)

    def _begin(self, at: datetime, transaction: Transaction | None) -> datetime:
        """Return when the schedule that counts at an instant started."""
        if self.kind == "Relative" or self.start_at is None:
            return transaction.started_at if transaction else self.received_at
        if self.recurrence is None or at < self.start_at:
            return self.start_at
        return self.start_at + self.recurrence * ((at - self.start_at) // self.recurrence)


def read_profile(connector_id: int, raw: Json, *, units: Sequence[str], received_at: datetime) -> Profile:
    """Read ``csChargingProfiles``.

    Args:
        connector_id: Connector that it is for; 0 is the station.
        raw: The profile as it came.
        units: Rate units (A, W) that this station understands.
        received_at: When it came.

    Raises:
        ProfileError: this station cannot hold it.
    """
    try:
        schedule = raw["chargingSchedule"]
        unit = schedule["chargingRateUnit"]
        periods = tuple(
            (int(period["startPeriod"]), Limit(unit, float(period["limit"]), int(period.get("numberPhases") or 3)))
            for period in schedule["chargingSchedulePeriod"]
        )
        duration_s = schedule.get("duration")
        profile = Profile(
            profile_id=int(raw["chargingProfileId"]),
            connector_id=connector_id,
            transaction_id=raw.get("transactionId"),
            stack_level=int(raw["stackLevel"]),
            purpose=raw["chargingProfilePurpose"],
            kind=raw["chargingProfileKind"],
            recurrence=RECURRENCES.get(raw.get("recurrencyKind", "")),
            valid_from=_instant(raw.get("validFrom")),
            valid_to=_instant(raw.get("validTo")),
            start_at=_instant(schedule.get("startSchedule")),
            duration=None if duration_s is None else timedelta(seconds=int(duration_s)),
            periods=periods,
            received_at=received_at,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ProfileError(f"the profile is not complete: {error!r}") from error
    _check(profile, unit, units)
    return profile


def _instant(text: str | None) -> datetime | None:
    return parse_instant(text) if text else None


def _check(profile: Profile, unit: str, units: Sequence[str]) -> None:
    starts = [start_s for start_s, _ in profile.periods]
    if unit not in units:
        raise ProfileError(f"rate unit {unit} is not supported")
    if not starts or starts[0] != 0 or starts != sorted(set(starts)):
        raise ProfileError("periods must start at 0 and ascend")
    if len(starts) > MAX_PERIODS:
        raise ProfileError(f"more than {MAX_PERIODS} periods")
    if not 0 <= profile.stack_level <= MAX_STACK_LEVEL:
        raise ProfileError(f"stack level above {MAX_STACK_LEVEL}")
    if profile.kind not in KINDS or (profile.kind == "Absolute" and profile.start_at is None):
        raise ProfileError("an absolute profile needs startSchedule")
    if profile.kind == "Recurring" and (profile.recurrence is None or profile.start_at is None):
        raise ProfileError("a recurring profile needs recurrencyKind and startSchedule")
    if any(limit.value < 0 for _, limit in profile.periods):
        raise ProfileError("a limit below zero")


class ProfileStore:
    """The profiles of one station.

    Invariants: one profile per id; one per connector, purpose and stack level; transaction profiles die with their
    transaction.
    """

    def __init__(self) -> None:
        self._profiles: list[Profile] = []

    @property
    def profiles(self) -> tuple[Profile, ...]:
        """What is installed, in the order of installation."""
        return tuple(self._profiles)

    def install(self, profile: Profile, transaction: Transaction | None) -> None:
        """Install a profile, in the place of one with its id, or with its connector, purpose and stack level.

        Raises:
            ProfileError: it does not fit the connector or the running transaction, or the memory is full.
        """
        if profile.purpose == MAX_PROFILE and profile.connector_id != 0:
            raise ProfileError("a maximum for the station is set on connector 0")
        if profile.purpose == TX_PROFILE:
            _check_transaction(profile, transaction)
        elif profile.purpose not in (MAX_PROFILE, DEFAULT_PROFILE):
            raise ProfileError(f"purpose {profile.purpose} is unknown")
        kept = [one for one in self._profiles if not _replaces(profile, one)]
        if len(kept) >= MAX_INSTALLED:
            raise ProfileError(f"{MAX_INSTALLED} profiles are installed; there is no room")
        self._profiles = [*kept, profile]

    def clear(
        self, profile_id: int | None, connector_id: int | None, purpose: str | None, stack_level: int | None
    ) -> bool:
        """Remove the profiles that fit all the criteria given; say whether there were any."""
        kept = [
            one
            for one in self._profiles
            if (profile_id is not None and one.profile_id != profile_id)
            or (connector_id is not None and one.connector_id != connector_id)
            or (purpose is not None and one.purpose != purpose)
            or (stack_level is not None and one.stack_level != stack_level)
        ]
        removed = len(kept) < len(self._profiles)
        self._profiles = kept
        return removed

    def end_transaction(self, connector_id: int) -> None:
        """Forget the transaction profiles of a connector."""
        self._profiles = [
            one for one in self._profiles if not (one.purpose == TX_PROFILE and one.connector_id == connector_id)
        ]

    def connector_limit(self, connector_id: int, at: datetime, transaction: Transaction | None) -> Limit | None:
        """Return what the transaction or default profiles of a connector say at an instant."""
        if transaction is not None:
            own = self._highest(TX_PROFILE, (connector_id,), at, transaction)
            if own is not None:
                return own
        return self._highest(DEFAULT_PROFILE, (connector_id, 0), at, transaction)

    def station_limit(self, at: datetime) -> Limit | None:
        """Return what all connectors together may draw at an instant."""
        return self._highest(MAX_PROFILE, (0,), at, None)

    def changes(
        self, connector_id: int, begin_at: datetime, end_at: datetime, transaction: Transaction | None
    ) -> list[datetime]:
        """Return the instants within a span at which a connector's or the station's limit may change."""
        found = {
            mark
            for one in self._profiles
            if one.connector_id in (0, connector_id)
            for mark in one.changes(begin_at, end_at, transaction)
        }
        return sorted(found)

    def _highest(
        self, purpose: str, connector_ids: tuple[int, ...], at: datetime, transaction: Transaction | None
    ) -> Limit | None:
        """Return the limit of the highest stack level that says something; a connector's own before the station's."""
        fitting = [one for one in self._profiles if one.purpose == purpose and one.connector_id in connector_ids]
        for one in sorted(fitting, key=lambda one: (one.stack_level, one.connector_id), reverse=True):
            limit = one.limit_at(at, transaction)
            if limit is not None:
                return limit
        return None


def _check_transaction(profile: Profile, transaction: Transaction | None) -> None:
    if profile.connector_id < 1 or transaction is None:
        raise ProfileError("a transaction profile needs a running transaction on its connector")
    if profile.transaction_id is not None and profile.transaction_id != transaction.transaction_id:
        raise ProfileError(f"transaction {profile.transaction_id} is not running there")


def _replaces(new: Profile, old: Profile) -> bool:
    same_place = (new.connector_id, new.purpose, new.stack_level) == (old.connector_id, old.purpose, old.stack_level)
    return new.profile_id == old.profile_id or same_place
