"""Charging requests of depot systems (VDV 463) from the bridge, as duties: departure and the SoC demanded for it.

A request that changes its day or vehicle withdraws the duty that it was before. One that is withdrawn after its
departure was served, and its duty stands.
"""

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final

import polars as pl

from core.schema import INSTANT
from core.settings import secret
from core.time_grid import format_instant, local_date, parse_instant
from ingestion.http import ProviderError, SourceClient
from ingestion.providers.base import RECORD, JsonObject, Page, Parsed, Rejected
from ingestion.registry.models import Source
from ingestion.registry.registry import Registry

LIMIT: Final = 1000
PAGE: Final = "charging_requests"
DUTY: Final = "duty"
SCHEMA: Final[Mapping[str, Any]] = {
    RECORD: pl.Int64,
    "block_id": pl.String,
    "operating_date": pl.Date,
    "site_id": pl.String,
    "vehicle_id": pl.String,
    "planned_departure_at": INSTANT,
    "min_target_soc_pct": pl.Float64,
    "is_deleted": pl.Boolean,
    "observed_at": INSTANT,
    "available_at": INSTANT,
}
Row = dict[str, Any]


class _UnusableError(ValueError):
    """A request that gives no duty: a word for counting, and what to say to people."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


def fetch(client: SourceClient, source: Source, cursor: JsonObject | None, *, as_of: datetime) -> Iterator[Page]:
    """Yield pages of requests after the cursor ``{"after": …}``, up to ``as_of``.

    Raises:
        ingestion.http.ProviderError: the bridge does not answer, or not as agreed.
        core.settings.MissingSecretError: its token is not in the environment.
    """
    headers = {"Authorization": f"Bearer {secret(source.credentials.token_env or '')}"}
    before: JsonObject = dict(cursor or {})
    while True:
        params = {"limit": str(LIMIT), "after": str(before.get("after", 0))}
        body = client.get("/charging_requests", params=params, headers=headers).body
        requests, following = _read(body, source)
        if not requests:
            return
        last_at = max(parse_instant(request["received_at"]) for request in requests)
        if last_at > as_of:
            yield Page(body, PAGE, before, later=(as_of, last_at))
            return
        before = {"after": following}
        yield Page(body, PAGE, before)


def parse(page: Page, *, source: Source, registry: Registry, carry: JsonObject) -> Parsed:
    """Turn a page of requests into duties of the source's site.

    The carry holds, by request, the duty that it is now; a page that a later run takes up again leaves it as it was.

    Raises:
        PayloadError: it is no answer of the bridge.
    """
    records: list[Row] = []
    rows: list[Row] = []
    rejected: list[Rejected] = []
    requests, _ = _read(page.body, source)
    standing: dict[str, Any] = dict(carry)
    for request in requests:
        if page.later is not None and parse_instant(request["received_at"]) > page.later[0]:
            continue
        number = len(records)
        records.append(request)
        try:
            rows += _duties(request, number, standing, source, registry)
        except _UnusableError as error:
            rejected.append(Rejected(DUTY, number, error.reason, str(error)))
    frame = pl.DataFrame(rows, schema=SCHEMA, orient="row")
    return Parsed(records, {DUTY: frame}, rejected, carry if page.later is not None else standing)


def _duties(request: Row, number: int, standing: dict[str, Any], source: Source, registry: Registry) -> Iterator[Row]:
    """Yield the duties that a request's new version changes: the one that it is, and one that it was."""
    received_at = parse_instant(request["received_at"])
    name = f"{request['presystem_id']}/{request['charging_request_id']}"
    new = None if request["is_withdrawn"] else _duty(request, source, registry)
    known = standing.pop(name, None)
    old = None if known is None else _restored(known)
    if new is not None:
        standing[name] = {key: _text(value) for key, value in new.items()}
    moved = old is not None and (new is None or any(new[key] != old[key] for key in ("operating_date", "vehicle_id")))
    if old is not None and moved and old["planned_departure_at"] > received_at:
        yield _row(old, number, received_at, is_deleted=True)
    if new is not None:
        yield _row(new, number, received_at, is_deleted=False)


def _duty(request: Row, source: Source, registry: Registry) -> Row:
    site_id = source.site_id or ""
    vehicle_id = _vehicle(request["vehicle_id"], source, registry)
    if request["requested_departure_at"] is None:
        raise _UnusableError("no_departure", f"{request['charging_request_id']} names no time of departure")
    departure_at = parse_instant(request["requested_departure_at"])
    return {
        "block_id": request["charging_request_id"],
        "operating_date": local_date(departure_at, registry.site(site_id).timezone),
        "site_id": site_id,
        "vehicle_id": vehicle_id,
        "planned_departure_at": departure_at,
        "min_target_soc_pct": float(request["min_target_soc_pct"]),
    }


def _vehicle(name: str, source: Source, registry: Registry) -> str:
    by_ref = registry.vehicle_by_source_ref(source.source_id, name)
    if by_ref is not None:
        return by_ref.vehicle_id
    wanted = name.casefold()
    for vehicle in registry.vehicles:
        if wanted in (vehicle.vehicle_id.casefold(), (vehicle.vin or "").casefold()):
            return vehicle.vehicle_id
    raise _UnusableError("unknown_vehicle", f"{name} is neither a vehicle_id nor a VIN of the configuration")


def _row(duty: Row, number: int, at: datetime, *, is_deleted: bool) -> Row:
    return {RECORD: number, **duty, "is_deleted": is_deleted, "observed_at": at, "available_at": at}


def _read(body: bytes, source: Source) -> tuple[list[Row], int]:
    try:
        answer = json.loads(body)
        return list(answer["requests"]), int(answer["next"])
    except (ValueError, LookupError, TypeError) as error:
        advice = "check that url is the bridge's and that it is of this version"
        raise ProviderError(source.source_id, "GET /charging_requests answered without requests", advice) from error


def _text(value: object) -> object:
    return format_instant(value) if isinstance(value, datetime) else value if isinstance(value, float) else str(value)


def _restored(known: Mapping[str, Any]) -> Row:
    departure_at = parse_instant(known["planned_departure_at"])
    operating_date = datetime.fromisoformat(known["operating_date"]).date()
    return {**known, "planned_departure_at": departure_at, "operating_date": operating_date}
