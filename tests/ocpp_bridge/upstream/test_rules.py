"""What a back end may do to a station: the rules alone, against a station that really holds profiles."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocpp_bridge.profiles import FIRST_PROFILE_ID
from ocpp_bridge.upstream import rules
from ocpp_bridge.upstream.book import UpstreamProfile
from ocpp_bridge.upstream.rules import ClearEach, Forward, Reply
from ocpp_bridge.wire import Call, schema_error

NOW = datetime(2026, 2, 10, 18, 0, tzinfo=UTC)
PURPOSES = ("ChargePointMaxProfile", "TxDefaultProfile", "TxProfile", "Nonsense", None)
IDS = (1, 2, 7, FIRST_PROFILE_ID, FIRST_PROFILE_ID + 1, FIRST_PROFILE_ID + 11, FIRST_PROFILE_ID + 13, None)
KEEP = object()


def profile(number, purpose, level, limit, **changes):
    schedule = {
        "startSchedule": "2020-01-01T00:00:00Z",
        "chargingRateUnit": "A",
        "chargingSchedulePeriod": [{"startPeriod": 0, "limit": limit}],
    }
    found = {
        "chargingProfileId": number,
        "stackLevel": level,
        "chargingProfilePurpose": purpose,
        "chargingProfileKind": "Absolute",
        "chargingSchedule": schedule,
        **changes,
    }
    return {name: value for name, value in found.items() if value is not None}


sets = st.builds(
    lambda where, *rest: Call("u", "SetChargingProfile", {"connectorId": where, "csChargingProfiles": profile(*rest)}),
    st.sampled_from((0, 1)),
    st.sampled_from(IDS),
    st.sampled_from(PURPOSES),
    st.integers(0, 9),
    st.sampled_from((0.0, 6.0, 16.0, 32.0)),
)
clears = st.fixed_dictionaries(
    {},
    optional={
        "id": st.sampled_from(IDS[:-1]),
        "connectorId": st.sampled_from((0, 1)),
        "chargingProfilePurpose": st.sampled_from(PURPOSES[:3]),
        "stackLevel": st.integers(0, 9),
    },
).map(lambda payload: Call("u", "ClearChargingProfile", payload))


class Station:
    """A station with the bridge's profiles on it, behind the rules."""

    def __init__(self, kit):
        self.book = kit.ProfileBook()
        self.known = {}
        end = (NOW + timedelta(hours=4)).isoformat()
        for where, one in (
            (0, profile(FIRST_PROFILE_ID, "ChargePointMaxProfile", 0, 32.0)),
            (1, profile(FIRST_PROFILE_ID + 11, "TxDefaultProfile", 0, 6.0)),
            (1, profile(FIRST_PROFILE_ID + 13, "TxProfile", 8, 16.0, validTo=end, transactionId=5)),
        ):
            assert self.book.install(where, one, 5) == "Accepted"

    def allowed(self):
        later = NOW + timedelta(hours=6)
        return [self.book.limit_a(1, at, running) for at in (NOW, later) for running in (5, None)]

    def take(self, call):
        verdict = rules.judge(call, "1.6", profiles=list(self.known.values()), local_id=lambda number: number)
        if isinstance(verdict, ClearEach):
            for number in verdict.profile_ids:
                self.book.clear(number)
                del self.known[number]
        elif isinstance(verdict, Forward) and call.action == "SetChargingProfile":
            self.known[verdict.profile.profile_id] = verdict.profile
            self.book.install(verdict.payload["connectorId"], verdict.payload["csChargingProfiles"], 5)
        elif isinstance(verdict, Forward):
            self.book.clear(verdict.payload["id"])
            self.known.pop(verdict.clears, None)


@given(calls=st.lists(sets | clears, max_size=12))
def test_whatever_a_back_end_sets_or_clears_nothing_rises_and_ours_stays(kit, calls):
    station = Station(kit)
    before, ours = station.allowed(), list(station.book.profiles)
    for call in calls:
        station.take(call)
        assert all(now <= then for now, then in zip(station.allowed(), before, strict=True))
        assert [one for one in station.book.profiles if one in ours] == ours


