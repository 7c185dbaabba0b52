"""The one HTTP client of ingestion: time-outs, retries with back-off, a rate limit per source, redacted logs.

Only this module imports httpx. It knows no provider: paging, credentials and what a body means are theirs. A source
that fails for good raises ``ProviderError``, which names the source, what it answered and what to do.
"""

import logging
import re
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from typing import Final

import httpx
import stamina

logger = logging.getLogger(__name__)
stamina.instrumentation.set_on_retry_hooks([])  # we log retries ourselves, redacted; its hooks write to stdout

# Values of these query parameters may be logged; all others (VINs, tokens, keys) may not.
LOGGABLE_PARAMETERS: Final = frozenset(
    {"starttime", "stoptime", "datetype", "latestOnly", "contentFilter", "triggerFilter", "after", "limit", "start_at"}
)
TRANSIENT_STATUSES: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
BURST: Final = 10  # requests that may go out at once after a pause
BUSY_STATUSES: Final = frozenset({429, 503})
ADVICE: Final[Mapping[int, str]] = {
    400: "the request was refused as wrong; check url and start_at of this source",
    401: "the credentials were refused; set a valid secret in the environment variable that the source names",
    403: "the account may not read this; ask the source's owner for access",
    404: "there is nothing at this address; check url of this source",
    406: "the provider does not speak the version that we asked for; ask the source's owner which one it speaks",
    429: "the provider limits how often we may ask; poll less often or ask its owner for a higher limit",
}


class ProviderError(RuntimeError):
    """A source failed for good; the message names the source, what happened and what to do."""

    def __init__(self, source_id: str, problem: str, advice: str, *, status: int | None = None) -> None:
        super().__init__(f"{source_id}: {problem}; {advice}")
        self.source_id = source_id
        self.status = status


class TransientError(Exception):
    """An answer that is worth asking again, after ``wait_s`` seconds where the provider said so."""

    def __init__(self, problem: str, *, status: int | None = None, wait_s: float | None = None) -> None:
        super().__init__(problem)
        self.status = status
        self.wait_s = wait_s


@dataclass(frozen=True, slots=True)
class Response:
    """An answer: status, headers (names in lower case) and the bytes as they came."""

    status: int
    headers: Mapping[str, str]
    body: bytes


Judge = Callable[[Response], None]
"""Looks into a good answer and raises ``TransientError`` where the body itself says "later"."""


@dataclass(frozen=True, slots=True)
class Policy:
    """How patient the client is, and how fast it may ask. ``wait_max_s`` caps what a provider may demand, too."""

    attempts: int = 6
    wait_initial_s: float = 0.5
    wait_max_s: float = 90.0
    total_s: float = 600.0
    connect_timeout_s: float = 10.0
    read_timeout_s: float = 60.0
    requests_per_min: float = 600.0


DEFAULT_POLICY: Final = Policy()


@dataclass(slots=True)
class RateLimit:
    """Spaces the requests of one source evenly after a first few at once; safe to share between threads.

    Providers count by the minute: the usual poll of a few requests need not wait, and a long catch-up keeps its pace.
    """

    requests_per_min: float
    burst: int = BURST
    _full_at_s: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def wait(self) -> None:
        """Sleep until the next request may go out."""
        with self._lock:
            now_s, spacing_s = time.monotonic(), 60.0 / self.requests_per_min
            self._full_at_s = max(now_s, self._full_at_s) + spacing_s
            delay_s = max(0.0, self._full_at_s - now_s - self.burst * spacing_s)
        if delay_s:
            time.sleep(delay_s)


