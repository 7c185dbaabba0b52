from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.charge_point.limits import composite, offered_kw, share_station
from simulator.charge_point.profiles import Limit, ProfileError, ProfileStore, Transaction, read_profile
from simulator.world.fleet import Connector

NOW = datetime(2026, 2, 9, 18, 0, tzinfo=UTC)
POST = Connector(0, "N-AC-01", 1, "north", None, "ac", 22.08)
CABINET = Connector(1, "N-DC-01", 1, "north", None, "dc", 120.0)
RUNNING = Transaction(7, NOW - timedelta(minutes=10))


def raw(purpose: str, periods: list[tuple[int, float]], *, unit: str = "A", level: int = 0, **more: Any) -> dict:
    schedule = {
        "chargingRateUnit": unit,
        "chargingSchedulePeriod": [{"startPeriod": start, "limit": limit} for start, limit in periods],
        **{key: more.pop(key) for key in ("startSchedule", "duration") if key in more},
    }
    kind = more.pop("kind", "Absolute")
    if kind == "Absolute":
        schedule.setdefault("startSchedule", "2026-02-09T18:00:00Z")
    return {
        "chargingProfileId": more.pop("profile_id", 1),
        "stackLevel": level,
        "chargingProfilePurpose": purpose,
        "chargingProfileKind": kind,
        "chargingSchedule": schedule,
        **more,
    }


def store_of(*profiles: tuple[int, dict], transaction: Transaction | None = RUNNING) -> ProfileStore:
    store = ProfileStore()
    for connector_id, profile in profiles:
        store.install(read_profile(connector_id, profile, units=("A", "W"), received_at=NOW), transaction)
    return store


def amps(store: ProfileStore, minutes: float, transaction: Transaction | None = RUNNING) -> float | None:
    limit = store.connector_limit(1, NOW + timedelta(minutes=minutes), transaction)
    return None if limit is None else limit.value


def test_transaction_profile_takes_the_place_of_the_default_until_it_expires():
    store = store_of(
        (1, raw("TxDefaultProfile", [(0, 16)], profile_id=1)),
        (1, raw("TxProfile", [(0, 12.5), (300, 0), (600, 25)], profile_id=2, transactionId=7, duration=900)),
    )

    assert [amps(store, minutes) for minutes in (0, 4.9, 5, 10, 14.9, 15)] == [12.5, 12.5, 0, 25, 25, 16]
    assert amps(store, 0, None) == 16


def test_highest_stack_level_that_is_valid_wins():
    store = store_of(
        (1, raw("TxDefaultProfile", [(0, 6)], level=0, profile_id=1)),
        (1, raw("TxDefaultProfile", [(0, 20)], level=3, profile_id=2, validTo="2026-02-09T19:00:00Z")),
        (1, raw("TxDefaultProfile", [(0, 10)], level=2, profile_id=3, validFrom="2026-02-09T18:30:00Z")),
    )

    assert [amps(store, minutes) for minutes in (0, 59, 61)] == [20, 20, 10]


def test_default_of_the_connector_comes_before_that_of_the_station():
    store = store_of(
        (0, raw("TxDefaultProfile", [(0, 16)], profile_id=1)), (1, raw("TxDefaultProfile", [(0, 8)], profile_id=2))
    )

    assert amps(store, 0) == 8
    assert store.connector_limit(2, NOW, None) == Limit("A", 16)


def test_same_place_or_same_id_replaces():
    store = store_of(
        (1, raw("TxDefaultProfile", [(0, 16)], profile_id=1)),
        (1, raw("TxDefaultProfile", [(0, 8)], profile_id=2)),
        (0, raw("ChargePointMaxProfile", [(0, 32)], profile_id=2)),
    )

    assert [profile.purpose for profile in store.profiles] == ["ChargePointMaxProfile"]


def test_without_profiles_nothing_is_limited():
    assert amps(ProfileStore(), 0) is None
    assert offered_kw(POST, None, 3) == pytest.approx(22.08)


def test_recurring_and_relative_schedules():
    daily = raw(
        "TxDefaultProfile", [(0, 6), (3600, 16)], kind="Recurring", recurrencyKind="Daily",
        startSchedule="2026-02-01T17:30:00Z",
    )  # fmt: skip
    relative = raw("TxProfile", [(0, 10), (900, 20)], kind="Relative", profile_id=2, transactionId=7)

    assert [amps(store_of((1, daily)), minutes) for minutes in (0, 31)] == [6, 16]
    assert [amps(store_of((1, relative)), minutes) for minutes in (0, 6)] == [10, 20]


