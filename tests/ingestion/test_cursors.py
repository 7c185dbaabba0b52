"""Cursors: what was written is read, a missing one means never polled, a damaged one says what to do."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestion.cursors import CursorStore, Progress

JSON = st.dictionaries(st.text(max_size=8), st.one_of(st.none(), st.integers(), st.text(max_size=8)), max_size=4)


@settings(deadline=None)
@given(cursor=st.none() | JSON, carry=JSON)
def test_what_is_written_is_read(tmp_path_factory, cursor, carry):
    store = CursorStore(tmp_path_factory.mktemp("cursors"))
    store.write("rfms", Progress(cursor, carry))
    assert store.read("rfms") == Progress(cursor, carry)


def test_a_source_that_was_never_polled_has_none(tmp_path):
    assert CursorStore(tmp_path).read("rfms") == Progress(None, {})


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", "null"])
def test_a_damaged_cursor_says_what_to_do(tmp_path, text):
    (tmp_path / "rfms.json").write_text(text)
    with pytest.raises(ValueError, match="delete it, and the source is read again from start_at"):
        CursorStore(tmp_path).read("rfms")
