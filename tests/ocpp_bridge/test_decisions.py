"""The pure parts that decide: curves, sharing of limits, meters, evidence."""

import math
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocpp_bridge import curves
from ocpp_bridge.clocks import ClockBounds
from ocpp_bridge.curves import Curve, RunningTotal, constant, steps
from ocpp_bridge.evidence import Evidence, ExpectedPhases, Watch, check_composite
from ocpp_bridge.holdings import Held, Holdings
from ocpp_bridge.metering import Sample, mean_power_kw, read_sample
from ocpp_bridge.profiles import Place, Slot, Wiring, base_profile, plan_profile
from ocpp_bridge.protocol import Composite
from ocpp_bridge.targets import Demand, Want, share_out, shrink

AC = Wiring("ac", 3, 230.0, 22.0, 4.14)
NOW = datetime(2026, 2, 10, 18, 0, tzinfo=UTC)
NOW_S = NOW.timestamp()
KEY = ("CP-1", 1)

any_curve = st.lists(st.tuples(st.integers(0, 50), st.integers(-20, 20)), min_size=1, max_size=8).map(
    lambda pairs: steps(sorted({float(start): float(value) for start, value in pairs}.items()))
)
probes = [-1.0, *(k / 2 for k in range(102))]


# --- curves --------------------------------------------------------------------------------------------------------


@given(any_curve, any_curve)
def test_operations_are_those_of_the_values(left, right):
    for at in probes:
        assert curves.upper(left, right).at(at) == max(left.at(at), right.at(at))
        assert curves.lower(left, right).at(at) == min(left.at(at), right.at(at))
        assert curves.minus(left, right).at(at) == left.at(at) - right.at(at)
        assert left.until(10.0, 7.0).at(at) == (left.at(at) if at < 10 else 7.0)
        assert left.since(10.0, 7.0).at(at) == (left.at(at) if at >= 10 else 7.0)


@given(any_curve, st.integers(0, 12), st.integers(0, 12))
def test_what_a_clock_makes_of_a_curve(curve, early, late):
    """Each skew within the bounds is one way to follow the curve; the widest and the narrowest hold for all of them."""
    wide, narrow = curve.widened(early, late), curve.narrowed(early, late)
    skews = [k / 2 for k in range(-2 * late, 2 * early + 1)]
    for at in probes:
        assert wide.at(at) == max(curve.at(at + skew) for skew in skews)
        assert narrow.at(at) == min(curve.at(at - skew) for skew in skews)
        assert narrow.widened(early, late).at(at) <= curve.at(at)
        assert curve.delayed(late).at(at) == curve.at(at - late)


@given(any_curve)
def test_a_curve_is_in_its_simplest_form(curve):
    assert curve.starts[0] == -math.inf
    assert list(curve.starts) == sorted(set(curve.starts))
    assert all(a != b for a, b in zip(curve.values, curve.values[1:], strict=False))


@given(st.lists(st.tuples(any_curve, any_curve), max_size=5))
def test_a_running_total_is_the_sum_of_what_is_in_it(pairs):
    total = RunningTotal()
    for old, new in pairs:
        total.replace(None, old)
        total.replace(old, new)
    for at in probes:
        assert total.curve().at(at) == pytest.approx(sum(new.at(at) for _, new in pairs))


@given(any_curve, any_curve, st.integers(0, 50))
def test_the_first_excess_is_found(curve, ceiling, since):
    found = curves.exceeds(curve, ceiling, since_s=since)
    above = [at for at in probes if at >= since and curve.at(at) > ceiling.at(at)]
    assert found == (min(above) if above else None)


# --- sharing -------------------------------------------------------------------------------------------------------

demands = st.lists(
    st.builds(
        Demand,
        st.floats(0, 50).map(constant),
        st.just(constant(50.0)),
        st.sampled_from([0.0, 4.2, 6.0]).map(constant),
        st.sampled_from([0.0, 4.14]),
        st.just((None,)),
    ),
    min_size=1,
    max_size=8,
)


@given(demands, st.floats(-10, 200))
def test_shares_are_within_what_is_available_and_what_was_wanted(wanted, available):
    by_key = {("CP", k): demand for k, demand in enumerate(wanted)}
    shares = share_out(by_key, {None: constant(available)}, now_s=NOW_S)
    assert sum(curve.at(NOW_S) for curve in shares.values()) <= max(0.0, available) + 1e-5
    for key, demand in by_key.items():
        assert -1e-9 <= shares[key].at(NOW_S) <= demand.wanted_kw.at(NOW_S) + 1e-9


