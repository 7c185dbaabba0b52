"""Every personality through connect, plan, re-plan, drop, reboot, expire and revoke, against the real bridge.

Each step asserts what must hold whoever the station is (what it allows is never more than what the bridge counts, no
transaction is stopped, what an obedient station accepted is what it allows), and says in a few words what came of it.
The words make the table in docs/ocpp.md.
"""

import asyncio
import re
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.bridge.documents import FALLBACK_KW, HARDWARE_KW
from benchmarks.bridge.scene import Scene, scene
from simulator.personalities.catalogue import PERSONALITIES
from simulator.personalities.traits import DEFAULT, MAXIMUM, TRANSACTION, Personality

STEPS = ("connect", "plan", "re-plan", "drop", "reboot", "expire", "revoke")
BEGIN, END = "<!-- personalities -->", "<!-- /personalities -->"
DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "ocpp.md"
FORBIDDEN = ("RemoteStopTransaction", "RequestStopTransaction", "Reset", "UnlockConnector", "ChangeAvailability")
OURS = range(71_000_000, 72_000_000)


@dataclass(frozen=True, slots=True)
class Row:
    """One personality in one OCPP version, and what came of each step."""

    personality: Personality
    version: str
    cells: dict[str, str]

    def text(self) -> str:
        """Return the row of the table."""
        return " | ".join(["", self.personality.name, self.version, *(self.cells[step] for step in STEPS), ""]).strip()


@dataclass(slots=True)
class Trial:
    """One row while it is being tried."""

    scene: Scene
    version: str

    @property
    def personality(self) -> Personality:
        """Who is tried."""
        return self.scene.station.personality

    @property
    def is_deaf(self) -> bool:
        """No profile can be set."""
        personality = self.personality
        return personality.refuses_profiles or self.version in personality.not_implemented_in

    @property
    def takes_base(self) -> bool:
        """A fallback can be set."""
        return bool({DEFAULT, MAXIMUM} & self.personality.purposes) and not self.is_deaf

    @property
    def takes_plan(self) -> bool:
        """A plan can be set without replacing the fallback."""
        personality = self.personality
        return self.takes_base and (TRANSACTION in personality.purposes or personality.max_level > 0)

    async def connect(self) -> str:
        """It comes for the first time."""
        station = self.scene.station
        await station.connect(self.version)

        async def has_base() -> bool:
            return (await self.scene.seen())["connector"]["limit_kw"] is not None

        async def refused() -> bool:
            return any(
                station.station_id in one and "refused its fallback" in one for one in await self.scene.reasons()
            )

        await self.scene.until(has_base if self.takes_base else refused, "neither a fallback nor a complaint")
        if not self.takes_base:
            assert (await self.scene.seen())["connector"]["may_hold_kw"] == HARDWARE_KW
            return f"refuses the fallback: counts at {HARDWARE_KW:.0f} kW"
        if self.personality.follows:
            assert 0 < station.allowed_kw() <= FALLBACK_KW
        return "fallback"

    async def plan(self) -> str:
        """A plan for its transaction."""
        await self.scene.station.plug_in()
        one_phase = 1 if self.personality.ignores_phases else None
        return await self._try_plan(11.0 / (3 if one_phase else 1), vehicle_phases=one_phase)

    async def replan(self) -> str:
        """A pause, and then another plan."""
        found = await self.scene.publish(0.0)
        if self._obeys(found["state"]):
            assert self.scene.station.allowed_kw() == 0
        return await self._try_plan(6.9)

    async def drop(self) -> str:
        """Its network goes and comes back."""
        await self.scene.station.drop()
        await self.scene.station.connect(self.version, boots=False)
        return await self._return(9.0)

    async def reboot(self) -> str:
        """It starts anew, as after a power cut."""
        await self.scene.station.reboot(self.version)
        return await self._return(8.0)

    async def expire(self) -> str:
        """No new plan comes."""
        station = self.scene.station
        ends_at_s = self.scene.valid_until_s
        self.scene.jump(ends_at_s + 125 - self.scene.now_s())
        found = await self.scene.delivery()

        async def is_over() -> bool:
            return (await self.scene.delivery())["state"] in ("expired", found["state"])

        await self.scene.until(is_over, "the plan did not expire")
        await self._check()
        if not self.takes_base:
            return f"counts at {HARDWARE_KW:.0f} kW"
        assert not self.personality.follows or station.allowed_kw() <= FALLBACK_KW
        return "fallback"

    async def revoke(self) -> str:
        """We leave."""
        station = self.scene.station
        answer = await self.scene.client.post("/revoke", json={"station_id": station.station_id})
        cleared = answer.json()["cleared"]
        left = [one for one in station.book.profiles if one.profile_id in OURS]
        if cleared:
            assert left == [], "it was called cleared"
        await self._check()
        await station.unplug()

        async def is_over() -> bool:
            return (await self.scene.seen())["connector"]["transaction_id"] is None

        await self.scene.until(is_over, "the transaction's end did not arrive")
        if cleared:
            return "cleared"
        assert any(station.station_id in one and "clear" in one for one in await self.scene.reasons())
        return "told: cannot be cleared"

    # --- parts -----------------------------------------------------------------------------------------------------

    async def _return(self, power_kw: float) -> str:
        """It is back: its transaction goes on, and the next plan reaches it."""
        station = self.scene.station
        await station.report_meter()
        seen = (await self.scene.seen())["connector"]["transaction_id"]
        assert str(seen) == station.running(1), f"{seen} is not the transaction that runs"
        await self._check()
        return await self._try_plan(power_kw)

    async def _try_plan(self, power_kw: float, *, vehicle_phases: int | None = None) -> str:
        station = self.scene.station
        found = await self.scene.publish(power_kw, power_kw * 0.9, vehicle_phases=vehicle_phases)
        if self._obeys(found["state"]):
            most_kw = power_kw * (3 if vehicle_phases == 1 else 1)  # one that ignores phases counts for all
            is_stuck = self.personality.sticks_at_zero and station.allowed_kw() == 0
            assert is_stuck or most_kw * 0.97 - 0.1 <= station.allowed_kw() <= most_kw + 1e-6, station.allowed_kw()
        assert (found["state"] == "rejected") == (not self.takes_plan), found
        await self._meter()
        found = await self.scene.delivery()
        await self._check()
        if found["state"] == "rejected":
            return f"rejected: {found['detail']}"
        complaint = [one for one in await self.scene.reasons() if station.station_id in one]
        if not self.personality.follows:
            assert any("metered" in one for one in complaint), "the liar was not found out"
            return "alarm: metered above the limit"
        return f"{found['state']} ({found['evidence']})" + (f", {_plain(found['detail'])}" if found["detail"] else "")

    async def _meter(self) -> None:
        for seconds in (1, 70, 60, 60, 60, 60):  # three are enough, if none is missed
            self.scene.jump(seconds)
            await self.scene.station.report_meter()

    def _obeys(self, state: str) -> bool:
        return self.personality.follows and state in ("accepted", "verified")

    async def _check(self) -> None:
        """Check what holds at any time, for any station that does not lie."""
        station = self.scene.station
        called = [action for action, _ in station.heard if action in FORBIDDEN]
        assert called == [], f"{station.station_id} was told to {called}"
        assert 1 in station.sessions
        may_hold_kw = (await self.scene.seen())["connector"]["may_hold_kw"]
        if self.personality.follows:
            assert station.allowed_kw() <= may_hold_kw + 1e-3, f"allows {station.allowed_kw()}, counts {may_hold_kw}"


