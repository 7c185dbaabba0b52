"""The HTTP client over real sockets: what is asked again, how long it waits, what it says, what it never says."""

import logging
import time

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from ingestion.http import Policy, ProviderError, RateLimit, open_client, redact_url, retry_after_s
from ingestion.http import Response as Answer

QUICK = Policy(attempts=3, wait_initial_s=0.01, wait_max_s=0.2, requests_per_min=60_000)


@pytest.fixture
def ask(serve):
    """Serve answers one after another; return how to ask, and the times at which requests came."""
    came: list[float] = []

    def start(*answers: Response, policy: Policy = QUICK):
        left = list(answers)

        async def answer(_request: Request) -> Response:
            came.append(time.monotonic())
            return left.pop(0) if len(left) > 1 else left[0]

        url = serve(Starlette(routes=[Route("/{path:path}", answer, methods=["GET", "POST"])]))

        def get(path: str = "/data", **options):
            with open_client("source-1", url, policy=policy) as client:
                return client.get(path, **options)

        return get, came

    return start


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_transient_answers_are_asked_again(ask, status):
    get, came = ask(Response("no", status), PlainTextResponse("yes"))
    assert get().body == b"yes"
    assert len(came) == 2


@pytest.mark.parametrize("status", [400, 401, 403, 404, 406])
def test_what_asking_again_cannot_help_is_not_asked_again(ask, status):
    get, came = ask(Response('{"error": "NoAccess"}', status))
    with pytest.raises(ProviderError, match=rf"^source-1: GET http.* failed: HTTP {status} \(NoAccess\); ") as error:
        get()
    assert error.value.status == status
    assert len(came) == 1


def test_after_all_attempts_the_error_names_source_and_status(ask):
    get, came = ask(Response("no", 503))
    with pytest.raises(ProviderError, match=r"source-1: .* HTTP 503; it may recover by itself"):
        get()
    assert len(came) == 3


@pytest.mark.parametrize("wait", ["0.15", "0.150"])
def test_a_fractional_retry_after_is_kept(ask, wait):
    get, came = ask(Response("no", 429, headers={"Retry-After": wait}), PlainTextResponse("yes"))
    get()
    assert came[1] - came[0] >= 0.15


def test_an_absurd_retry_after_is_capped(ask):
    get, came = ask(Response("no", 429, headers={"Retry-After": "3600"}), PlainTextResponse("yes"))
    get()
    assert came[1] - came[0] < 2


def test_a_closed_port_is_a_clear_error():
    with (
        open_client("source-1", "http://127.0.0.1:9", policy=QUICK) as client,
        pytest.raises(ProviderError, match=r"source-1: .* failed: ConnectError"),
    ):
        client.get("/data")


def test_a_connection_that_breaks_off_is_asked_again(serve):
    sent = []

    def handler(_request: httpx.Request) -> httpx.Response:
        sent.append(1)
        if len(sent) == 1:
            raise httpx.RemoteProtocolError("peer closed connection without sending complete message body")
        return httpx.Response(200, content=b"yes")

    with open_client("source-1", "http://x", policy=QUICK, transport=httpx.MockTransport(handler)) as client:
        assert client.get("/data").body == b"yes"


def test_redirects_are_not_followed(ask):
    get, came = ask(RedirectResponse("http://elsewhere.example/"))
    with pytest.raises(ProviderError, match="HTTP 307"):
        get()
    assert len(came) == 1


def test_a_few_requests_go_out_at_once_and_more_are_spaced():
    limit = RateLimit(requests_per_min=1200, burst=2)
    begin, waited = time.monotonic(), []
    for _ in range(5):
        limit.wait()
        waited.append(time.monotonic() - begin)
    assert waited[1] < waited[2]
    assert waited[2] >= 0.05
    assert waited[4] >= 0.15


def test_nothing_secret_reaches_a_log(ask, caplog):
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, logger="ingestion.http")  # a command that ran in this process may have quieted it
    logging.getLogger("httpx").setLevel(logging.DEBUG)  # as somebody might who looks for a mistake
    get, _ = ask(Response("no", 500), PlainTextResponse("yes"))
    get(
        params={"securityToken": "s3cret-1", "vin": "WDEPT000000000001", "starttime": "2026-01-01T00:00:00Z"},
        headers={"Authorization": "Bearer s3cret-2"},
    )
    assert "starttime=2026-01-01T00:00:00Z" in caplog.text
    assert not [word for word in ("s3cret-1", "s3cret-2", "WDEPT") if word in caplog.text]


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://user:pass@host/a?key=1&limit=5", "https://host/a?key=…&limit=5"),
        ("http://127.0.0.1:99/frames?after=7", "http://127.0.0.1:99/frames?after=7"),
        ("https://host/a", "https://host/a"),
    ],
)
def test_urls_are_redacted(url, shown):
    assert redact_url(url) == shown


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ({"retry-after": "58"}, 58),
        ({"retry-after": "0.40235"}, 0.40235),
        ({"retry-after": "Mon, 02 Feb 2026 00:01:00 GMT", "date": "Mon, 02 Feb 2026 00:00:00 GMT"}, 60),
        ({"x-rate-limit-reset": "1769990430", "date": "Mon, 02 Feb 2026 00:00:00 GMT"}, 30),
        ({"retry-after": "soon"}, None),
        ({"x-rate-limit-reset": "1769990430"}, None),
        ({}, None),
    ],
)
def test_every_way_to_say_later_is_understood(headers, wait_s):
    assert retry_after_s(Answer(429, headers, b"")) == wait_s