wanted_curves = st.lists(st.tuples(st.integers(0, 8), st.integers(0, 20)), min_size=1, max_size=6).map(
    lambda pairs: steps([(-math.inf, 0.0), *sorted({NOW_S + start: float(kw) for start, kw in pairs}.items())])
)


@given(st.lists(wanted_curves, min_size=1, max_size=4), wanted_curves)
def test_what_fits_is_given_at_every_instant(wanted, available):
    """Also where connectors take over from each other, so that what is left of the limit does not change."""
    by_key = {("CP", k): Demand(curve, curve, constant(0.0), 0.0, (None,)) for k, curve in enumerate(wanted)}
    shares = share_out(by_key, {None: available}, now_s=NOW_S)
    for at in (NOW_S + k / 2 for k in range(20)):
        asked = [curve.at(at) for curve in wanted]
        given_kw = [shares[key].at(at) for key in by_key]
        if sum(asked) <= available.at(at):
            assert given_kw == pytest.approx(asked)
        assert sum(given_kw) <= max(available.at(at), 0.0) + 1e-5


def test_a_connector_that_takes_over_from_another_is_given_its_part() -> None:
    first = steps([(-math.inf, 10.0), (NOW_S + 900, 0.0)])
    second = steps([(-math.inf, 0.0), (NOW_S + 900, 10.0), (NOW_S + 1800, 40.0)])
    by_key = {("CP", k): Demand(curve, curve, constant(0.0), 4.0, (None,)) for k, curve in enumerate((first, second))}
    shares = share_out(by_key, {None: constant(20.0)}, now_s=NOW_S)
    assert [shares["CP", 1].at(NOW_S + second_s) for second_s in (0, 900, 1800)] == pytest.approx([0.0, 10.0, 20.0])


def shrunk(value, fallback, count, available):
    demand = Demand(constant(value), constant(value), constant(fallback), 4.14, (None,))
    return shrink([Want(value, demand, NOW_S)] * count, available)


def test_fallbacks_are_taken_last_and_minima_are_kept():
    assert shrunk(20.0, 4.2, 2, 30.0) == pytest.approx([15.0, 15.0])
    assert shrunk(20.0, 4.2, 2, 9.0) == pytest.approx([4.5, 4.5])
    assert shrunk(20.0, 4.2, 2, 5.0) == [4.2, 0.0]
    assert shrunk(10.0, 0.0, 3, 9.0) == pytest.approx([4.5, 4.5, 0.0])


def test_a_group_is_shared_before_the_site():
    of_group = Demand(constant(20.0), constant(20.0), constant(4.2), 4.14, (None, "g"))
    alone = Demand(constant(20.0), constant(20.0), constant(4.2), 4.14, (None,))
    shares = share_out({("A", 1): of_group, ("B", 1): alone}, {"g": constant(8.0), None: constant(40.0)}, now_s=0)
    assert [shares[key].at(0) for key in (("A", 1), ("B", 1))] == pytest.approx([8.0, 20.0])


def test_where_one_takes_over_from_another_it_waits_for_the_slowest_clock():
    """The other loses nothing: it is not told to end early."""
    goes, comes = steps([(-math.inf, 20.0), (1000.0, 5.0)]), steps([(-math.inf, 5.0), (1000.0, 20.0)])
    by_key = {
        ("CP", k): Demand(course.widened(15, 60), min_of(course, delayed_s=60), constant(0.0), 4.14, (None,))
        for k, course in enumerate((goes, comes))
    }
    shares = share_out(by_key, {None: constant(25.0)}, now_s=0.0)
    assert [shares["CP", 0].at(at) for at in (0, 980, 1050, 1061)] == [20, 20, 20, 5]
    assert [shares["CP", 1].at(at) for at in (0, 986, 1050, 1061)] == [5, 5, 5, 20]
    assert shares["CP", 1].narrowed(15, 60).at(1074) == 5, "its own clock may be ahead"
    assert shares["CP", 1].narrowed(15, 60).at(1075) == 20


def min_of(course, *, delayed_s):
    return curves.lower(course.widened(15, 60), course.delayed(delayed_s))


# --- holdings ------------------------------------------------------------------------------------------------------


