"""Counters and gauges of the bridge, and how Prometheus reads them. No identifiers of people."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

Sample = tuple[str, Mapping[str, str], float]

FAMILIES: Final[Mapping[str, tuple[str, str]]] = {
    "depotwise_bridge_frames_total": ("counter", "OCPP frames of stations, by direction."),
    "depotwise_bridge_events_total": ("counter", "What happened, by kind."),
    "depotwise_bridge_deliveries": ("gauge", "Entries of stored publications, by state."),
    "depotwise_bridge_frames_lost_total": ("counter", "Frames that could not be logged."),
    "depotwise_bridge_audit_lost_total": ("counter", "Audit lines that could not be written."),
    "depotwise_bridge_problems": ("gauge", "Reasons that GET /health gives."),
    "depotwise_bridge_stations": ("gauge", "Configured stations."),
    "depotwise_bridge_stations_connected": ("gauge", "Connected stations."),
    "depotwise_bridge_limit_kw": ("gauge", "Limit in force of the site (empty) or a group."),
    "depotwise_bridge_may_hold_kw": ("gauge", "What connectors may draw together, of the site (empty) or a group."),
    "depotwise_bridge_plan_valid_until_seconds": ("gauge", "When the plan in force runs out, in epoch seconds."),
    "depotwise_bridge_clock_seconds": ("gauge", "The bridge's clock, in epoch seconds."),
    "depotwise_bridge_station_connected": ("gauge", "Whether a station is connected, and in which version."),
    "depotwise_bridge_station_last_seen_seconds": ("gauge", "When a station was last heard, in epoch seconds."),
    "depotwise_bridge_power_kw": ("gauge", "Metered power of a connector."),
    "depotwise_bridge_connector_limit_kw": ("gauge", "Limit that a connector acknowledged."),
    "depotwise_bridge_connector_may_hold_kw": ("gauge", "What a connector may draw, acknowledged or not."),
    "depotwise_bridge_connector_evidence_rung": ("gauge", "0 none, 1 accepted, 2 composite, 3 offered, 4 metered."),
    "depotwise_bridge_connector_contradicted": ("gauge", "Whether evidence contradicts what was accepted."),
    "depotwise_bridge_upstream_connected": ("gauge", "Whether a proxied station's back end is reached."),
    "depotwise_bridge_upstream_waiting": ("gauge", "Messages that wait for a back end."),
    "depotwise_bridge_upstream_set_aside": ("gauge", "Messages that a back end refused for good."),
}


class Meters:
    """What is counted while the bridge runs."""

    def __init__(self) -> None:
        self.frames: Counter[str] = Counter()
        self.events: Counter[str] = Counter()

    def heard(self, direction: str, *, malformed: bool) -> None:
        """Count a frame."""
        self.frames["malformed" if malformed else direction] += 1

    def count(self, what: str) -> None:
        """Count something that happened."""
        self.events[what] += 1


def render(samples: Iterable[Sample]) -> str:
    """Write samples in Prometheus' text format, each family together under its type and meaning."""
    families: dict[str, list[str]] = {}
    for name, labels, value in samples:
        families.setdefault(name, []).append(f"{name}{_labels(labels)} {value:.15g}")
    lines: list[str] = []
    for name, rows in families.items():
        kind, meaning = FAMILIES[name]
        lines += [f"# HELP {name} {meaning}", f"# TYPE {name} {kind}", *rows]
    return "\n".join(lines) + "\n"


def _labels(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    pairs = (f'{name}="{_escape(value)}"' for name, value in labels.items())
    return "{" + ",".join(pairs) + "}"


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
