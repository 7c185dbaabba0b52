"""The safety invariant as a property: whatever is published, lost, delayed, rebooted or cut off, what all stations
allow together never exceeds the limit, at any instant to come.

The stations are the test's own (``ProfileBook``): they really hold, stack and expire profiles. Time is simulated, the
network loses and delays messages and answers, and the conductor is driven without sockets.
"""

from collections import deque
from datetime import UTC, datetime, timedelta

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from core.publication import Publication
from ocpp_bridge.admission import PublicationRefusedError, check_publication
from ocpp_bridge.clocks import ClockWatch
from ocpp_bridge.conductor import Conductor
from ocpp_bridge.config import BridgeConfig
from ocpp_bridge.desires import Override
from ocpp_bridge.profiles import Capabilities
from ocpp_bridge.protocol_v16 import Ocpp16
from ocpp_bridge.steps import Install, Outcome

START = datetime(2026, 2, 10, 18, 0, tzinfo=UTC)
LIMIT_KW = 40.0
PROTOCOL = Ocpp16()


class Station:
    """A station of one connector, the wire to it, its transaction, and its clock, which may be off."""

    def __init__(self, name, book, max_periods, skew_s):
        self.name = name
        self.skew = timedelta(seconds=skew_s)
        self.clock = ClockWatch()
        self.book = book
        self.book.max_periods = max_periods
        self.online = False
        self.wire = deque()
        self.running = None

    def allowed_kw(self, at):
        return self.book.allowed_kw(1, at + self.skew, self.running)

    def edges(self):
        return {edge - self.skew for edge in self.book.edges()}

    def process(self, step):
        action, payload = (
            PROTOCOL.install(step.held.profile)
            if isinstance(step, Install)
            else PROTOCOL.remove(step.profile_id, connector_id=1, slot=step.slot)
        )
        if action == "ClearChargingProfile":
            self.book.clear(payload["id"])
            return Outcome.ACCEPTED
        status = self.book.install(payload["connectorId"], payload["csChargingProfiles"], self.running)
        return Outcome.ACCEPTED if status == "Accepted" else Outcome.REFUSED


class World:
    """Stations, a lossy network, a clock and the conductor."""

    def __init__(self, kit, count, skews=(0,)):
        names = [f"CP-{k}" for k in range(count)]
        raw = kit.config_dict("unused", stations=names, limit_kw=LIMIT_KW)
        self.config = BridgeConfig.model_validate(raw)
        self.conductor = Conductor(self.config)
        self.stations = {
            name: Station(name, kit.ProfileBook(), max_periods=(5, 24)[k % 2], skew_s=skews[k % len(skews)])
            for k, name in enumerate(names)
        }
        self.now = START
        self.wall_s = 0.0
        self.plans = 0
        self.kit = kit
        for station in self.stations.values():
            self.connect(station)
        self.settle()
        for k, station in enumerate(self.stations.values()):
            if k % 3 != 2:
                station.running = 100 + k
                self.conductor.transaction((station.name, 1), str(station.running))

    # what can happen

    def connect(self, station):
        if not station.online:
            station.online = True
            capabilities = Capabilities(max_periods=station.book.max_periods, max_stack_level=8)
            self.conductor.station_up(station.name, capabilities)

    def drop(self, station, *, arrived):
        """The connection dies; what was on the wire arrived or did not."""
        if station.online:
            while station.wire:
                step = station.wire.popleft()
                if arrived:
                    station.process(step)
            station.online = False
            self.conductor.station_down(station.name, as_of=self.now)

    def reboot(self, station):
        self.drop(station, arrived=False)
        self.connect(station)
        self.conductor.station_booted(station.name)
        station.clock.forget()
        self.conductor.clock_known(station.name, station.clock.bounds)

    def see(self, station):
        if station.online and station.running is not None:
            self.conductor.transaction((station.name, 1), str(station.running))

    def stamp(self, station, age_s):
        """It sends messages under the time of its own clock: one at once, others that are older."""
        if station.online:
            for age in (age_s, age_s, min(age_s, 4.9), age_s, age_s):
                station.clock.note(self.now + station.skew - timedelta(seconds=age), self.now)
            self.conductor.clock_known(station.name, station.clock.bounds)

    def answer(self, station, how):
        if not station.wire or not station.online:
            return
        step = station.wire.popleft()
        if how == "lost":
            self.conductor.outcome(step, Outcome.UNANSWERED, detail="", wall_s=self.wall_s)
            return
        outcome = station.process(step)
        if how == "in time":
            self.conductor.outcome(step, outcome, detail="", wall_s=self.wall_s)
        else:  # the station did it, but its answer is lost or late
            self.conductor.outcome(step, Outcome.UNANSWERED, detail="", wall_s=self.wall_s)
            if how == "late":
                self.conductor.late_answer(step, outcome)

    def publish(self, weights, hours):
        """Publish a plan that fits the limit; entries of idle connectors never go below the fallback."""
        self.plans += 1
        entries = []
        slots = [weights[k : k + len(self.stations)] for k in range(0, len(weights), len(self.stations))]
        slots = [slot for slot in slots if len(slot) == len(self.stations)]
        for k, station in enumerate(self.stations.values()):
            idle = station.running is None
            powers = [self._share(slot, k, idle=idle) for slot in slots] or [4.2]
            entries.append(
                self.kit.entry(station.name, *powers, now=self.now, transaction_id=station.running, max_kw=22)
            )
        document = self.kit.publication(f"plan-{self.plans}", entries, now=self.now, limit_kw=LIMIT_KW, hours=hours)
        publication = Publication.model_validate(document)
        try:
            check_publication(publication, self.config, as_of=self.now)
        except PublicationRefusedError as error:
            raise AssertionError(f"the generator made a plan that is refused: {error}") from error
        self.conductor.publish(publication)

    def _share(self, slot, k, *, idle):
        idles = sum(1 for station in self.stations.values() if station.running is None)
        left = LIMIT_KW - 4.2 * idles
        share = left * slot[k] / max(1, sum(slot))
        return round(min(22.0, share + (4.2 if idle else 0.0)) - 0.0005, 3) if share else (4.2 if idle else 0.0)

    def limit(self, kilowatts, minutes):
        self.conductor.limit(Override(kilowatts, self.now + timedelta(minutes=minutes), "test"))

    def steps(self):
        for step in self.conductor.next_steps(as_of=self.now, wall_s=self.wall_s):
            station = self.stations[step.key[0]]
            assert station.online, "a step for a station that is not there"
            station.wire.append(step)

    def pass_time(self, seconds):
        self.now += timedelta(seconds=seconds)
        self.wall_s += seconds

    def settle(self):
        """Everybody answers until there is nothing left to say."""
        for k, station in enumerate(self.stations.values()):
            self.connect(station)
            self.see(station)
            if k % 2:  # of the others it stays unknown what their clocks show
                self.stamp(station, 1.0)
        for _ in range(60):
            self.pass_time(2)
            self.steps()
            for station in self.stations.values():
                while station.wire:
                    self.answer(station, "in time")
            self.check()

    # what must hold

    def check(self):
        edges = {self.now}
        for station in self.stations.values():
            edges |= {edge for edge in station.edges() if edge > self.now}
        for edge in sorted(edges):
            together = 0.0
            for station in self.stations.values():
                allowed = station.allowed_kw(edge)
                bound = self.conductor.holdings.bound((station.name, 1)).at(edge.timestamp())
                assert allowed <= bound + 1e-6, f"{station.name} allows {allowed} kW at {edge}, counted as {bound}"
                together += allowed
            assert together <= LIMIT_KW + 1e-6, f"{together} kW at {edge} (now {self.now})"