def held(sequence, amperes, end_s, slot=Slot.TRANSACTION):
    place = Place(1, slot, 3, "7" if slot is Slot.TRANSACTION else None)
    profile = plan_profile(constant(amperes), place=place, end_s=end_s, as_of=NOW, unit="A", wiring=AC)
    return Held(sequence, profile, profile.reserved_kw(AC))


def based(limit_kw=4.2):
    holdings = Holdings({KEY: 22.0})
    profile = base_profile(1, limit_kw, unit="A", wiring=AC, as_of=NOW)
    holdings.sent(KEY, Held(1, profile, profile.reserved_kw(AC)))
    assert holdings.bound(KEY).at(NOW_S) == 22.0  # sent is not accepted
    holdings.accepted(KEY, 1)
    holdings.see_transaction(KEY, sees=True)
    return holdings


def test_a_connector_counts_at_the_highest_that_it_may_hold_until_a_minute_after():
    holdings = based()
    assert holdings.bound(KEY).at(NOW_S) == pytest.approx(4.14)
    holdings.sent(KEY, held(2, 16.0, NOW_S + 900))
    assert holdings.bound(KEY).at(NOW_S) == pytest.approx(11.04)
    holdings.accepted(KEY, 2)
    holdings.sent(KEY, held(3, 0.0, NOW_S + 900))
    assert holdings.bound(KEY).at(NOW_S) == pytest.approx(11.04)
    holdings.accepted(KEY, 3)
    assert holdings.bound(KEY).at(NOW_S) == 0.0
    assert holdings.bound(KEY).at(NOW_S + 839) == 0.0
    assert holdings.bound(KEY).at(NOW_S + 841) == pytest.approx(4.14)  # its clock may be a minute ahead


def test_periods_count_for_as_long_as_the_clock_may_be_off():
    holdings = based()
    place = Place(1, Slot.TRANSACTION, 3, "7")
    limits = steps([(-math.inf, 8.0), (NOW_S + 300, 16.0), (NOW_S + 600, 0.0)])
    profile = plan_profile(limits, place=place, end_s=NOW_S + 900, as_of=NOW, unit="A", wiring=AC)
    holdings.sent(KEY, Held(2, profile, profile.reserved_kw(AC)))
    holdings.accepted(KEY, 2)
    amperes = [round(holdings.bound(KEY).at(NOW_S + at) / 0.69) for at in (239, 241, 659, 661)]
    assert amperes == [8, 16, 16, 0], "unknown clocks may be a minute off"
    holdings.set_clock(KEY, ClockBounds(15.0, 300.0))
    amperes = [round(holdings.bound(KEY).at(NOW_S + at) / 0.69) for at in (284, 286, 899, 901, 1199, 1201)]
    assert amperes == [8, 16, 16, 6, 6, 6]
    assert holdings.prune(NOW_S + 1199) == []
    assert holdings.prune(NOW_S + 1201) == [2], "only then is it surely gone"


def test_a_late_acknowledgement_does_not_undo_a_newer_one():
    holdings = based()
    holdings.sent(KEY, held(2, 16.0, NOW_S + 900))
    holdings.sent(KEY, held(3, 8.0, NOW_S + 900))
    holdings.accepted(KEY, 3)
    holdings.accepted(KEY, 2)
    assert holdings.bound(KEY).at(NOW_S) == pytest.approx(5.52)


def test_a_transaction_out_of_sight_or_over_brings_the_fallback_back():
    holdings = based()
    holdings.sent(KEY, held(2, 0.0, NOW_S + 900))
    holdings.accepted(KEY, 2)
    holdings.see_transaction(KEY, sees=False)
    assert holdings.bound(KEY).at(NOW_S) == pytest.approx(4.14)
    holdings.see_transaction(KEY, sees=True)
    assert holdings.bound(KEY).at(NOW_S) == 0.0
    holdings.forget_transactions(KEY, but=None)
    assert holdings.bound(KEY).at(NOW_S) == pytest.approx(4.14)


