"""What each reason of the imports means, with an example in made-up values, for the people who read a balance."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

MEANINGS: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "unassigned_block": (
            "one line stands for all idle buses of a half-day, under the number of one of them",
            "route `U`, no trip id, 9000 reports between 03:00 and 18:59",
        ),
        "same_start_as_longer_trip": (
            "a bus starts one trip at a time; of two, the one with more reports counts",
            "bus 12 starts a trip with 1 report and one with 60 reports at 19:00",
        ),
        "distance_faster_than_a_bus": (
            "the position jumped from the end of the pattern to its start; distance is NULL, the trip lands",
            "25 km in 1 minute",
        ),
        "soc_zero_is_unknown": (
            "the back end writes 0 where it does not know; SoC is NULL, the session lands",
            "SoC 0 at start and 0 at the end, 20 kWh delivered",
        ),
        "idle_longer_than_session": ("idle time is NULL, the session lands", "idle for 9 h in a session of 3 h"),
        "requested_kwh_of_unclaimed_session": (
            "nobody claimed the session; the publisher filled in the delivered energy; NULL",
            "claimed `False`, requested 7.3 kWh, delivered 7.3 kWh",
        ),
        "stated_departure_at_of_unclaimed_session": (
            "nobody claimed the session; the publisher filled in the actual departure; NULL",
            "claimed `False`, stated 17:02:11, left 17:02:11",
        ),
        "idle_below_zero": ("idle time is NULL, the session lands", "charged for 130 minutes, parked for 70"),
        "odometer_going_back": (
            "a stale cache answered; the odometer is NULL, the state lands",
            "20 000 km after 21 000 km",
        ),
        "range_below_zero": ("the car does not know its range; NULL", "range -1"),
        "soc_zero_at_start_up": ("the car has just woken up; SoC is NULL", "SoC 0, then 56 % five seconds later"),
        "ambient_not_ready": ("the sensor has just woken up; temperature is NULL", "203 °F outside"),
        "negative_energy": ("energy is NULL, the session lands", "-3.5 kWh"),
        "energy_beyond_any_charger": ("energy is NULL, the session lands", "900 kWh in 2 h"),
        "no_start_at": ("the line has no time, which is part of the key", "an empty date with a price of 0"),
        "days_contradict_name": (
            "two schedules of a season claim all days; their names say which days are meant",
            "`Summer-Weekday` and `Summer-Weekend`, both masked `ALL`",
        ),
        "clock_ahead": (
            "the station's clock is ahead of the log's; the log's instant counts",
            "`14:00Z` in a frame received at `12:00Z`",
        ),
        "clock_never_set": ("the station's clock was never set; the log's instant counts", "`1970-01-01T00:10:00Z`"),
        "start_without_answer": (
            "the log ends before the back end numbered the transaction, so it has no key",
            "a StartTransaction without its answer",
        ),
    }
)
