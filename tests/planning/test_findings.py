"""Columns of JSON values, against the reader of a single one."""

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from planning.findings import is_number, numbers

VALUES = st.one_of(st.floats(), st.integers(), st.just(10**400), st.booleans(), st.none(), st.text(max_size=3))


@given(st.one_of(st.lists(VALUES), st.lists(st.one_of(st.floats(), st.integers(), st.just(-(10**400))))))
def test_a_column_holds_what_each_value_is(values: list[Any]) -> None:
    expected = [float(value) if is_number(value) else np.nan for value in values]
    assert np.array_equal(numbers(values), np.array(expected), equal_nan=True)