# --- meters --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("items", "field", "expected"),
    [
        ([{"value": "1234"}], "energy_register_kwh", 1.234),
        ([{"value": 1.5, "unit": "kWh"}], "energy_register_kwh", 1.5),
        ([{"value": "7", "measurand": "Power.Active.Import", "unit": "kW"}], "power_kw", 7.0),
        ([{"value": "7000", "measurand": "Power.Active.Import"}], "power_kw", 7.0),
        (
            [
                {"value": "2000", "measurand": "Power.Active.Import", "phase": phase, "unit": "W"}
                for phase in ("L1-N", "L2-N", "L3-N")
            ],
            "power_kw",
            6.0,
        ),
        ([{"value": 12.5, "measurand": "SoC", "unit": "Percent"}], "soc_pct", 12.5),
        (
            [{"value": 5, "measurand": "Power.Active.Import", "unitOfMeasure": {"unit": "W", "multiplier": 3}}],
            "power_kw",
            5.0,
        ),
        ([{"value": "16", "measurand": "Current.Offered", "unit": "A"}], "offered_a", 16.0),
        ([{"value": "NaN"}, {"value": None}, "x", {}], "energy_register_kwh", None),
    ],
)
def test_meter_values_are_read_in_every_unit_and_form(items, field, expected):
    assert getattr(read_sample(items), field) == pytest.approx(expected)


# --- evidence ------------------------------------------------------------------------------------------------------


def test_a_composite_schedule_agrees_when_it_is_nowhere_above():
    profile = held(1, 16.0, NOW_S + 3600)

    def check(*periods, unit="A"):
        return check_composite(Composite(unit, periods), profile, AC, asked_at_s=NOW_S, duration_s=3600).agrees

    assert check((0, 16.0))
    assert check((0.3, 15.0))
    assert check((0, 11040.0), unit="W")
    assert not check((0, 17.0))
    assert not check((0, -1.0))
    assert not check((0, 16.0), (600, 32.0))


def test_a_meter_above_the_limit_contradicts_and_one_near_it_confirms():
    watch = Watch()
    over = Sample(power_kw=11.0)
    found = [watch.judge(over, 5.0, offered_kw=None, now_s=NOW_S + k * 30) for k in range(8)]
    assert next(finding.agrees for finding in found if finding is not None) is False
    assert "11.00 kW is metered where 5.00 kW was set" in found[-1].detail
    watch = Watch()
    near = Sample(power_kw=4.9)
    found = [watch.judge(near, 5.0, offered_kw=None, now_s=NOW_S + k * 30) for k in range(8)]
    assert found[-1].evidence is Evidence.METERED
    assert found[-1].agrees
    idle = Watch()
    assert all(idle.judge(Sample(power_kw=0.0), 5.0, offered_kw=None, now_s=NOW_S + k * 30) is None for k in range(8))


def test_offered_power_is_a_rung_of_its_own():
    watch = Watch()
    watch.judge(Sample(), 5.0, offered_kw=5.0, now_s=NOW_S)
    assert watch.judge(Sample(), 5.0, offered_kw=5.0, now_s=NOW_S + 61).evidence is Evidence.OFFERED


def test_phases_are_proven_by_samples_in_a_row():
    watch = Watch()
    one = Sample(current_a={"L1": 15.0, "L2": 0.0, "L3": 0.1})
    assert [watch.phases_used(one) for _ in range(3)] == [None, None, 1]
    assert watch.phases_used(Sample(current_a={"L1": 15.0, "L2": 1.5, "L3": 0.0})) is None
    assert watch.phases_used(Sample(current_a={"L1": 15.0})) is None


def test_total_power_proves_only_what_was_said_and_more_disproves_it():
    watch, said = Watch(), ExpectedPhases(phases=1, lines=3, limit_kw=7.36)

    def used(power_kw):
        return watch.phases_used(Sample(power_kw=power_kw), expected=said)

    assert [used(7.2) for _ in range(3)] == [None, None, 1]
    assert used(22.0) == 3
    assert [used(power) for power in (7.2, 7.2, 3.0, 7.2, 7.2)] == [None] * 5
    assert used(7.2) == 1
    assert watch.phases_used(Sample(power_kw=7.2)) is None


def test_curves_compare_by_value():
    assert Curve((-math.inf, 5.0), (1.0, 2.0)) == steps([(0, 1.0), (5.0, 2.0)])


@pytest.mark.parametrize(
    ("earlier_kwh", "later_kwh", "seconds", "power_kw"),
    [(100, 100.1, 60, 6.0), (100, 100, 60, 0.0), (100, 5, 60, None), (100, 101, 0, None)],
    ids=["flows", "nothing", "register was reset", "no time passed"],
)
def test_a_register_tells_a_mean_power(earlier_kwh, later_kwh, seconds, power_kw):
    found = mean_power_kw(earlier_kwh, later_kwh, seconds)
    assert found is None if power_kw is None else found == pytest.approx(power_kw)
