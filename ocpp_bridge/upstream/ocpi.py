"""Stations of a CPO that speaks OCPI 2.2.1: charging profiles for active sessions, and the sessions that it tells us.

OCPI knows no defaults: a limit is for one running session and dies with it. So there is no fallback, and a connector
counts at its hardware maximum whenever no session of it is known to hold a profile.
"""

import base64
import contextlib
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote

import httpx

from core.settings import secret
from core.time_grid import format_instant, parse_instant
from ocpp_bridge.profiles import Capabilities, ChargingProfile, Slot, Unit
from ocpp_bridge.protocol import Composite, Request, number, read_periods
from ocpp_bridge.station import CallTimeoutError
from ocpp_bridge.upstream.rest import Means, Queued, RestChannel
from ocpp_bridge.upstream.settings import OcpiConfig
from ocpp_bridge.wire import Answer, Payload

RESULT_MARGIN_S: Final = 2.0
RESULT_MAX_S: Final = 300.0
PERIODS_MAX: Final = 96
NO_SESSION: Final = "OCPI sets limits for active sessions only; name the session as transaction_id"
REFUSALS: Final = {
    "NOT_SUPPORTED": "the CPO does not support charging profiles there",
    "REJECTED": "the CPO rejected the profile",
    "UNKNOWN_SESSION": "the CPO knows no active session of that id",
    "UNKNOWN": "the charge point did not say whether it applies the profile",
}


class OcpiProtocol:
    """What the bridge has to say, in OCPI's words."""

    version = "OCPI 2.2.1"

    def probe(self) -> list[Request]:
        """Ask nothing: OCPI tells no capabilities."""
        return []

    def capabilities(self, answers: list[Answer | None], known: Capabilities) -> Capabilities:  # noqa: ARG002
        """Return what OCPI itself can express."""
        return Capabilities(max_periods=PERIODS_MAX, max_stack_level=1)

    def install(self, profile: ChargingProfile) -> Request:
        """Return the profile of a session; of anything else, what cannot be said."""
        if profile.transaction_id is None:
            return "SetChargingProfile", {"connector_id": profile.connector_id}
        schedule: Payload = {
            "start_date_time": format_instant(profile.start_at),
            "charging_rate_unit": profile.unit,
            "charging_profile_period": [
                {"start_period": period.start_s, "limit": period.limit} for period in profile.periods
            ],
        }
        if profile.duration_s is not None:
            schedule["duration"] = profile.duration_s
        return "SetChargingProfile", {
            "connector_id": profile.connector_id,
            "session_id": profile.transaction_id,
            "stack_level": profile.stack_level,
            "charging_profile": schedule,
        }

    def remove(self, profile_id: int, *, connector_id: int, slot: Slot) -> Request:  # noqa: ARG002
        """Return what clears the profile of the connector's session."""
        return "ClearChargingProfile", {"connector_id": connector_id, "slot": slot}

    def read_back(self, connector_id: int, duration_s: int, unit: Unit) -> Request:  # noqa: ARG002  the CPO chooses
        """Return what asks for the session's active profile."""
        return "GetCompositeSchedule", {"connector_id": connector_id, "duration": duration_s}

    def composite(self, answer: Answer) -> Composite | None:
        """Read an active profile, already made relative to the present by the channel."""
        periods = read_periods(answer.payload.get("periods"))
        unit = answer.payload.get("charging_rate_unit")
        return Composite(unit, periods) if periods and unit in ("A", "W") else None


