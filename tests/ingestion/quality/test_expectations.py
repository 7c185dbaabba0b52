"""Batch expectations: made from the declarations, met by what the row rules let through, broken by what they do not."""

from datetime import UTC, datetime

import polars as pl
import pytest

from core.entities import ENTITIES
from ingestion.quality.expectations import suite_of, validate

T0 = datetime(2026, 2, 2, tzinfo=UTC)


def frame(entity: str, **columns: list) -> pl.DataFrame:
    times = dict.fromkeys(("observed_at", "available_at", "ingested_at"), [T0] * len(next(iter(columns.values()))))
    given = {**times, **columns}
    schema = {**ENTITIES[entity].schema, "source": pl.String()}
    rows = len(next(iter(columns.values())))
    return pl.DataFrame({name: given.get(name, [None] * rows) for name in schema}, schema=schema)


def test_a_good_batch_meets_every_expectation():
    verdict = validate("vehicle_snapshot", frame("vehicle_snapshot", vehicle_id=["a", "b"], soc_pct=[0.0, None]))
    assert verdict.success
    assert verdict.evaluated > 10


@pytest.mark.parametrize("entity", ["trip", "site", "price", "session_match", "quarantined_row"])
def test_an_empty_table_meets_its_suite(entity):
    assert validate(entity, ENTITIES[entity].empty().with_columns(source=pl.lit("x"))).success


@pytest.mark.parametrize("entity", sorted(ENTITIES))
def test_every_entity_has_a_suite_named_after_it(entity):
    suite = suite_of(ENTITIES[entity])
    assert suite.name == entity
    assert len(suite.expectations) >= 3


@pytest.mark.parametrize(
    ("entity", "columns", "expected"),
    [
        ("vehicle_snapshot", {"vehicle_id": ["a"], "soc_pct": [140.0]}, ("column_values_to_be_between", "soc_pct", 1)),
        ("vehicle_snapshot", {"vehicle_id": [None]}, ("column_values_to_not_be_null", "vehicle_id", 1)),
        (
            "vehicle_snapshot",
            {"vehicle_id": ["a", "a"]},
            ("compound_columns_to_be_unique", "vehicle_id, observed_at, source", 2),
        ),
        (
            "vehicle_snapshot",
            {"vehicle_id": ["a"], "observed_at": [datetime(1970, 1, 1, tzinfo=UTC)]},
            ("column_values_to_be_between", "observed_at", 1),
        ),
        (
            "vehicle_snapshot",
            {"vehicle_id": ["a"], "charging_state": ["perhaps"]},
            ("column_values_to_be_in_set", "charging_state", 1),
        ),
    ],
)
def test_what_breaks_the_declaration_is_named(entity, columns, expected):
    verdict = validate(entity, frame(entity, **columns))
    broken = [(one.expectation, one.column, one.unexpected) for one in verdict.failed]
    assert expected in broken


def test_examples_of_restricted_entities_are_not_shown():
    verdict = validate(
        "vehicle_position", frame("vehicle_position", vehicle_id=["a"], latitude=[95.0], longitude=[0.0])
    )
    (failure,) = verdict.failed
    assert (failure.column, failure.examples) == ("latitude", ())
