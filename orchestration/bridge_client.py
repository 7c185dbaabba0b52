"""What we ask of a site's bridge over its local HTTP: publish, look, wait for events.

The one place outside ingestion that speaks HTTP; frames are read by ingestion, like any log.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import httpx

from core.publication import Publication
from core.settings import secret
from ingestion.http import tls_context
from ingestion.registry.models import Bridge

SETTLED = frozenset({"accepted", "verified", "rejected", "expired", "superseded", "transaction_changed"})


class BridgeError(RuntimeError):
    """The bridge could not be reached, or refused; chargers go on with what they hold."""


@dataclass(frozen=True, slots=True)
class BridgeClient:
    """A connection to one bridge; use as a context manager."""

    url: str
    http: httpx.Client

    @classmethod
    def open(cls, bridge: Bridge, *, timeout_s: float = 10.0) -> Self:
        """Connect to a configured bridge.

        Raises:
            core.settings.MissingSecretError: its token is not in the environment.
        """
        headers = {"Authorization": f"Bearer {secret(bridge.token_env)}"}
        http = httpx.Client(base_url=bridge.url, headers=headers, timeout=timeout_s, verify=tls_context())
        return cls(bridge.url, http)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()

    def publish(self, publication: Publication) -> bool:
        """Hand a publication over; return whether it is new to the bridge.

        Raises:
            BridgeError: refused (with its reasons), or not reached.
        """
        response = self._ask("PUT", f"/publications/{publication.plan_id}", content=publication.to_json())
        if response.status_code in (200, 202):
            return response.status_code == 202
        raise BridgeError(f"the bridge at {self.url} refused plan {publication.plan_id}: {_reasons(response)}")

    def publication(self, plan_id: str) -> Mapping[str, Any]:
        """Return what became of a publication's connectors.

        Raises:
            BridgeError: not known there, or not reached.
        """
        return self._json("GET", f"/publications/{plan_id}")

    def events(self, after: str | int | None, *, wait_s: float = 0.0) -> Mapping[str, Any]:
        """Return events after a cursor, waiting for the first if there is none yet.

        Raises:
            BridgeError: not reached.
        """
        query = {"wait_s": str(wait_s)} | ({} if after is None else {"after": str(after)})
        return self._json("GET", "/events", params=query)

    def stations(self) -> list[Mapping[str, Any]]:
        """Return the stations, their connectors, limits and power.

        Raises:
            BridgeError: not reached.
        """
        found: list[Mapping[str, Any]] = self._json("GET", "/stations")["stations"]
        return found

    def _json(self, method: str, path: str, **request: Any) -> Mapping[str, Any]:  # noqa: ANN401 (httpx's options)
        response = self._ask(method, path, **request)
        if response.is_error:
            raise BridgeError(
                f"the bridge at {self.url} answered {response.status_code} to {path}: {_reasons(response)}"
            )
        document: Mapping[str, Any] = response.json()
        return document

    def _ask(self, method: str, path: str, **request: Any) -> httpx.Response:  # noqa: ANN401 (httpx's options)
        try:
            return self.http.request(method, path, **request)
        except httpx.HTTPError as error:
            raise BridgeError(
                f"the bridge at {self.url} cannot be reached ({error}); chargers keep what they hold. Is it running?"
            ) from error


def _reasons(response: httpx.Response) -> str:
    try:
        errors = response.json().get("errors", [])
    except ValueError:
        return response.text[:200]
    return "; ".join(f"{error['path']}: {error['message']}" for error in errors) or response.text[:200]
