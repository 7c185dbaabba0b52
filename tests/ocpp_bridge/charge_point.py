"""A small OCPP 1.6 charge point of our own for tests: raw frames over a real socket, none of the bridge's code.

It really holds, stacks and expires profiles, so that what it would allow at an instant can be compared with a limit.
"""

import asyncio
import base64
import contextlib
import itertools
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed


def parse(text):
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


@dataclass
class ProfileBook:
    """Profiles of one station, by the rules of OCPP 1.6 smart charging."""

    hardware_a: float = 32.0
    voltage_v: float = 230.0
    phases: int = 3
    max_stack_level: int = 8
    max_periods: int = 24
    units: tuple = ("A", "W")
    profiles: list = field(default_factory=list)

    def install(self, connector_id, profile, running):
        purpose = profile["chargingProfilePurpose"]
        schedule = profile["chargingSchedule"]
        if profile["stackLevel"] > self.max_stack_level or schedule["chargingRateUnit"] not in self.units:
            return "Rejected"
        if len(schedule["chargingSchedulePeriod"]) > self.max_periods:
            return "Rejected"
        if schedule["chargingSchedulePeriod"][0]["startPeriod"] != 0:
            return "Rejected"
        if purpose == "TxProfile" and (running is None or profile.get("transactionId") != running):
            return "Rejected"
        if (purpose == "ChargePointMaxProfile") != (connector_id == 0):
            return "Rejected"
        level = profile["stackLevel"]
        self.profiles = [
            (where, old)
            for where, old in self.profiles
            if old["chargingProfileId"] != profile["chargingProfileId"]
            and (where, old["stackLevel"], old["chargingProfilePurpose"]) != (connector_id, level, purpose)
        ]
        self.profiles.append((connector_id, profile))
        return "Accepted"

    def clear(self, profile_id=None, purpose=None):
        kept = [
            (where, one)
            for where, one in self.profiles
            if profile_id not in (None, one["chargingProfileId"])
            or purpose not in (None, one["chargingProfilePurpose"])
        ]
        found = len(kept) < len(self.profiles)
        self.profiles = kept
        return "Accepted" if found else "Unknown"

    def end_transaction(self, connector_id):
        self.profiles = [
            (where, one)
            for where, one in self.profiles
            if where != connector_id or one["chargingProfilePurpose"] != "TxProfile"
        ]

    def limit_a(self, connector_id, at, running):
        """The current per phase that is allowed at an instant."""
        of_transaction = self._best(connector_id, "TxProfile", at) if running is not None else None
        chosen = of_transaction if of_transaction is not None else self._best(connector_id, "TxDefaultProfile", at)
        station = self._best(0, "ChargePointMaxProfile", at)
        return min(limit for limit in (chosen, station, self.hardware_a) if limit is not None)

    def allowed_kw(self, connector_id, at, running):
        return self.limit_a(connector_id, at, running) * self.voltage_v * self.phases / 1000

    def edges(self):
        """Every instant at which something may change."""
        found = set()
        for _, profile in self.profiles:
            schedule = profile["chargingSchedule"]
            start = parse(schedule["startSchedule"])
            found |= {start + timedelta(seconds=one["startPeriod"]) for one in schedule["chargingSchedulePeriod"]}
            if "duration" in schedule:
                found.add(start + timedelta(seconds=schedule["duration"]))
            if "validTo" in profile:
                found.add(parse(profile["validTo"]))
        return found

    def _best(self, connector_id, purpose, at):
        candidates = [
            (profile["stackLevel"], limit)
            for where, profile in self.profiles
            if where == connector_id
            and profile["chargingProfilePurpose"] == purpose
            and (limit := self._limit(profile, at)) is not None
        ]
        return max(candidates)[1] if candidates else None

    def _limit(self, profile, at):
        if "validFrom" in profile and at < parse(profile["validFrom"]):
            return None
        if "validTo" in profile and at >= parse(profile["validTo"]):
            return None
        schedule = profile["chargingSchedule"]
        into = (at - parse(schedule["startSchedule"])).total_seconds()
        if profile["chargingProfileKind"] == "Recurring":
            into %= 86_400
        if into < 0 or ("duration" in schedule and into >= schedule["duration"]):
            return None
        period = [one for one in schedule["chargingSchedulePeriod"] if one["startPeriod"] <= into][-1]
        per_unit = 1.0 if schedule["chargingRateUnit"] == "A" else 1 / (self.voltage_v * period.get("numberPhases", 3))
        return period["limit"] * per_unit


