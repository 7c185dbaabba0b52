"""Stations of ``simulator.personalities`` as a back end meets them: calls are taken in in the order of their coming."""

import asyncio
import json
from typing import Any

from websockets.asyncio.server import ServerConnection, serve

from simulator.personalities.catalogue import PERSONALITIES
from simulator.personalities.station import Fate, Station

ENDS = ("2030-01-01T00:00:00Z", "2030-01-02T00:00:00Z", "2030-01-03T00:00:00Z")


def profile_call(number: int, end: str) -> str:
    """Return a SetChargingProfile of OCPP 1.6 that ends at an instant."""
    profile: dict[str, Any] = {
        "chargingProfileId": 1,
        "stackLevel": 1,
        "chargingProfilePurpose": "TxDefaultProfile",
        "chargingProfileKind": "Absolute",
        "validTo": end,
        "chargingSchedule": {
            "startSchedule": "2020-01-01T00:00:00Z",
            "chargingRateUnit": "A",
            "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 10.0}],
        },
    }
    return json.dumps([2, str(number), "SetChargingProfile", {"connectorId": 1, "csChargingProfiles": profile}])


async def test_a_call_that_the_network_delays_is_not_overtaken_by_a_newer_one() -> None:
    answered: list[str] = []
    done = asyncio.Event()

    async def back_end(socket: ServerConnection) -> None:
        for number, end in enumerate(ENDS):
            await socket.send(profile_call(number, end))
        async for text in socket:
            frame = json.loads(text)
            if frame[0] == 2:
                await socket.send(json.dumps([3, frame[1], {}]))
            else:
                answered.append(frame[1])
            if len(answered) == len(ENDS):
                done.set()

    fates = iter([Fate(before_s=0.2, after_s=0.2), Fate(before_s=0.05), Fate()])
    async with serve(back_end, "127.0.0.1", 0, subprotocols=["ocpp1.6"]) as server:  # type: ignore[list-item]
        port = server.sockets[0].getsockname()[1]
        station = Station(f"ws://127.0.0.1:{port}", "CP-1", PERSONALITIES["libocpp"])
        station.network = lambda _: next(fates)
        try:
            await station.connect("1.6", boots=False)
            await asyncio.wait_for(done.wait(), 10)
        finally:
            await station.close()
    assert tuple(station.ends) == ENDS
    assert answered == ["1", "2", "0"], "answers may overtake"
