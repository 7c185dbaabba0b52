"""How much margin a plan holds against what is not known: of each vehicle, and of the fleet.

Of the fleet, because a limit is shared: ``pooled_share`` says which share of all vehicles' margins covers their sum, as
errors of many vehicles do not all go the wrong way at once. The platform plans this way.

Of a vehicle that must be sure of itself alone, ``hold`` takes arrival and state of charge together.
A vehicle is ready with the confidence asked for when it comes no later than planned for and with no less than planned
for. The two risks may add up to one less the confidence (Boole's inequality), whatever their dependence. Among the ways
to split the risk, that is taken which asks for the least mean power over the stay: margin is bought where it is cheap.
A long stay is planned from a very late arrival, a short one from a very low SoC.

Beyond the outermost quantile that is known, the tail is taken to be exponential through the last two.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist

import numpy as np

CONFIDENCE = 0.99
COMMON_SHARE = 0.05
"""Share of the errors' variance that hits all vehicles at once: weather, traffic, a model that is off."""

SPLITS = 19
SHORTEST_STAY_H = 0.25
EPSILON = 1e-9


def pooled_share(
    margins: Sequence[float], *, level: float, confidence: float = CONFIDENCE, common: float = COMMON_SHARE
) -> float:
    """Return the share of every vehicle's own margin that covers the fleet at the stated confidence, in 0 to 1.

    Margins are taken as quantiles of errors that are normal, with equal correlation ``common`` between any two
    vehicles: the sum's quantile over the sum of the quantiles. A single vehicle keeps all of its margin, and no vehicle
    gets more than it: its own real arrival is known long before the sum matters to it alone.

    Args:
        margins: How far each vehicle's careful side lies from its median, in one unit (kWh); none is negative.
        level: Probability that a vehicle's error stays within its margin.
        confidence: Probability that the fleet's error stays within the sum of what is returned.
        common: Correlation of the errors of any two vehicles.
    """
    size = np.asarray(margins, dtype=np.float64)
    total = float(size.sum())
    if total <= 0:
        return 1.0
    normal = NormalDist()
    widened = normal.inv_cdf(confidence) / normal.inv_cdf(level)
    spread = sqrt((1 - common) * float((size**2).sum()) + common * total**2)
    return min(1.0, widened * spread / total)


@dataclass(frozen=True, slots=True)
class Quantiles:
    """Ascending levels between 0 and 1, at least two, and the values at them, which never fall."""

    levels: tuple[float, ...]
    values: tuple[float, ...]

    def __post_init__(self) -> None:
        """Check the shape.

        Raises:
            ValueError: levels are no ascending shares, or values fall.
        """
        levels = np.array([0.0, *self.levels, 1.0])
        if len(self.levels) < 2 or len(self.levels) != len(self.values) or (np.diff(levels) <= 0).any():
            raise ValueError(f"levels must be two or more, ascending, between 0 and 1: {self.levels}")
        if not np.isfinite(self.values).all() or (np.diff(self.values) < 0).any():
            raise ValueError(f"values must be finite and never fall: {self.values}")

    @classmethod
    def of(cls, values: Mapping[float, float]) -> "Quantiles":
        """Return quantiles from a mapping of level to value; values that cross are put in order."""
        levels = sorted(values)
        return cls(tuple(levels), tuple(sorted(values[level] for level in levels)))

    def at(self, level: float) -> float:
        """Return the value at a level, within the known levels or beyond them."""
        if level > self.levels[-1]:
            return self.values[-1] + _tail(1 - level, 1 - self.levels[-1], 1 - self.levels[-2]) * (
                self.values[-1] - self.values[-2]
            )
        if level < self.levels[0]:
            return self.values[0] - _tail(level, self.levels[0], self.levels[1]) * (self.values[1] - self.values[0])
        return float(np.interp(level, self.levels, self.values))


def _tail(risk: float, last: float, before: float) -> float:
    """Return how many steps between the last two quantiles an exponential tail goes beyond the last."""
    return float(np.log(last / max(risk, EPSILON)) / np.log(before / last))


@dataclass(frozen=True, slots=True)
class Outlook:
    """What is forecast of a vehicle that is out: hours until it can be plugged in, and its SoC in percent then."""

    arrival_h: Quantiles
    soc_pct: Quantiles


@dataclass(frozen=True, slots=True)
class Buffer:
    """What is planned for, and how much of it is margin over the median; ``confidence`` that it holds."""

    arrival_h: float
    soc_pct: float
    arrival_margin_h: float
    soc_margin_pp: float
    arrival_risk: float
    soc_risk: float

    @property
    def confidence(self) -> float:
        """At least so often the vehicle comes no later and no emptier."""
        return 1 - self.arrival_risk - self.soc_risk


def hold(
    outlook: Outlook, *, departure_h: float, target_pct: float, battery_kwh: float, confidence: float = CONFIDENCE
) -> Buffer:
    """Return the arrival and the SoC that are planned for.

    Args:
        outlook: The forecast.
        departure_h: Hours until the vehicle leaves.
        target_pct: The SoC that it must leave with.
        battery_kwh: Usable energy of its battery.
        confidence: How often the plan must hold, between 0 and 1.

    Raises:
        ValueError: the confidence is no share.
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is {confidence}; give a share between 0 and 1")
    buffers = [_buffer(outlook, share * (1 - confidence), (1 - share) * (1 - confidence)) for share in _shares()]

    def mean_kw(buffer: Buffer) -> float:
        missing_kwh = max(target_pct - buffer.soc_pct, 0.0) / 100 * battery_kwh
        return missing_kwh / max(departure_h - buffer.arrival_h, SHORTEST_STAY_H)

    return min(buffers, key=mean_kw)


def _shares() -> list[float]:
    return [(place + 1) / (SPLITS + 1) for place in range(SPLITS)]


def _buffer(outlook: Outlook, arrival_risk: float, soc_risk: float) -> Buffer:
    arrival_h = outlook.arrival_h.at(1 - arrival_risk)
    soc_pct = min(max(outlook.soc_pct.at(soc_risk), 0.0), 100.0)
    return Buffer(
        arrival_h=arrival_h,
        soc_pct=soc_pct,
        arrival_margin_h=arrival_h - outlook.arrival_h.at(0.5),
        soc_margin_pp=outlook.soc_pct.at(0.5) - soc_pct,
        arrival_risk=arrival_risk,
        soc_risk=soc_risk,
    )
