"""Which sets can be imported: one line each."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from ingestion.columns import UnreadableError
from ingestion.imports import (
    acn,
    acn_noid,
    acn_sustaingym,
    asensio,
    bmw_i3,
    canonical,
    carbon,
    carta,
    day_ahead,
    dundee,
    epfl,
    hyundai_kia,
    kia_monitor,
    leaf,
    moer,
    ocpp_frames,
    sap,
    tariff,
    teslafi,
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
    leaf,
    bmw_i3,
    teslafi,
    hyundai_kia,
    epfl,
    asensio,
    dundee,
    day_ahead,
    tariff,
    moer,
    carbon,
    ocpp_frames,
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
