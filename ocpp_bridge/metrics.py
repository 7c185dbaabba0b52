"""Counters and gauges of the bridge, and how Prometheus reads them. No identifiers of people."""

from collections import Counter
from collections.abc import Iterable, Mapping

Sample = tuple[str, Mapping[str, str], float]


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
    """Write samples in Prometheus' text format."""
    lines = [f"{name}{_labels(labels)} {value:.10g}" for name, labels, value in samples]
    return "\n".join(lines) + "\n"


def _labels(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    pairs = (f'{name}="{_escape(value)}"' for name, value in labels.items())
    return "{" + ",".join(pairs) + "}"


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