weights = st.lists(st.integers(0, 9), min_size=0, max_size=60)
station_index = st.integers(0, 4)
clocks = st.lists(st.sampled_from([0, 0, 10, 45, 60, -10, -45, -60]), min_size=1, max_size=5)
operations = st.one_of(
    st.tuples(st.just("publish"), weights, st.integers(1, 12)),
    st.tuples(st.just("answer"), station_index, st.sampled_from(["in time", "lost", "answer lost", "late"])),
    st.tuples(st.just("answer"), station_index, st.just("in time")),
    st.tuples(st.just("drop"), station_index, st.booleans()),
    st.tuples(st.just("connect"), station_index),
    st.tuples(st.just("reboot"), station_index),
    st.tuples(st.just("see"), station_index),
    st.tuples(st.just("stamp"), station_index, st.sampled_from([0.0, 0.9, 4.9, 60.0, 5000.0])),
    st.tuples(st.just("limit"), st.sampled_from([0.0, 3.0, 12.0, 30.0]), st.integers(1, 200)),
    st.tuples(st.just("time"), st.sampled_from([0.5, 3.0, 30.0, 61.0, 130.0, 900.0, 4000.0, 30000.0])),
)


def perform(world, operation):
    kind, *details = operation
    if kind == "publish":
        world.publish(*details)
    elif kind == "limit":
        world.limit(*details)
    elif kind == "time":
        world.pass_time(*details)
    else:
        stations = list(world.stations.values())
        station = stations[details[0] % len(stations)]
        if kind == "drop":
            world.drop(station, arrived=details[1])
        elif kind in ("answer", "stamp"):
            getattr(world, kind)(station, details[1])
        else:
            getattr(world, kind)(station)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(2, 5), clocks, st.lists(operations, min_size=5, max_size=60))
@example(2, [0], [("publish", [9, 0], 1), ("time", 30.0), ("publish", [0, 9], 1), ("answer", 1, "in time")])
@example(2, [45, -45], [("publish", [9, 0, 0, 9], 1), ("answer", 0, "in time"), ("answer", 1, "in time")])
def test_what_stations_allow_together_never_exceeds_the_limit(kit, count, skews, happenings):
    world = World(kit, count, skews)
    world.check()
    for operation in happenings:
        perform(world, operation)
        world.check()
        world.steps()
        world.check()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.integers(2, 5), clocks, st.lists(operations, max_size=25), st.lists(st.integers(0, 9), min_size=5, max_size=20)
)
def test_once_all_answer_the_plan_is_what_stations_allow(kit, count, skews, happenings, final_weights):
    world = World(kit, count, skews)
    for operation in happenings:
        perform(world, operation)
        world.steps()
    world.conductor.limit(None)
    world.settle()
    world.publish(final_weights, 6)
    world.settle()
    for line in world.conductor.lines.values():
        station = world.stations[line.key[0]]
        planned = [one for one in line.entry.periods if one.start_at <= world.now][-1].limit_kw
        expected = planned if planned >= 4.14 else 0.0
        allowed = station.allowed_kw(world.now)
        least = expected - 0.08 if station.book.max_periods == 24 else 0.0  # five periods cannot say every plan
        assert least <= allowed <= expected + 1e-6, f"{line.key}: {allowed} kW, planned {planned}"
