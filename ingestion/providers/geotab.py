"""Geotab's MyGeotab: JSON-RPC over HTTP, with sessions, feeds that go on by version, and errors inside HTTP 200.

``fetch`` logs in once a run and follows three feeds; ``parse`` makes snapshots, positions and trips of their records
(fields and units: ``geotab_records``).
"""

import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Final
from urllib.parse import urlsplit

from core.settings import secret
from core.time_grid import format_instant, to_utc
from ingestion.http import ProviderError, Response, SourceClient, TransientError, retry_after_s
from ingestion.providers.base import JsonObject, Page, Parsed, PayloadError, decode_json
from ingestion.providers.geotab_records import FEEDS, parse_records, record_instant
from ingestion.registry.models import Source
from ingestion.registry.registry import Registry

logger = logging.getLogger(__name__)

FIRST_POLL: Final = timedelta(days=1)  # how far back to go where the source does not say
PAGE_SIZE: Final = 10_000  # the provider allows 50 000; smaller pages are parsed and landed in less memory
OVER_LIMIT: Final = "OverLimitException"
SESSION_ENDED: Final = "InvalidUserException"
NOT_READY: Final = "DbUnavailableException"
LONGEST_ERROR: Final = 64_000  # bytes; a longer answer is data


class SessionEndedError(Exception):
    """The session is no longer valid; logging in again may help, once."""


@dataclass(frozen=True, slots=True)
class Session:
    """Where to send calls, and the credentials that go with each."""

    url: str
    credentials: Mapping[str, Any]


class Caller:
    """Calls the provider's methods within a session that is renewed once when it ends."""

    def __init__(self, client: SourceClient, source: Source) -> None:
        self._client = client
        self._source = source
        self._session: Session | None = None

    def call(self, method: str, params: Mapping[str, Any]) -> Response:
        """Call a method.

        Raises:
            ProviderError: it failed for good, or the session ended twice.
        """
        try:
            return self._call(method, params)
        except SessionEndedError:
            logger.info("%s: session ended; logging in again", self._source.source_id)
            self._session = None
        try:
            return self._call(method, params)
        except SessionEndedError as error:
            raise self._refused() from error

    def _call(self, method: str, params: Mapping[str, Any]) -> Response:
        if self._session is None:
            self._session = self._log_in()
        document = {"method": method, "params": {**params, "credentials": self._session.credentials}}
        return self._client.post_json(self._session.url, document, judge=self._judge)

    def _log_in(self) -> Session:
        """Authenticate, and follow the provider to the server that holds the database."""
        given = self._source.credentials
        assert self._source.url is not None
        assert given.user_env is not None
        assert given.password_env is not None
        names = {"database": given.database, "userName": secret(given.user_env), "password": secret(given.password_env)}
        url = f"{self._source.url.rstrip('/')}/apiv1"
        try:
            response = self._client.post_json(url, {"method": "Authenticate", "params": names}, judge=self._judge)
        except SessionEndedError as error:
            raise self._refused() from error
        result = decode_json(response.body, f"{self._source.source_id}: answer to Authenticate").get("result") or {}
        if not isinstance(result.get("credentials"), dict):
            raise PayloadError(f"{self._source.source_id}: Authenticate gave no credentials", body=response.body)
        return Session(self._server(str(result.get("path", "ThisServer"))), result["credentials"])

    def _server(self, path: str) -> str:
        """Return the URL for calls: the same server, or the host that the provider named."""
        scheme, host = urlsplit(self._source.url or "")[:2]
        if path != "ThisServer":
            if not re.fullmatch(r"[A-Za-z0-9.-]+(:\d+)?", path):
                raise ProviderError(self._source.source_id, "Authenticate named no host to go on at", "ask its owner")
            host = path
        return f"{scheme}://{host}/apiv1"

    def _judge(self, response: Response) -> None:
        """Find the error that an HTTP 200 may hold."""
        if len(response.body) > LONGEST_ERROR or b'"error"' not in response.body:
            return
        answer = decode_json(response.body, f"{self._source.source_id}: an answer")
        error = answer.get("error") if isinstance(answer, dict) else None
        if not isinstance(error, dict):
            return
        name, message = _name_and_message(error)
        if name == OVER_LIMIT:
            raise TransientError(name, status=429, wait_s=retry_after_s(response))
        if name == SESSION_ENDED or (name == NOT_READY and "Initializing" in message):
            raise SessionEndedError(name)
        advice = "look the name up in the provider's documentation, or ask the source's owner"
        raise ProviderError(self._source.source_id, f"the provider answered {name}", advice)

    def _refused(self) -> ProviderError:
        given = self._source.credentials
        advice = f"set valid ones in {given.user_env} and {given.password_env}"
        return ProviderError(self._source.source_id, "the credentials were refused", advice, status=401)


