"""Which sets can be imported: one line each."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from ingestion.columns import UnreadableError
from ingestion.imports import acn, acn_noid, acn_sustaingym, carta, sap
from ingestion.imports.history import Format

FORMATS: Final[Mapping[str, Format]] = MappingProxyType(
    {module.FORMAT.name: module.FORMAT for module in (carta, sap, acn, acn_sustaingym, acn_noid)}
)


def format_named(name: str) -> Format:
    """Return the set of that name.

    Raises:
        UnreadableError: there is none.
    """
    if name not in FORMATS:
        raise UnreadableError(f"there is no import format {name!r}; there are {', '.join(FORMATS)}")
    return FORMATS[name]