class OcpiChannel(RestChannel):
    """A way to one station through its CPO."""

    def __init__(self, station_id: str, config: OcpiConfig, means: Means) -> None:
        super().__init__(station_id, OcpiProtocol(), means)
        self._config = config
        self._sessions: dict[int, str] = {}
        self._refusals: dict[str, Answer] = {}

    async def _ask(self, request: Request, callback_url: str) -> Answer | Queued:
        action, payload = request
        connector_id = payload["connector_id"]
        if action == "SetChargingProfile":
            return await self._set(connector_id, payload, callback_url)
        session_id = self._sessions.get(connector_id)
        if session_id is None or payload.get("slot", Slot.TRANSACTION) is not Slot.TRANSACTION:
            return Answer("", {"status": "Unknown"})
        params: dict[str, str] = {"response_url": callback_url}
        if action == "ClearChargingProfile":
            return await self._send("DELETE", session_id, params=params)
        return await self._send("GET", session_id, params={**params, "duration": str(payload["duration"])})

    async def _set(self, connector_id: int, payload: Payload, callback_url: str) -> Answer | Queued:
        session_id = payload.get("session_id")
        if session_id is None:
            # What was refused for the session is the reason; that there are no defaults is beside the point.
            known = self._refusals.get(self._sessions.get(connector_id, ""))
            return known or Answer("", {}, "NotSupported", NO_SESSION)
        self._sessions[connector_id] = session_id
        known = self._refusals.get(session_id)
        if known is not None and payload["stack_level"] == 0:
            return known  # stack levels mean nothing here: asking again would only be asking too often
        self._refusals.pop(session_id, None)
        body = {"charging_profile": payload["charging_profile"], "response_url": callback_url}
        outcome = await self._send("PUT", session_id, body=body)
        if isinstance(outcome, Answer):
            self._refusals[session_id] = outcome
        return outcome

    async def _send(
        self, method: str, session_id: str, *, params: dict[str, str] | None = None, body: Payload | None = None
    ) -> Answer | Queued:
        url = f"{self._config.url.rstrip('/')}/{quote(session_id, safe='')}"
        reply = await self._client.request(method, url, params=params, json=body)
        if reply.status_code >= 500:
            raise httpx.HTTPStatusError("it failed", request=reply.request, response=reply)
        envelope = _object(reply)
        status = number(envelope.get("status_code"))
        if reply.status_code >= 400 or status is None or status >= 2000:
            what = envelope.get("status_message") or f"HTTP {reply.status_code}"
            return Answer("", {}, f"OCPI {envelope.get('status_code', reply.status_code)}", str(what)[:200])
        data = envelope.get("data")
        result = data.get("result") if isinstance(data, dict) else None
        if result == "TOO_OFTEN":
            raise CallTimeoutError(f"{self.station_id}: the CPO is asked too often")  # tried again, ever more patiently
        if result != "ACCEPTED" or not isinstance(data, dict):
            return _refusal(str(result))
        within_s = (number(data.get("timeout")) or self._config.timeout_s) + RESULT_MARGIN_S
        return Queued(min(within_s, RESULT_MAX_S))

    def _answer(self, request: Request, body: dict[str, Any]) -> Answer:
        if body.get("result") != "ACCEPTED":
            refusal = _refusal(str(body.get("result")))
            if request[0] == "SetChargingProfile":
                self._refusals[request[1]["session_id"]] = refusal
            return refusal
        profile = body.get("profile")
        if request[0] != "GetCompositeSchedule" or not isinstance(profile, dict):
            return Answer("", {"status": "Accepted"})
        return Answer("", {"status": "Accepted", **_from_now(profile, self._clock.now())})


def client(config: OcpiConfig) -> httpx.AsyncClient:
    """Return an HTTP client that speaks as us to a CPO.

    Raises:
        core.settings.MissingSecretError: our token is not in the environment.
    """
    token = secret(config.token_env)
    shown = token if config.token_encoding == "raw" else base64.b64encode(token.encode()).decode()  # noqa: S105
    headers = {
        "Authorization": f"Token {shown}",
        "OCPI-from-country-code": config.country_code,
        "OCPI-from-party-id": config.party_id,
        "OCPI-to-country-code": config.to_country_code,
        "OCPI-to-party-id": config.to_party_id,
    }
    return httpx.AsyncClient(headers=headers, timeout=config.timeout_s, trust_env=False)


def token_forms(shown: str) -> list[str]:
    """Return the tokens that an Authorization header may mean: decoded, or as it is from older peers."""
    scheme, _, value = shown.partition(" ")
    if scheme.casefold() != "token":
        return []
    forms = [value.strip()]
    with contextlib.suppress(ValueError):
        forms.append(base64.b64decode(value.strip(), validate=True).decode().strip())
    return forms


def _refusal(result: str) -> Answer:
    return Answer("", {}, result, REFUSALS.get(result, "the CPO gave no usable result"))


def _object(reply: httpx.Response) -> dict[str, Any]:
    try:
        body = reply.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _from_now(active: dict[str, Any], now: datetime) -> Payload:
    """Return an ActiveChargingProfile with its periods in seconds from the present."""
    profile = active.get("charging_profile")
    profile = profile if isinstance(profile, dict) else {}
    begin = active.get("start_date_time") or profile.get("start_date_time")
    try:
        ahead_s = (parse_instant(str(begin) if str(begin).endswith("Z") else f"{begin}Z") - now).total_seconds()
    except ValueError:
        ahead_s = 0.0
    raw = profile.get("charging_profile_period")
    periods = [
        {"startPeriod": ahead_s + (number(one.get("start_period")) or 0.0), "limit": one.get("limit")}
        for one in (raw if isinstance(raw, list) else [])
        if isinstance(one, dict)
    ]
    return {"charging_rate_unit": profile.get("charging_rate_unit"), "periods": periods}