class ChargePoint:
    """A station on a socket. ``silent`` names actions that it never answers."""

    def __init__(self, url, station_id, *, password=None, book=None, now=None, tls=None):
        self.url = f"{url}/ocpp/{station_id}"
        self.station_id = station_id
        self.password = password
        self.book = book or ProfileBook()
        self.now = now or (lambda: datetime.now(UTC))
        self.tls = tls
        self.running = {}
        self.silent = set()
        self.refused = {}
        self.reads_back = True
        self.received = []
        self.answers = {}
        self.closed = asyncio.Event()
        self._ids = itertools.count(1)
        self._socket = None
        self._reader = None

    async def connect(self, *, boot=True, subprotocols=("ocpp1.6",)):
        headers = {}
        if self.password is not None:
            secret = self.password if isinstance(self.password, bytes) else self.password.encode()
            text = base64.b64encode(self.station_id.encode() + b":" + secret).decode()
            headers["Authorization"] = f"Basic {text}"
        self._socket = await connect(
            self.url, subprotocols=list(subprotocols) or None, additional_headers=headers, ssl=self.tls, proxy=None
        )
        self.closed.clear()
        self._reader = asyncio.create_task(self._read())
        if boot:
            answer = await self.call(
                "BootNotification", {"chargePointVendor": "test", "chargePointModel": "raw", "firmwareVersion": "1"}
            )
            assert answer["status"] == "Accepted"
        return self

    async def drop(self):
        """Lose the connection without a close handshake."""
        self._socket.transport.abort()
        await self.closed.wait()

    async def close(self):
        if self._socket is not None:
            await self._socket.close()
            self._reader.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._reader

    async def __aenter__(self):
        return await self.connect()

    async def __aexit__(self, *_):
        await self.close()

    async def send_raw(self, text):
        await self._socket.send(text)

    async def call(self, action, payload, seconds=60.0):
        frame = await self.call_frame(action, payload, seconds)
        assert frame[0] == 3, frame
        return frame[2]

    async def call_frame(self, action, payload, seconds=60.0):
        message_id = f"{self.station_id}-{next(self._ids)}"
        future = asyncio.get_running_loop().create_future()
        self.answers[message_id] = future
        await self._socket.send(json.dumps([2, message_id, action, payload]))
        return await asyncio.wait_for(future, seconds)

    async def status(self, connector_id, status):
        stamp = self.now().isoformat().replace("+00:00", "Z")
        payload = {"connectorId": connector_id, "status": status, "errorCode": "NoError", "timestamp": stamp}
        await self.call("StatusNotification", payload)

    async def start(self, connector_id, id_tag="TAG-1", meter=1000):
        stamp = self.now().isoformat().replace("+00:00", "Z")
        payload = {"connectorId": connector_id, "idTag": id_tag, "meterStart": meter, "timestamp": stamp}
        answer = await self.call("StartTransaction", payload)
        self.running[connector_id] = answer["transactionId"]
        return answer["transactionId"]

    async def stop(self, connector_id, meter=2000):
        transaction_id = self.running.pop(connector_id)
        self.book.end_transaction(connector_id)
        stamp = self.now().isoformat().replace("+00:00", "Z")
        await self.call("StopTransaction", {"transactionId": transaction_id, "meterStop": meter, "timestamp": stamp})

    async def meter(self, connector_id, *sampled):
        stamp = self.now().isoformat().replace("+00:00", "Z")
        payload = {"connectorId": connector_id, "meterValue": [{"timestamp": stamp, "sampledValue": list(sampled)}]}
        if connector_id in self.running:
            payload["transactionId"] = self.running[connector_id]
        await self.call("MeterValues", payload)

    def installed(self, purpose=None):
        """SetChargingProfile requests received, newest last."""
        found = [payload for action, payload in self.received if action == "SetChargingProfile"]
        if purpose is None:
            return found
        return [one for one in found if one["csChargingProfiles"]["chargingProfilePurpose"] == purpose]

    def allowed_kw(self, connector_id, at=None):
        return self.book.allowed_kw(connector_id, at or self.now(), self.running.get(connector_id))

    async def _read(self):
        try:
            async for text in self._socket:
                frame = json.loads(text)
                if frame[0] == 2:
                    await self._handle(frame)
                elif frame[1] in self.answers:
                    self.answers.pop(frame[1]).set_result(frame)
        except ConnectionClosed:
            pass
        finally:
            self.closed.set()

    async def _handle(self, frame):
        _, message_id, action, payload = frame
        self.received.append((action, payload))
        if action in self.silent:
            return
        answer = self._answer(action, payload)
        with contextlib.suppress(ConnectionClosed):
            if answer is None:
                await self._socket.send(json.dumps([4, message_id, "NotImplemented", "", {}]))
            else:
                await self._socket.send(json.dumps([3, message_id, answer]))

    def _answer(self, action, payload):
        if action in self.refused:
            return self.refused[action](payload) if callable(self.refused[action]) else self.refused[action]
        if action == "GetConfiguration":
            values = {
                "ChargeProfileMaxStackLevel": str(self.book.max_stack_level),
                "ChargingScheduleAllowedChargingRateUnit": ",".join(
                    {"A": "Current", "W": "Power"}[unit] for unit in self.book.units
                ),
                "ChargingScheduleMaxPeriods": str(self.book.max_periods),
            }
            return {
                "configurationKey": [
                    {"key": key, "readonly": True, "value": values[key]} for key in payload["key"] if key in values
                ],
                "unknownKey": [key for key in payload["key"] if key not in values],
            }
        if action == "SetChargingProfile":
            connector_id, profile = payload["connectorId"], payload["csChargingProfiles"]
            return {"status": self.book.install(connector_id, profile, self.running.get(connector_id))}
        if action == "ClearChargingProfile":
            return {"status": self.book.clear(payload.get("id"), payload.get("chargingProfilePurpose"))}
        if action == "GetCompositeSchedule" and self.reads_back:
            return self._composite(payload)
        return None

    def _composite(self, payload):
        connector_id, now = payload["connectorId"], self.now()
        end = now + timedelta(seconds=payload["duration"])
        edges = [now, *sorted(edge for edge in self.book.edges() if now < edge < end)]
        running = self.running.get(connector_id)
        periods = [
            {
                "startPeriod": int((edge - now).total_seconds()),
                "limit": round(self.book.limit_a(connector_id, edge, running), 1),
            }
            for edge in edges
        ]
        schedule = {"duration": payload["duration"], "chargingRateUnit": "A", "chargingSchedulePeriod": periods}
        return {"status": "Accepted", "connectorId": connector_id, "chargingSchedule": schedule}
