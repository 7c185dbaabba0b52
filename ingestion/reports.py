"""What became of the records of a source: the balance that must add up, and the failure if there was one."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class SourceFailure:
    """A source that failed: whom to call, and what to say to them."""

    source_id: str
    owner: str
    contact: str
    message: str

    def __str__(self) -> str:
        return f"{self.message} (owner: {self.owner}, {self.contact})"


@dataclass(frozen=True, slots=True)
class IngestReport:
    """The balance of one source, over source records: an array element, a frame, a CSV line.

    A record counts once: ``landed`` if any row of it is new, ``duplicates`` if it has rows and none is new,
    ``quarantined`` if nothing of it can be trusted. A record that is understood and gives no row (a heartbeat, a
    diagnostic that nobody uses) is kept in the payload archive alone: it counts as landed when its page is new there,
    else as a duplicate; ``without_rows`` says how many those are.

    Attributes:
        source_id: Source.
        read: Records read: landed + duplicates + quarantined.
        landed: See above.
        duplicates: See above.
        quarantined: See above.
        without_rows: Of landed and duplicates, records that give no row.
        entities: New rows by entity.
        reasons: Records by reason, both quarantined ones and those that landed without a bad field.
        failure: Why the source was not read to its end, if it was not.
    """

    source_id: str
    read: int = 0
    landed: int = 0
    duplicates: int = 0
    quarantined: int = 0
    without_rows: int = 0
    entities: Mapping[str, int] = field(default_factory=dict)
    reasons: Mapping[str, int] = field(default_factory=dict)
    failure: SourceFailure | None = None

    def __add__(self, other: "IngestReport") -> "IngestReport":
        return IngestReport(
            self.source_id,
            self.read + other.read,
            self.landed + other.landed,
            self.duplicates + other.duplicates,
            self.quarantined + other.quarantined,
            self.without_rows + other.without_rows,
            _sum(self.entities, other.entities),
            _sum(self.reasons, other.reasons),
            self.failure or other.failure,
        )


def _sum(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    return {name: one.get(name, 0) + other.get(name, 0) for name in sorted({*one, *other})}
