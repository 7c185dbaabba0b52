"""How much work searches may do: in nodes and tries, never in seconds, so that plans are the same everywhere."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Effort:
    """Bounds of the searches that follow the relaxation.

    ``nodes`` of the search over patterns of minimum power; none: it is left out. ``connector_gap``: how much dearer
    than the bound connectors may be, as a share of what the vehicles cost, before others are searched. ``shakes``: how
    many orders in which vehicles come are tried.
    """

    nodes: int
    connector_gap: float
    shakes: int


THOROUGH = Effort(nodes=40, connector_gap=0.02, shakes=40)
"""For a plan that people and chargers follow; drafts search nothing."""