def _plain(detail: str) -> str:
    return re.sub(r"\d+(\.\d+)?", "…", detail)


async def try_out(personality: Personality, version: str, folder: Path) -> Row:
    """Take a personality through all steps.

    Raises:
        AssertionError: something does not hold.
    """
    cells = dict.fromkeys(STEPS, "")
    async with scene(personality, folder) as found:
        if not personality.subprotocols(version):
            cells["connect"] = await _without_subprotocol(found)
            return Row(personality, version, cells)
        trial = Trial(found, version)
        does: Sequence[Callable[[], Awaitable[str]]] = (
            trial.connect,
            trial.plan,
            trial.replan,
            trial.drop,
            trial.reboot,
            trial.expire,
            trial.revoke,
        )
        for step, do in zip(STEPS, does, strict=True):
            cells[step] = await do()
    return Row(personality, version, cells)


async def _without_subprotocol(found: Scene) -> str:
    try:
        await found.station.connect()
    except ConnectionError:
        assert "Sec-WebSocket-Protocol" in found.station.close_reason
        return "closed, told what to offer"
    raise AssertionError("a station without subprotocol was let in")


def trials() -> list[tuple[Personality, str]]:
    """Return every personality with each version that it speaks; one that hops is one trial."""
    return [
        (one, version) for one in PERSONALITIES.values() for version in (one.versions[:1] if one.hops else one.versions)
    ]


def table(rows: Sequence[Row]) -> str:
    """Return the table of the documentation."""
    head = " | ".join(["| station", "OCPP", *STEPS]) + " |"
    return "\n".join([head, "|" + "---|" * (len(STEPS) + 2), *(row.text() for row in rows)])


def write_table(rows: Sequence[Row]) -> None:
    """Put the table between its markers in docs/ocpp.md."""
    text = DOCUMENT.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    DOCUMENT.write_text(f"{before}{BEGIN}\n{table(rows)}\n{END}{after}", encoding="utf-8")


async def try_all() -> list[Row]:
    """Try out all of them, a few at a time."""
    turn = asyncio.Semaphore(4)
    with tempfile.TemporaryDirectory() as folder:

        async def one(personality: Personality, version: str) -> Row:
            async with turn:
                return await try_out(personality, version, Path(folder) / f"{personality.name}-{version}")

        return list(await asyncio.gather(*(one(*trial) for trial in trials())))
