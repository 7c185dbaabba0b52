"""rFMS 4.0, the truck and bus makers' interface: vehicle statuses and positions, paged two ways.

``fetch`` asks for what the provider has received in a span of time; ``parse`` makes snapshots and positions of it
(fields and units: ``rfms_records``). rFMS has no trips; ``trips_from_snapshots`` makes them of landed snapshots.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import urljoin, urlsplit

from core.settings import secret
from core.time_grid import parse_instant
from ingestion.http import ProviderError, SourceClient
from ingestion.providers.base import JsonObject, Page, Parsed, PayloadError, decode_json
from ingestion.providers.rfms_records import parse_records
from ingestion.registry.models import Source
from ingestion.registry.registry import Registry

FIRST_POLL: Final = timedelta(days=1)  # how far back to go where the source does not say


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An endpoint: path, version to accept, where its records lie in the answer, further parameters."""

    path: str
    accept: str
    envelope: tuple[str, str]
    params: Mapping[str, str]


ENDPOINTS: Final = {
    "vehicles": Endpoint("vehicles", "application/json; rfms=vehicles.v4.0", ("vehicleResponse", "vehicles"), {}),
    "vehiclestatuses": Endpoint(
        "vehiclestatuses",
        "application/json; rfms=vehiclestatuses.v4.0",
        ("vehicleStatusResponse", "vehicleStatuses"),
        {"contentFilter": "SNAPSHOT,UPTIME"},
    ),
    "vehiclepositions": Endpoint(
        "vehiclepositions",
        "application/json; rfms=vehiclepositions.v4.0",
        ("vehiclePositionResponse", "vehiclePositions"),
        {},
    ),
}
HISTORIES: Final = ("vehiclestatuses", "vehiclepositions")


def fetch(client: SourceClient, source: Source, cursor: JsonObject | None, *, as_of: datetime) -> Iterator[Page]:
    """Yield the list of vehicles once a UTC day, then every status and position received before ``as_of``.

    The cursor holds, for each endpoint, where its next request starts: a time, or a page in the middle of a span.

    Raises:
        ingestion.http.ProviderError: the provider failed for good.
        PayloadError: an answer is no whole JSON, or has another form than rFMS 4.0.
    """
    state: dict[str, Any] = dict(cursor or {})
    for page in _vehicles(client, source, state, as_of):
        state = dict(page.cursor)
        yield page
    for name in HISTORIES:
        for page in _history(client, source, ENDPOINTS[name], state, as_of):
            state = dict(page.cursor)
            yield page


def _vehicles(client: SourceClient, source: Source, state: JsonObject, as_of: datetime) -> Iterator[Page]:
    """Page through the fleet by ``lastVin``, where the provider gives no link."""
    today = as_of.astimezone(UTC).date().isoformat()
    if state.get("vehicles_on") == today:
        return
    place: JsonObject | None = {}
    while place is not None:
        body, answer = _ask(client, source, ENDPOINTS["vehicles"], place)
        records = _records(answer, ENDPOINTS["vehicles"], body)
        link = _link(answer)
        place = {"link": link} if link else {"lastVin": records[-1].get("vin")} if _has_more(answer, records) else None
        done = {} if place is not None else {"vehicles_on": today}
        yield Page(body, "vehicles", {**state, **done})


def _history(
    client: SourceClient, source: Source, endpoint: Endpoint, state: JsonObject, as_of: datetime
) -> Iterator[Page]:
    """Page through all that was received until ``as_of``; a span that was cut off is finished first."""
    end_at = as_of.astimezone(UTC).replace(microsecond=0)
    place = state.get(endpoint.path)
    if place is None:
        place = {"starttime": _text((source.start_at or end_at - FIRST_POLL).replace(microsecond=0))}
    while place is not None:
        place = {"stoptime": _text(end_at), **place}
        if "link" not in place and place["starttime"] >= place["stoptime"]:
            return
        body, answer = _ask(client, source, endpoint, place)
        following, goes_on = _next_place(place, answer, _records(answer, endpoint, body))
        yield Page(body, endpoint.path, {**state, endpoint.path: following})
        # After a span that an earlier run began, the rest up to this run's instant is still to be asked for.
        place = following if goes_on or place["stoptime"] < _text(end_at) else None


