"""The steps that the conductor asks for, and how they can end. Plain data."""

from dataclasses import dataclass
from enum import StrEnum

from ocpp_bridge import profiles
from ocpp_bridge.holdings import ConnectorKey, Held
from ocpp_bridge.profiles import Slot


class Outcome(StrEnum):
    """How a step ended."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    ABSENT = "absent"  # of a clear: the station says that it holds no such profile
    UNANSWERED = "unanswered"


@dataclass(frozen=True, slots=True)
class Install:
    """Send this profile. For the station's maximum the connector is 0."""

    key: ConnectorKey
    held: Held


@dataclass(frozen=True, slots=True)
class Remove:
    """Clear our profile from a slot; ``sequence`` orders it among what was sent.

    ``by_maximum``: it was set as a station maximum, for want of another way.
    """

    key: ConnectorKey
    slot: Slot
    sequence: int = 0
    by_maximum: bool = False

    @property
    def profile_id(self) -> int:
        """The profile to clear."""
        return profiles.profile_id(0 if self.by_maximum else self.key[1], self.slot)


Step = Install | Remove