class SourceClient:
    """Asks one source. Transient failures are asked again; what remains is a ``ProviderError``."""

    def __init__(self, client: httpx.Client, source_id: str, policy: Policy) -> None:
        self._client = client
        self._policy = policy
        self._limit = RateLimit(policy.requests_per_min)
        self.source_id = source_id

    def get(
        self,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        judge: Judge | None = None,
    ) -> Response:
        """Get a path below the source's URL, or an absolute URL.

        Raises:
            ProviderError: no good answer after all attempts, or an answer that asking again cannot help.
        """
        return self._send("GET", path, judge=judge, params=params, headers=headers)

    def post_json(self, path: str, document: object, *, judge: Judge | None = None) -> Response:
        """Post a JSON document; otherwise as ``get``. Only for requests that change nothing on the other side."""
        return self._send("POST", path, judge=judge, json=document)

    def _send(self, method: str, path: str, *, judge: Judge | None, **options: object) -> Response:
        request = self._client.build_request(method, path, **options)  # type: ignore[arg-type]  # httpx's own keywords
        place = f"{method} {redact_url(str(request.url))}"
        policy = self._policy
        try:
            for attempt in stamina.retry_context(
                on=self._wait_for,
                attempts=policy.attempts,
                timeout=policy.total_s,
                wait_initial=policy.wait_initial_s,
                wait_max=policy.wait_max_s,
                wait_jitter=policy.wait_initial_s / 2,
            ):
                with attempt:
                    return self._once(request, place, judge)
        except TransientError as error:
            raise self._failure(place, str(error), error.status) from error
        raise AssertionError("the retry loop returns or raises")

    def _once(self, request: httpx.Request, place: str, judge: Judge | None) -> Response:
        self._limit.wait()
        try:
            answer = self._client.send(request)
        except httpx.TransportError as error:
            raise TransientError(f"{type(error).__name__}: {redact_text(str(error))}") from error
        logger.debug("%s: %s → %d, %d bytes", self.source_id, place, answer.status_code, len(answer.content))
        response = Response(answer.status_code, {k.lower(): v for k, v in answer.headers.items()}, answer.content)
        if response.status in TRANSIENT_STATUSES:
            # Only a refusal for too much says how long to wait; an error's rate-limit header speaks of something else.
            wait_s = retry_after_s(response) if response.status in BUSY_STATUSES else None
            raise TransientError(f"HTTP {response.status}", status=response.status, wait_s=wait_s)
        if not answer.is_success:
            raise self._failure(place, f"HTTP {response.status}{_words_of(response)}", response.status)
        if judge is not None:
            judge(response)
        return response

    def _wait_for(self, error: Exception) -> bool | float:
        """Say whether to ask again: never, after the usual back-off, or after the wait that the provider named."""
        if not isinstance(error, TransientError):
            return False
        logger.warning("%s: %s; asking again", self.source_id, error)
        return True if error.wait_s is None else min(error.wait_s, self._policy.wait_max_s)

    def _failure(self, place: str, problem: str, status: int | None) -> ProviderError:
        advice = ADVICE.get(status or 0, "it may recover by itself; if it does not, ask the source's owner")
        return ProviderError(self.source_id, f"{place} failed: {problem}", advice, status=status)


@cache
def tls_context() -> ssl.SSLContext:
    """Return the authorities that clients trust; reading them takes longer than most requests, so it is done once."""
    return httpx.create_ssl_context()


@contextmanager
def open_client(
    source_id: str,
    base_url: str | None,
    *,
    policy: Policy = DEFAULT_POLICY,
    transport: httpx.BaseTransport | None = None,
) -> Iterator[SourceClient]:
    """Open the client of one source; ``transport`` replaces the network in tests.

    Redirects are not followed, so that credentials never travel to another host.
    """
    for chatty in ("httpx", "httpcore"):  # they would log whole URLs, with whatever secret is in them
        logging.getLogger(chatty).setLevel(logging.WARNING)
    timeout = httpx.Timeout(policy.read_timeout_s, connect=policy.connect_timeout_s)
    with httpx.Client(base_url=base_url or "", timeout=timeout, transport=transport, verify=tls_context()) as client:
        yield SourceClient(client, source_id, policy)


def retry_after_s(response: Response) -> float | None:
    """Return how long the provider asks us to wait, in seconds; None where it does not say.

    Understands ``Retry-After`` as whole seconds, fractional seconds or a date, and rFMS's ``X-Rate-Limit-Reset``
    (epoch seconds, read against the provider's own ``Date``).
    """
    said = response.headers.get("retry-after", "").strip()
    if re.fullmatch(r"\d+(\.\d*)?", said):
        return float(said)
    sent_at = _http_date(response.headers.get("date", ""))
    if sent_at is None:
        return None
    reset = response.headers.get("x-rate-limit-reset", "").strip()
    until = datetime.fromtimestamp(int(reset), UTC) if re.fullmatch(r"\d{9,11}", reset) else _http_date(said)
    return None if until is None else max(0.0, (until - sent_at).total_seconds())


def redact_url(url: str) -> str:
    """Return a URL fit for logs: no user information, no query value that is not known to be harmless."""
    parsed = httpx.URL(url)
    place = f"{parsed.scheme}://{parsed.host}{f':{parsed.port}' if parsed.port else ''}{parsed.path}"
    pairs = [f"{k}={v if k in LOGGABLE_PARAMETERS else '…'}" for k, v in parsed.params.multi_items()]
    return f"{place}?{'&'.join(pairs)}" if pairs else place


def redact_text(text: str) -> str:
    """Return a text with every URL in it redacted."""
    return re.sub(r"https?://\S+", lambda match: redact_url(match.group()), text)


def _http_date(text: str) -> datetime | None:
    try:
        stamp = parsedate_to_datetime(text)
    except ValueError:
        return None
    return stamp.astimezone(UTC) if stamp.tzinfo else stamp.replace(tzinfo=UTC)


def _words_of(response: Response) -> str:
    """Return the provider's own error code (rFMS ``error``), never the body at large: it may hold what we sent."""
    match = re.search(rb'"error"\s*:\s*"([A-Za-z]{1,40})"', response.body[:2000])
    return f" ({match.group(1).decode()})" if match else ""