@pytest.mark.parametrize(
    ("connector_id", "profile", "transaction"),
    [
        pytest.param(1, raw("TxProfile", [(0, 10)], transactionId=7), None, id="no transaction"),
        pytest.param(1, raw("TxProfile", [(0, 10)], transactionId=8), RUNNING, id="another transaction"),
        pytest.param(1, raw("ChargePointMaxProfile", [(0, 10)]), RUNNING, id="maximum on a connector"),
        pytest.param(1, raw("TxDefaultProfile", [(k, 10) for k in range(25)]), RUNNING, id="too many periods"),
        pytest.param(1, raw("TxDefaultProfile", [(60, 10)]), RUNNING, id="does not start at 0"),
        pytest.param(1, raw("TxDefaultProfile", [(0, 10)], level=99), RUNNING, id="stack level"),
        pytest.param(1, raw("TxDefaultProfile", [(0, 10)], unit="mA"), RUNNING, id="unit"),
        pytest.param(1, raw("TxDefaultProfile", [(0, 10)], startSchedule=None), RUNNING, id="no start"),
        pytest.param(1, {"stackLevel": 1}, RUNNING, id="incomplete"),
    ],
)
def test_profile_that_does_not_fit_is_refused(connector_id: int, profile: dict, transaction: Transaction | None):
    with pytest.raises(ProfileError):
        store_of((connector_id, profile), transaction=transaction)


def test_clear_removes_what_fits_all_criteria_and_transactions_take_theirs_along():
    store = store_of(
        (1, raw("TxDefaultProfile", [(0, 6)], level=0, profile_id=1)),
        (1, raw("TxDefaultProfile", [(0, 16)], level=1, profile_id=2)),
        (1, raw("TxProfile", [(0, 16)], level=1, profile_id=3, transactionId=7)),
    )

    assert not store.clear(None, 2, None, None)
    assert store.clear(None, 1, "TxDefaultProfile", 1)
    assert [profile.profile_id for profile in store.profiles] == [1, 3]
    store.end_transaction(1)
    assert [profile.profile_id for profile in store.profiles] == [1]
    assert store.clear(None, None, None, None)
    assert not store.profiles


@pytest.mark.parametrize(
    ("connector", "limit", "phases", "power_kw"),
    [
        pytest.param(POST, Limit("A", 16), 3, 11.04, id="16 A on three phases"),
        pytest.param(POST, Limit("A", 16), 1, 3.68, id="16 A on one phase"),
        pytest.param(POST, Limit("W", 11040, 3), 1, 3.68, id="watts are spread over the schedule's phases"),
        pytest.param(POST, Limit("W", 7360, 1), 1, 7.36, id="watts on one phase"),
        pytest.param(POST, Limit("A", 5.9), 3, 0.0, id="below 6 A is a pause"),
        pytest.param(POST, Limit("A", 40), 3, 22.08, id="never above the rating"),
        pytest.param(CABINET, Limit("W", 50_000), 3, 50.0, id="DC"),
        pytest.param(CABINET, Limit("W", 3_000), 3, 0.0, id="DC below its minimum"),
    ],
)
def test_offered_power(connector: Connector, limit: Limit, phases: int, power_kw: float):
    assert offered_kw(connector, limit, phases) == pytest.approx(power_kw)


@given(
    wanted=st.dictionaries(st.integers(1, 4), st.floats(4.14, 22), min_size=1),
    total=st.one_of(st.none(), st.floats(0, 60)),
)
def test_station_maximum_is_shared_and_never_exceeded(wanted: dict[int, float], total: float | None):
    given_kw = share_station(wanted, dict.fromkeys(wanted, 4.14), total)

    assert total is None or sum(given_kw.values()) <= total + 1e-9
    assert all(power == 0 or 4.14 <= power <= wanted[connector] + 1e-9 for connector, power in given_kw.items())
    assert total is not None or given_kw == wanted


periods = st.lists(st.integers(1, 7200), max_size=5, unique=True).flatmap(
    lambda starts: st.lists(st.integers(0, 40), min_size=len(starts) + 1, max_size=len(starts) + 1).map(
        lambda limits: list(zip([0, *sorted(starts)], map(float, limits), strict=True))
    )
)


@given(default=periods, own=periods, maximum=periods, duration=st.integers(1, 9000))
def test_composite_is_the_strictest_limit_at_every_instant(
    default: list[tuple[int, float]], own: list[tuple[int, float]], maximum: list[tuple[int, float]], duration: int
):
    store = store_of(
        (1, raw("TxDefaultProfile", default, profile_id=1)),
        (1, raw("TxProfile", own, profile_id=2, transactionId=7, duration=duration)),
        (0, raw("ChargePointMaxProfile", maximum, profile_id=3)),
    )

    steps = composite(store, POST, RUNNING, at=NOW, duration_s=9000, unit="A")

    for second in range(0, 9000, 97):
        at = NOW + timedelta(seconds=second)
        station, connector = store.station_limit(at), store.connector_limit(1, at, RUNNING)
        assert station is not None
        assert connector is not None
        expected = min(32.0, station.value, connector.value)
        assert [step.value for step in steps if step.start_s <= second][-1] == pytest.approx(expected)
