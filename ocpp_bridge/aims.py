"""What every connector should hold, all things considered: the plan, the limits, and who can be told anything.

Works on the conductor's lines and holdings; sends nothing, knows no clock.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from core.publication import Publication
from ocpp_bridge import desires
from ocpp_bridge.config import BridgeConfig
from ocpp_bridge.curves import TOLERANCE_KW, Curve, RunningTotal, minus
from ocpp_bridge.desires import Override, Wish
from ocpp_bridge.holdings import ConnectorKey, Holdings
from ocpp_bridge.lines import Line, Link
from ocpp_bridge.outbox import State
from ocpp_bridge.targets import Demand, share_out

WAITED_FOR_S: Final = 300.0
"""For a clock that is further behind than this, nobody delays a period's beginning."""
Limits = Mapping[str | None, Curve]


@dataclass(frozen=True, slots=True)
class Situation:
    """All that an aim depends on."""

    config: BridgeConfig
    lines: Mapping[ConnectorKey, Line]
    links: Mapping[str, Link]
    holdings: Holdings
    publication: Publication | None
    override: Override | None

    def limits(self) -> dict[str | None, Curve]:
        """Return the limits in force."""
        return desires.limits_kw(self.config, self.publication, self.override)


def aim(situation: Situation, limits: Limits, *, now_s: float) -> None:
    """Set every line's wish to what it should hold; close entries whose transaction is not the running one."""
    is_tried = any(line.trial is not None for line in situation.lines.values())
    if situation.publication is None and situation.override is None and not is_tried:
        for line in situation.lines.values():
            line.wish = None  # nobody asks for anything: the fallbacks fit by configuration
        return
    wishes = {key: _wish(situation, line, now_s) for key, line in situation.lines.items()}
    reachable = [key for key in _by_merit(situation.lines) if _takes_part(situation, key)]
    behind_s = (situation.holdings.clock(key).late_s for key in reachable)
    wait_s = max((late_s for late_s in behind_s if late_s <= WAITED_FOR_S), default=0.0)
    demands = {key: _demand(situation, key, wishes[key], wait_s) for key in reachable}
    shares = share_out(demands, _available(situation, limits, reachable), now_s=now_s)
    for key, line in situation.lines.items():
        line.wish = _granted(situation, line, wishes[key], shares.get(key), now_s)


def _granted(situation: Situation, line: Line, wish: Wish | None, share: Curve | None, now_s: float) -> Wish | None:
    if share is None:
        return None
    clock = situation.holdings.clock(line.key)
    if wish is not None:
        granted = desires.granted(wish, share, clock, now_s=now_s, proven_share=line.proven_share)
        line.is_full = granted.reserved_kw.at(now_s) >= wish.reserved_kw.at(now_s) - TOLERANCE_KW
        return granted
    rest = situation.holdings.rest(line.key)
    transaction_id, wiring = line.transaction_id, line.config.wiring
    return desires.emergency(share, rest, clock, transaction_id=transaction_id, wiring=wiring, now_s=now_s)


def _wish(situation: Situation, line: Line, now_s: float) -> Wish | None:
    if line.trial is not None:
        if now_s < line.trial.until_s:
            return desires.trial_wish(line.trial, line.config, line.transaction_id)
        line.trial = None
    if situation.publication is None or line.entry is None or not line.is_open:
        return None
    wanted = line.entry.transaction_id
    changed = None if wanted is None else _transaction_change(situation, line, str(wanted))
    if changed is not None:
        line.change(State.TRANSACTION_CHANGED, changed)
        return None
    return desires.wish_of(situation.publication, line.entry, line.config)


def _transaction_change(situation: Situation, line: Line, transaction_id: str) -> str | None:
    """Say why an entry's transaction cannot be the running one, or None if it may be."""
    if line.transaction_id is not None:
        same = line.transaction_id == transaction_id
        return None if same else f"transaction {line.transaction_id} is running"
    if line.last_transaction_id == transaction_id:
        return f"transaction {transaction_id} has ended"
    if line.is_idle and situation.links[line.key[0]].is_ready:
        return "no transaction is running"
    return None


def _takes_part(situation: Situation, key: ConnectorKey) -> bool:
    link, line = situation.links[key[0]], situation.lines[key]
    return link.is_ready and not link.is_revoked and (situation.holdings.has_base(key) or line.base_is_refused)


def _by_merit(lines: Mapping[ConnectorKey, Line]) -> list[ConnectorKey]:
    """Order connectors for the case that not all can have their minimum: charging ones first."""
    return sorted(lines, key=lambda key: (lines[key].transaction_id is None, key))


def _demand(situation: Situation, key: ConnectorKey, wish: Wish | None, wait_s: float) -> Demand:
    line, rest, clock = situation.lines[key], situation.holdings.rest(key), situation.holdings.clock(key)
    wiring, share = line.config.wiring, line.proven_share
    least_kw = wiring.least_a * wiring.voltage_v * wiring.lines / 1000 * share
    wanted, patient = desires.courses_kw(wish, rest, clock, wait_s=wait_s, proven_share=share)
    return Demand(wanted, patient, rest, least_kw, situation.holdings.scopes(key))


def _available(situation: Situation, limits: Limits, reachable: Iterable[ConnectorKey]) -> dict[str | None, Curve]:
    """Return what the limits leave beside connectors that cannot be told anything."""
    told = set(reachable)
    others = {scope: RunningTotal() for scope in limits}
    for key in situation.lines:
        if key not in told:
            for scope in situation.holdings.scopes(key):
                if scope in others:
                    others[scope].replace(None, situation.holdings.bound(key))
    return {scope: minus(limits[scope], total.curve()) for scope, total in others.items()}
