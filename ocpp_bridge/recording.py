"""Where a connection writes down what passes: the clock it stamps with, the frame log, the events, the meters."""

from dataclasses import dataclass

from core.clock import Clock
from ocpp_bridge.events import EventLog
from ocpp_bridge.frame_log import FrameLog
from ocpp_bridge.metrics import Meters


@dataclass(frozen=True, slots=True)
class Recording:
    """Everything that records, together."""

    clock: Clock
    frames: FrameLog
    events: EventLog
    meters: Meters
