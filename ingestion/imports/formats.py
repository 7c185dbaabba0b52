"""Which sets can be imported: one line each."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from ingestion.columns import UnreadableError
from ingestion.imports import (
    acn,
    acn_noid,
    acn_sustaingym,
    canonical,
    carbon,
    carta,
    day_ahead,
    kia_monitor,
    moer,
    ocpp_frames,
    sap,
    tariff,
)
from ingestion.imports.history import Format

SETS: Final = (
    canonical,
    carta,
    sap,
    acn,
    acn_sustaingym,
    acn_noid,
    kia_monitor,
    ocpp_frames,
    day_ahead,
    tariff,
    moer,
    carbon,
)
FORMATS: Final[Mapping[str, Format]] = MappingProxyType({one.FORMAT.name: one.FORMAT for one in SETS})


def format_named(name: str) -> Format:
    """Return the set of that name.

    Raises:
        UnreadableError: there is none.
    """
    if name not in FORMATS:
        raise UnreadableError(f"there is no import format {name!r}; there are {', '.join(FORMATS)}")
    return FORMATS[name]
