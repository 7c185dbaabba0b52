"""Stations behind CitrineOS: OCPP requests through its message API, the stations' answers at a callback address.

``200`` with ``success: true`` only means queued; ``success: false`` means that the station is not connected there.
"""

from collections.abc import Mapping
from typing import Any, Final

import httpx

from core.settings import secret
from ocpp_bridge.protocol import OcppProtocol, Request
from ocpp_bridge.station import ConnectionLostError
from ocpp_bridge.upstream.rest import Means, Queued, RestChannel
from ocpp_bridge.upstream.settings import CitrineOsConfig
from ocpp_bridge.wire import Answer

MODULES: Final[Mapping[str, str]] = {
    "SetChargingProfile": "smartcharging",
    "ClearChargingProfile": "smartcharging",
    "GetCompositeSchedule": "smartcharging",
    "GetConfiguration": "configuration",
    "GetVariables": "monitoring",
}


def client(config: CitrineOsConfig) -> httpx.AsyncClient:
    """Return an HTTP client for a CitrineOS.

    Raises:
        core.settings.MissingSecretError: its token is not in the environment.
    """
    headers = {} if config.token_env is None else {"Authorization": f"Bearer {secret(config.token_env)}"}
    return httpx.AsyncClient(base_url=config.url, headers=headers, timeout=config.timeout_s, trust_env=False)


class CitrineOsChannel(RestChannel):
    """A way to one station through CitrineOS."""

    def __init__(self, station_id: str, protocol: OcppProtocol, config: CitrineOsConfig, means: Means) -> None:
        super().__init__(station_id, protocol, means)
        self._config = config

    async def _ask(self, request: Request, callback_url: str) -> Answer | Queued:
        action, payload = request
        reply = await self._client.post(
            self._path(action),
            params={
                "identifier": self.station_id,
                "tenantId": self._config.tenant_id,
                "callbackUrl": callback_url,
            },
            json=payload,
        )
        if reply.status_code >= 500:
            raise httpx.HTTPStatusError("it failed", request=reply.request, response=reply)
        if reply.status_code >= 400:
            return Answer("", {}, f"HTTP {reply.status_code}", reply.text[:200])
        confirmations = reply.json()
        first = confirmations[0] if isinstance(confirmations, list) and confirmations else confirmations
        if not isinstance(first, dict) or first.get("success") is not True:
            reason = first.get("payload") if isinstance(first, dict) else None
            raise ConnectionLostError(f"CitrineOS: {reason if isinstance(reason, str) else 'not queued'}"[:200])
        return Queued(self._config.timeout_s)

    def _answer(self, request: Request, body: dict[str, Any]) -> Answer:  # noqa: ARG002  the body says it all
        code = body.get("errorCode")
        if isinstance(code, str):
            return Answer("", {}, code, str(body.get("errorDescription", "")))
        return Answer("", body)

    def _path(self, action: str) -> str:
        module = MODULES[action]
        prefix = self._config.prefixes.get(module, module).strip("/")
        return f"/ocpp/{self._config.version}/{prefix}/{action[0].lower()}{action[1:]}"
