"""Batch expectations made from the declarations of ``core.entities``, judged by Great Expectations.

They say whether what has landed still fits its declaration; row rules have decided long before what may land. The
library takes seconds to import, so it is imported in the functions; it runs in memory and writes no file.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from core.entities import ENTITIES
from core.schema import Entity
from ingestion.quality.rules import EARLIEST_AT

if TYPE_CHECKING:
    import great_expectations as gx

EXAMPLES = 5


@dataclass(frozen=True, slots=True)
class FailedExpectation:
    """An expectation that a batch does not meet; ``examples`` are values that break it, of public columns only."""

    expectation: str
    column: str
    unexpected: int
    examples: tuple[str, ...] = ()

    def __str__(self) -> str:
        shown = f", such as {', '.join(self.examples)}" if self.examples else ""
        return f"{self.expectation} of {self.column}: {self.unexpected} values break it{shown}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a suite: how many expectations were judged, over how many rows, and which failed."""

    entity: str
    rows: int
    evaluated: int
    failed: tuple[FailedExpectation, ...]

    @property
    def success(self) -> bool:
        """The batch meets every expectation."""
        return not self.failed


def validate(entity_name: str, frame: pl.DataFrame) -> Verdict:
    """Judge the latest versions of an entity's rows, as ``Landing.read`` returns them.

    Raises:
        KeyError: there is no such entity.
    """
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig

    for chatty in ("great_expectations", ProgressBarsConfig.__module__):  # its import sets INFO on both
        logging.getLogger(chatty).setLevel(logging.WARNING)
    entity = ENTITIES[entity_name]
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    asset = context.data_sources.add_pandas("landing").add_dataframe_asset(entity.name)
    whole = asset.add_batch_definition_whole_dataframe("whole")
    batch = whole.get_batch(batch_parameters={"dataframe": frame.to_pandas()})
    results = batch.validate(suite_of(entity, has_source="source" in frame.columns)).results
    failed = tuple(_failure(entity, result) for result in results if not result.success)
    return Verdict(entity.name, frame.height, len(results), failed)


def suite_of(entity: Entity, *, has_source: bool = True) -> "gx.ExpectationSuite":
    """Return the suite of an entity, named after it."""
    import great_expectations as gx
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

    suite = gx.ExpectationSuite(name=entity.name)
    for name, kwargs in _expectations(entity, has_source=has_source):
        suite.add_expectation_configuration(ExpectationConfiguration(type=f"expect_{name}", kwargs=kwargs))
    return suite


def _expectations(entity: Entity, *, has_source: bool) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the name and arguments of each expectation that the declaration makes."""
    columns = entity.all_columns
    key = [*entity.key, *(["source"] if has_source else [])]
    yield "table_columns_to_match_set", {"column_set": list(columns), "exact_match": False}
    if len(key) > 1:
        yield "compound_columns_to_be_unique", {"column_list": key}
    else:
        yield "column_values_to_be_unique", {"column": key[0]}
    for name, column in columns.items():
        if column.required:
            yield "column_values_to_not_be_null", {"column": name}
        if column.minimum is not None or column.maximum is not None:
            bounds = {"min_value": column.minimum, "max_value": column.maximum}
            yield "column_values_to_be_between", {"column": name, **bounds}
        if column.values is not None:
            yield "column_values_to_be_in_set", {"column": name, "value_set": list(column.values)}
    if entity.name not in CONFIGURED:
        yield "column_values_to_be_between", {"column": "observed_at", "min_value": EARLIEST_AT}


CONFIGURED = frozenset({"site", "connector", "vehicle", "source_contract", "duty", "assignment"})
"""Entities that are declared rather than observed: their times may lie before any clock was set."""


def _failure(entity: Entity, result: Any) -> FailedExpectation:  # noqa: ANN401 - the library has no types
    kwargs = result.expectation_config.kwargs
    column = kwargs.get("column") or ", ".join(kwargs.get("column_list", ())) or "the table"
    is_public = not entity.restricted and column in entity.all_columns
    examples = result.result.get("partial_unexpected_list", []) if is_public else []
    return FailedExpectation(
        result.expectation_config.type.removeprefix("expect_"),
        column,
        int(result.result.get("unexpected_count") or 0),
        tuple(str(value) for value in examples[:EXAMPLES]),
    )
