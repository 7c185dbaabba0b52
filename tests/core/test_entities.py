"""Declarations of the canonical entities keep the naming rules."""

import re

import polars as pl
import pytest

from core.entities import ENTITIES
from core.schema import Entity

UNITLESS_NUMBERS = {
    "confidence",
    "efficiency",
    "latitude",
    "longitude",
    "point",
    "price_total",
    "cost_total",
    "taper_end_fraction",
}
UNITS = re.compile(r"(_pct|_kw|_kwp|_kwh|_km|_kmh|_c|_m|_v|_min|_per_kwh|_per_kw|_per_km)$|^q\d+$")


@pytest.mark.parametrize("entity", ENTITIES.values(), ids=list(ENTITIES))
def test_numbers_carry_units_and_instants_end_in_at(entity: Entity) -> None:
    for name, column in entity.all_columns.items():
        assert column.description.endswith("."), f"{entity.name}.{name} needs a sentence"
        if column.dtype == pl.Float64():
            assert UNITS.search(name) or name in UNITLESS_NUMBERS, f"{entity.name}.{name} says no unit"
        if isinstance(column.dtype, pl.Datetime):
            assert name.endswith("_at") or name == "as_of", f"{entity.name}.{name} is an instant"
        if column.dtype == pl.Boolean():
            assert name.startswith(("is_", "has_")), f"{entity.name}.{name} is a truth value"


@pytest.mark.parametrize("entity", ENTITIES.values(), ids=list(ENTITIES))
def test_keys_are_required(entity: Entity) -> None:
    assert all(entity.all_columns[name].required for name in entity.key)
