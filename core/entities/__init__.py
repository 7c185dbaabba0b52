"""Every canonical entity of the landing zone, by name.

Units are in the names; ``_at`` is a UTC instant, ``_date`` a local date. The provider's own words stop at ingestion:
nothing here is named after a manufacturer or a protocol version.
"""

from collections.abc import Mapping
from typing import Final

from core.entities import charging, fleet, outcomes, signals, telematics
from core.schema import Entity

ENTITIES: Final[Mapping[str, Entity]] = {
    entity.name: entity for module in (fleet, telematics, charging, signals, outcomes) for entity in module.ENTITIES
}

__all__ = ["ENTITIES"]
