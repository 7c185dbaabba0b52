"""Seeded chaos in proxy mode: whatever is lost in between, the back end hears of every transaction, in order."""

import asyncio
import contextlib
import random

import pytest

from simulator.back_ends.csms import Csms

KEPT = ("StartTransaction", "MeterValues", "StopTransaction")


class Weather:
    """A back end that comes and goes on one port, and is deaf at times."""

    def __init__(self, chance):
        self.chance = chance
        self.csms = Csms(tokens={"TAG-1"})
        self._stack = None

    async def set(self, *, there):
        if self._stack is not None and not there:
            await self._stack.aclose()
            self._stack = None
        elif self._stack is None and there:
            self._stack = contextlib.AsyncExitStack()
            await self._stack.enter_async_context(self.csms.serving(self.csms.port))

    async def change(self):
        turn = self.chance.random()
        if turn < 0.4:
            await self.set(there=self._stack is None)
        elif turn < 0.6:
            self.csms.deaf = {self.chance.choice(KEPT)}
        else:
            self.csms.deaf = set()


class Driver:
    """Drives one station through transactions, and writes down what it told."""

    def __init__(self, station, chance, weather):
        self.station = station
        self.chance = chance
        self.weather = weather
        self.told = []  # (meter start, meter values, meter stop) of each transaction
        self.register = 0

    async def transaction(self):
        await self._steady()
        self.register += self.chance.randint(1, 50)
        begin, values = self.register, []
        await self._repeat(lambda: self.station.start(1, meter=begin))
        for _ in range(self.chance.randint(0, 4)):
            self.register += 10
            value = self.register
            await self._repeat(lambda value=value: self.station.meter(1, {"value": str(value)}))
            values.append(value)
        self.register += 5
        number = self.station.running[1]

        async def stop():
            self.station.running[1] = number
            await self.station.stop(1, meter=self.register)

        await self._repeat(stop)
        self.told.append((begin, values, self.register))

    async def _repeat(self, step):
        """Do what a station does: say it again after a lost connection until it is answered."""
        if self.chance.random() < 0.4:
            await self.weather.change()
        stamp = self.station.now()
        self.station.now = lambda: stamp
        while True:
            try:
                await step()
                return
            except (TimeoutError, ConnectionError, OSError, AssertionError):
                await self._steady()
            finally:
                await asyncio.sleep(0)

    async def _steady(self):
        is_there = self.station._socket is not None and not self.station.closed.is_set()
        if is_there and self.chance.random() < 0.1:
            await self.station.drop()
            is_there = False
        if not is_there:
            await self.station.connect(boot=self.chance.random() < 0.5)
        self.station.now = type(self.station)(self.station.url, "x").now


async def run(kit, tmp_path, seed, transactions):
    chance = random.Random(seed)
    weather = Weather(chance)
    await weather.set(there=True)
    config = kit.config_dict(tmp_path / f"state-{seed}", stations=("CP-1",))
    config["stations"][0]["upstream"] = {"url": weather.csms.url, "retry_max_s": 0.2, "timeout_s": 0.3}
    async with kit.running_bridge(config) as proxy:
        station = proxy.station("CP-1")
        driver = Driver(station, chance, weather)

        for _ in range(transactions):
            await driver.transaction()
        weather.csms.deaf = set()
        await weather.set(there=True)

        async def drained():
            upstream = (await proxy.client.get("/stations")).json()["stations"][0]["upstream"]
            return upstream["connected"] and upstream["waiting"] == 0 and upstream["set_aside"] == 0

        await kit.eventually(drained, 60, lambda: "not all was delivered")
        frames = (await proxy.client.get("/frames")).text
        assert 'event="upstream_kept"' in (await proxy.client.get("/metrics")).text, "no weather at all"
        await station.close()
        await weather.set(there=False)
    assert "RemoteStop" not in frames
    return driver.told, weather.csms


def check(told, csms):
    """Every transaction's start, values and stop came, each of them, in the order in which they were told."""
    first = {}
    for place, one in enumerate(csms.heard):
        payload = one.payload
        if one.action == "StartTransaction":
            first.setdefault(("start", payload["meterStart"]), place)
        elif one.action == "MeterValues":
            first.setdefault(("value", int(payload["meterValue"][0]["sampledValue"][0]["value"])), place)
        elif one.action == "StopTransaction":
            first.setdefault(("stop", payload["meterStop"]), place)
    expected = [
        event
        for begin, values, end in told
        for event in (("start", begin), *(("value", value) for value in values), ("stop", end))
    ]
    missing = [event for event in expected if event not in first]
    assert missing == []
    places = [first[event] for event in expected]
    assert places == sorted(places)


def check_ids(told, csms):
    """What the back end hears under an id is of one transaction alone, as it numbered it."""
    begun = {}
    for one in csms.heard:
        if one.action in ("MeterValues", "StopTransaction"):
            payload = one.payload
            value = payload.get("meterStop") or int(payload["meterValue"][0]["sampledValue"][0]["value"])
            begin = next(begin for begin, values, end in told if value in (*values, end))
            assert begun.setdefault(payload["transactionId"], begin) == begin
            assert payload["transactionId"] < 10_000, "an id that only we gave never reaches the back end"


@pytest.mark.parametrize("seed", [1, 2])
async def test_nothing_that_must_be_told_is_lost(kit, tmp_path, seed):
    told, csms = await run(kit, tmp_path, seed, 8)
    check(told, csms)
    check_ids(told, csms)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(100, 130))
async def test_nothing_that_must_be_told_is_lost_in_long_runs(kit, tmp_path, seed):
    told, csms = await run(kit, tmp_path, seed, 60)
    check(told, csms)
    check_ids(told, csms)