def fetch(client: SourceClient, source: Source, cursor: JsonObject | None, *, as_of: datetime) -> Iterator[Page]:
    """Yield the pages of each feed until it is exhausted.

    The cursor holds the version that each feed goes on from. A feed cannot be asked for "up to ``as_of``": records of
    later events are left to a later run (``Page.later``), and from the first page that holds one the cursor stays.

    Raises:
        ingestion.http.ProviderError: the provider failed for good.
        PayloadError: an answer is no whole JSON, or no feed.
    """
    caller = Caller(client, source)
    state: dict[str, Any] = dict(cursor or {})
    for feed in FEEDS:
        for page in _follow(caller, source, feed, state, as_of):
            state = dict(page.cursor)
            yield page


def _follow(caller: Caller, source: Source, feed: str, state: JsonObject, as_of: datetime) -> Iterator[Page]:
    version, kept = state.get(feed), state.get(feed)
    is_held = False
    while True:
        response = caller.call("GetFeed", _feed_params(source, feed, version, as_of))
        records, version = _feed(response.body, feed)
        later = (as_of, _asked_at(response, as_of))
        ahead = [_is_within(record_instant(record, feed), later) for record in records]
        is_held = is_held or any(ahead)
        kept = kept if is_held else version
        yield Page(response.body, feed, {**state, feed: kept}, later if any(ahead) else None)
        if len(records) < PAGE_SIZE or all(ahead):
            return


def _feed_params(source: Source, feed: str, version: object, as_of: datetime) -> dict[str, Any]:
    params: dict[str, Any] = {"typeName": feed, "resultsLimit": PAGE_SIZE}
    if version is not None:
        return {**params, "fromVersion": version}
    return {**params, "search": {"fromDate": format_instant(source.start_at or as_of - FIRST_POLL)}}


def _feed(body: bytes, feed: str) -> tuple[list[Any], str]:
    answer = decode_json(body, f"page of {feed}")
    result = answer.get("result") if isinstance(answer, dict) else None
    records = result.get("data") if isinstance(result, dict) else None
    if not isinstance(result, dict) or not isinstance(records, list) or "toVersion" not in result:
        raise PayloadError(f"{feed}: the answer is no feed (data, toVersion); check url of this source", body=body)
    return records, str(result["toVersion"])


def _asked_at(response: Response, as_of: datetime) -> datetime:
    """Return when the provider answered, by its own clock; what it dates later than that is a mistake, not news."""
    try:
        return max(as_of, to_utc(parsedate_to_datetime(response.headers.get("date", ""))))
    except ValueError:  # no clock is told; what is dated a little ahead is rather news than wrong
        return as_of + FIRST_POLL


def _is_within(instant: datetime | None, span: tuple[datetime, datetime]) -> bool:
    return instant is not None and span[0] < instant <= span[1]


def _name_and_message(error: Mapping[str, Any]) -> tuple[str, str]:
    """Return an error's name and message, in the older form (``errors[0].name``) or JSON-RPC's (``data.type``)."""
    first: Mapping[str, Any] = next(iter(error.get("errors") or []), {})
    data = error.get("data")
    name = first.get("name") or (data.get("type") if isinstance(data, dict) else None) or "an unnamed error"
    return str(name), str(first.get("message") or error.get("message") or "")


def parse(page: Page, *, source: Source, registry: Registry, carry: JsonObject) -> Parsed:
    """Turn a page of a feed into ``vehicle_snapshot``, ``vehicle_position`` and ``trip`` rows.

    Raises:
        PayloadError: the page cannot be read.
    """
    records, _ = _feed(page.body, page.name)
    if page.later is not None:
        records = [one for one in records if not _is_within(record_instant(one, page.name), page.later)]
    rows, rejected = parse_records(records, page.name, source=source, registry=registry)
    return Parsed(records, rows, rejected, carry)