def _next_place(place: JsonObject, answer: JsonObject, records: Sequence[JsonObject]) -> tuple[JsonObject, bool]:
    """Return where to go on, and whether this span has more pages.

    A provider's link is followed as it is. Without one, the next page starts at the second of the last record: records
    of one second may be cut apart, and what comes twice is told apart on landing. Only where a whole page lies within
    one second does the next one start a second later, as rFMS says. A finished span goes on at the provider's own
    clock, and never after the end that was asked for.
    """
    stop = {"stoptime": place["stoptime"]}
    if link := _link(answer):
        return {"link": link, **stop}, True
    if _has_more(answer, records):
        last = _text(_instant(records[-1].get("receivedDateTime"), "receivedDateTime"))
        start = last if last > str(place.get("starttime", "")) else _text(parse_instant(last) + timedelta(seconds=1))
        return {"starttime": start, **stop}, True
    server = answer.get("requestServerDateTime")
    now = place["stoptime"] if server is None else _text(_instant(server, "requestServerDateTime"))
    return {"starttime": min(now, place["stoptime"])}, False


def _ask(client: SourceClient, source: Source, endpoint: Endpoint, place: JsonObject) -> tuple[bytes, dict[str, Any]]:
    assert source.url is not None
    assert source.credentials.token_env is not None
    headers = {"Accept": endpoint.accept, "Authorization": f"Bearer {secret(source.credentials.token_env)}"}
    if "link" in place:
        url, params = _absolute(source, place["link"]), None
    else:
        url = f"{source.url.rstrip('/')}/{endpoint.path}"
        params = {**endpoint.params, **{key: str(value) for key, value in place.items()}}
    response = client.get(url, params=params, headers=headers)
    answer = decode_json(response.body, f"{source.source_id}: page of {endpoint.path}")
    if not isinstance(answer, dict):
        raise PayloadError(f"{source.source_id}: {endpoint.path} answered no JSON object", body=response.body)
    return response.body, answer


def _absolute(source: Source, link: str) -> str:
    """Return a relative link as a URL of the same host; our credentials go nowhere else."""
    assert source.url is not None
    url = urljoin(source.url, link)
    if urlsplit(url)[:2] != urlsplit(source.url)[:2]:
        raise ProviderError(source.source_id, "moreDataAvailableLink leads to another host", "ask the source's owner")
    return url


def _records(answer: JsonObject, endpoint: Endpoint, body: bytes) -> list[Any]:
    outer, inner = endpoint.envelope
    records = answer[outer].get(inner) if isinstance(answer.get(outer), dict) else None
    if not isinstance(records, list):
        problem = f"the answer has no {outer}.{inner}: is this rFMS 4.0?"
        raise PayloadError(f"{endpoint.path}: {problem} Check url of this source", body=body)
    return records


def _has_more(answer: JsonObject, records: Sequence[object]) -> bool:
    return answer.get("moreDataAvailable") is True and len(records) > 0


def _link(answer: JsonObject) -> str | None:
    link = answer.get("moreDataAvailableLink")
    return str(link) if answer.get("moreDataAvailable") is True and link else None


def _instant(value: object, what: str) -> datetime:
    """Read one of the provider's instants; a missing zone is UTC."""
    try:
        stamp = datetime.fromisoformat(str(value).strip().replace("Z", "+00:00"))
    except ValueError as error:
        raise PayloadError(f"{what} {value!r} is no instant, so paging cannot go on; ask the source's owner") from error
    return stamp.replace(tzinfo=stamp.tzinfo or UTC).astimezone(UTC)


def _text(instant: datetime) -> str:
    """Write an instant as rFMS takes it: whole seconds."""
    return f"{instant.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def parse(page: Page, *, source: Source, registry: Registry, carry: JsonObject) -> Parsed:
    """Turn a page into ``vehicle_snapshot`` and ``vehicle_position`` rows; a page of vehicles only tells strangers.

    Raises:
        PayloadError: the page cannot be read.
    """
    records = _records(decode_json(page.body, page.name), ENDPOINTS[page.name], page.body)
    rows, rejected = parse_records(records, page.name, source=source, registry=registry)
    return Parsed(records, rows, rejected, carry)
