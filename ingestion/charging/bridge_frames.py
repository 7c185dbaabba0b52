"""OCPP frames from the bridge: ``GET /frames?after=&limit=``, complete lines, the next cursor in a header."""

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from core.settings import secret
from ingestion.charging.frame_pages import page_of, parse_page
from ingestion.http import ProviderError, SourceClient
from ingestion.providers.base import JsonObject, Page, Parsed
from ingestion.registry.models import Source
from ingestion.registry.registry import Registry

LIMIT: Final = 10_000
NEXT: Final = "x-next-cursor"
FRAMES: Final = "frames"


def fetch(client: SourceClient, source: Source, cursor: JsonObject | None, *, as_of: datetime) -> Iterator[Page]:
    """Yield pages of frames after the cursor ``{"after": …}``, up to ``as_of``.

    Raises:
        ingestion.http.ProviderError: the bridge does not answer, or not as agreed.
        core.settings.MissingSecretError: its token is not in the environment.
    """
    headers = {"Authorization": f"Bearer {secret(source.credentials.token_env or '')}"}
    before: JsonObject = dict(cursor or {})
    while True:
        params = {"limit": str(LIMIT), **({"after": before["after"]} if before.get("after") else {})}
        response = client.get("/frames", params=params, headers=headers)
        if not response.body.strip():
            return
        if NEXT not in response.headers:
            advice = "check that url is the bridge's and that it is of this version"
            raise ProviderError(source.source_id, f"GET /frames answered without {NEXT}", advice)
        after: JsonObject = {"after": response.headers[NEXT]}
        page = page_of(response.body, name=FRAMES, cursor=after, before=before, as_of=as_of)
        yield page
        if page.later is not None or after == before:
            return
        before = after


def parse(page: Page, *, source: Source, registry: Registry, carry: JsonObject) -> Parsed:  # noqa: ARG001 - the protocol's
    """Turn a page of frames into transactions, meter values and statuses."""
    return parse_page(page, registry=registry, carry=carry)