@given(calls=st.lists(sets, max_size=8))
def test_what_a_back_end_set_it_can_take_back(kit, calls):
    station = Station(kit)
    before = station.allowed()
    for call in calls:
        station.take(call)
    station.take(Call("u", "ClearChargingProfile", {}))
    assert station.allowed() == before


def judged(action, payload, version="1.6", known=()):
    return rules.judge(Call("u", action, payload), version, profiles=list(known), local_id=lambda number: number + 1000)


def test_a_clear_by_criteria_names_only_what_matches():
    known = [UpstreamProfile(3, 0, "ChargePointMaxProfile", 0), UpstreamProfile(4, 0, "ChargePointMaxProfile", 2)]
    assert judged("ClearChargingProfile", {"stackLevel": 2}, known=known) == ClearEach((4,))
    assert judged("ClearChargingProfile", {"connectorId": 1}, known=known) == ClearEach(())
    criteria = {"chargingProfileCriteria": {"evseId": 0, "stackLevel": 0}}
    assert judged("ClearChargingProfile", criteria, "2.0.1", known) == ClearEach((3,))


@pytest.mark.parametrize(
    ("action", "payload", "version"),
    [
        ("ChangeConfiguration", {"key": "authorizationkey", "value": "x"}, "1.6"),
        ("ChangeConfiguration", {"key": "SecurityProfile", "value": "0"}, "1.6"),
        ("UpdateDynamicSchedule", {"chargingProfileId": FIRST_PROFILE_ID + 13, "scheduleUpdate": {}}, "2.1"),
        ("UsePriorityCharging", {"transactionId": "a", "activate": True}, "2.1"),
    ],
)
def test_answered_in_the_station_s_place(action, payload, version):
    assert isinstance(judged(action, payload, version), Reply)


@pytest.mark.parametrize("payload", [{}, {"csChargingProfiles": 5}, {"csChargingProfiles": {"stackLevel": "x"}}])
def test_a_profile_that_cannot_be_read_does_not_pass(payload):
    assert isinstance(judged("SetChargingProfile", payload), Reply)


def test_everything_else_passes_unchanged():
    for action, payload in (("Reset", {"type": "Hard"}), ("Unheard", {"a": [1.5, None]}), ("ChangeConfiguration", {})):
        assert judged(action, payload) == Forward(payload)
    assert judged("RemoteStopTransaction", {"transactionId": 5}) == Forward({"transactionId": 1005})
    assert judged("RemoteStopTransaction", {"transactionId": "5"}) == Forward({"transactionId": "5"})


@pytest.mark.parametrize("version", ["1.6", "2.0.1", "2.1"])
def test_a_clean_slate_fits_the_schemas(version):
    for has_back_end in (True, False):
        requests = rules.clean_slate(version, has_back_end=has_back_end)
        assert [schema_error(version, *request) for request in requests] == [None] * (2 if has_back_end else 3)


def call(action, **payload):
    return Call("m", action, payload)


def test_what_is_kept():
    assert rules.is_kept(call("MeterValues", transactionId=5))
    assert not rules.is_kept(call("MeterValues", connectorId=1))
    assert not rules.is_kept(call("Heartbeat"))
    assert rules.latest_name(call("StatusNotification", connectorId=1)) != rules.latest_name(
        call("StatusNotification", connectorId=2)
    )


def test_answers_while_the_back_end_is_away():
    own = {"idTagInfo": {"status": "Invalid", "expiryDate": "x"}}
    invalid, accepted = {"idTagInfo": {"status": "Invalid"}}, {"idTagInfo": {"status": "Accepted"}}
    assert rules.answer_meanwhile(call("Authorize", idTag="T"), own, accepts=False) == invalid
    assert rules.answer_meanwhile(call("Authorize", idTag="T"), own, accepts=True) == accepted
    assert rules.answer_meanwhile(call("StopTransaction", idTag="T"), own, accepts=False) == accepted
    assert rules.answer_meanwhile(call("DataTransfer"), {"status": "UnknownVendorId"}, accepts=True) == {
        "status": "Rejected"
    }
