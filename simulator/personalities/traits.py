"""What can be peculiar about a charging station. Only data.

How it is acted out is in ``book``, ``dialect``, ``replies``, ``station`` and ``link``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

MAXIMUM, DEFAULT, TRANSACTION = "maximum", "default", "transaction"
ALL_PURPOSES = frozenset({MAXIMUM, DEFAULT, TRANSACTION})

TransactionCheck = Literal["strict", "none"]
Clearing = Literal["honest", "always accepted", "level 0 stays"]
CompositeStyle = Literal[
    "honest", "not supported", "no schedule", "fractional", "boundaries lost", "no maximum", "hardware", "old name"
]
MeterStyle = Literal[
    "standard", "kWh per phase", "kilo without saying so", "numbers", "empty first", "no unit", "register only"
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Personality:
    """One kind of station.

    Attributes:
        name: Its name in tests and tables.
        about: What is peculiar, in a few words.
        versions: OCPP versions that it speaks.
        offers: Per version, what its handshake offers where that is not just this version.
        hops: It speaks the next of its versions on every connection.
        units_told: What it says its rate units are, in the words of 1.6; None if it has no such key.
        periods_told: Schedule periods that it says it takes.
        level_told: Highest stack level that it says it takes.
        keys_are_quoted: Configuration keys come in capitals, and values between quotes.
        units: Rate units that it really takes.
        max_periods: Schedule periods that it really takes.
        max_level: Highest stack level that it really takes.
        purposes: Profile purposes that it takes.
        transaction_check: Whether a transaction profile must name the running transaction.
        not_implemented_in: Versions in which smart charging is answered with NotImplemented.
        refuses_profiles: It rejects every profile (a site setting forbids them).
        follows: Power obeys profiles; False: accepted and ignored.
        ignores_phases: A limit for one phase is applied to all three.
        sticks_at_zero: The first limit after a pause is ignored.
        needs_past_start: A schedule that has not begun when it arrives is never started.
        clearing: How ClearChargingProfile is answered.
        composite: How GetCompositeSchedule is answered.
        counts_default_when_idle: A composite schedule without a transaction counts the default profile.
        meter: How meter values look.
        triggers: TriggerMessage is supported.
        boots_on_reconnect: It sends BootNotification on every connection, not only after a start.
        keeps_old_socket: When its network changes, the old socket stays half-open.
        dies_on_unknown_id: An answer to a call that it does not remember ends its process.
        answer_delay_s: How long it takes to answer a profile call.
        clock_skew_s: How far its clock is ahead of true time.
        ends_under_minus_one: A transaction is ended under the id -1.
    """

    name: str
    about: str
    versions: tuple[str, ...] = ("1.6",)
    offers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    hops: bool = False
    units_told: str | None = "Current,Power"
    periods_told: int | None = 24
    level_told: int | None = 8
    keys_are_quoted: bool = False
    units: tuple[str, ...] = ("A", "W")
    max_periods: int = 24
    max_level: int = 8
    purposes: frozenset[str] = ALL_PURPOSES
    transaction_check: TransactionCheck = "strict"
    not_implemented_in: tuple[str, ...] = ()
    refuses_profiles: bool = False
    follows: bool = True
    ignores_phases: bool = False
    sticks_at_zero: bool = False
    needs_past_start: bool = False
    clearing: Clearing = "honest"
    composite: CompositeStyle = "honest"
    counts_default_when_idle: bool = True
    meter: MeterStyle = "standard"
    triggers: bool = True
    boots_on_reconnect: bool = False
    keeps_old_socket: bool = False
    dies_on_unknown_id: bool = False
    answer_delay_s: float = 0.0
    clock_skew_s: float = 0.0
    ends_under_minus_one: bool = False

    def subprotocols(self, version: str) -> tuple[str, ...]:
        """Return what its handshake offers when it is to speak a version; empty: it sends no such header."""
        return self.offers.get(version, (f"ocpp{version}",))
