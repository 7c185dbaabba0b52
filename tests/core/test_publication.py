"""publication/1: what the bridge may be sent."""

from typing import Any

import pytest
from pydantic import ValidationError

from core.publication import Publication


def document(**changes: Any) -> dict[str, Any]:
    return {
        "schema": "depotwise.publication/1",
        "plan_id": "abc123",
        "site_id": "north",
        "as_of": "2026-02-09T13:00:00Z",
        "valid_until": "2026-02-10T13:00:00Z",
        "ev_limit_kw": [{"start_at": "2026-02-09T13:00:00Z", "limit_kw": 100}],
        "connectors": [
            {
                "station_id": "CP-1",
                "connector_id": 1,
                "current_type": "ac",
                "nominal_voltage_v": 230,
                "connector_phases": 3,
                "max_kw": 11,
                "min_kw": 4.14,
                "fallback_kw": 4.2,
                "transaction_id": 7,
                "periods": [{"start_at": "2026-02-09T14:00:00+01:00", "limit_kw": 11}],
            }
        ],
        **changes,
    }


def test_a_document_survives_a_round_trip() -> None:
    read = Publication.model_validate(document())
    assert Publication.model_validate_json(read.to_json()) == read
    assert '"start_at":"2026-02-09T13:00:00Z"' in read.to_json()


def test_fields_may_be_added() -> None:
    assert Publication.model_validate(document(comment="from the night shift")).plan_id == "abc123"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"as_of": "2026-02-09T13:00:00"}, "no time zone"),
        ({"valid_until": "2026-02-09T12:00:00Z"}, "later than as_of"),
        ({"connectors": document()["connectors"] * 2}, "one entry per connector"),
        ({"ev_limit_kw": []}, "at least 1 item"),
        ({"plan_id": "../../etc"}, "pattern"),
    ],
)
def test_a_wrong_document_is_refused_with_its_reason(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Publication.model_validate(document(**changes))


def test_periods_must_ascend() -> None:
    broken = document()
    broken["connectors"][0]["periods"] *= 2
    with pytest.raises(ValidationError, match="ascending"):
        Publication.model_validate(broken)


@pytest.mark.parametrize("limit", [-1, float("nan"), float("inf")])
def test_a_limit_is_a_finite_power(limit: float) -> None:
    broken = document(ev_limit_kw=[{"start_at": "2026-02-09T13:00:00Z", "limit_kw": limit}])
    with pytest.raises(ValidationError, match="limit_kw"):
        Publication.model_validate(broken)
