from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from simulator.providers.event_log import EventLog

START = datetime(2026, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@given(hours=st.lists(st.integers(0, 100)), splits=st.lists(st.integers(0, 100)))
def test_release_keeps_places_and_reveals_nothing_early(hours: list[int], splits: list[int]):
    log: EventLog[int] = EventLog()
    log.extend((START + hour * HOUR, number) for number, hour in enumerate(hours))
    seen: list[int] = []
    for split in sorted(splits):
        until = START + split * HOUR
        log.release(until)
        now = [item for _, item in log.items(0, log.known(until))]
        assert now[: len(seen)] == seen
        assert sorted(now) == [number for number, hour in enumerate(hours) if hour <= split]
        seen = now


def test_late_feeding_is_received_after_what_was_seen():
    log: EventLog[str] = EventLog()
    log.add(START + 2 * HOUR, "on time")
    log.release(START + 3 * HOUR)
    log.add(START + HOUR, "too late to be second")
    log.release(START + 4 * HOUR)

    assert [item for _, item in log.items(0, 10)] == ["on time", "too late to be second"]
    assert log.position(START + 2 * HOUR) == 0
    assert log.known(START + 2 * HOUR) == 2
