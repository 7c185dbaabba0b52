"""Operators' overrides: landed as they are decided, read as of an instant, cancelled by a later version.

Nothing is ever changed or deleted: what held at an instant, who decided it and why can be read for ever.
"""

import getpass
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

from core.pseudonyms import keyed_hash
from core.time_grid import format_instant, parse_instant
from orchestration.steps.workplace import Workplace
from planning.overrides import Override, OverrideKind
from planning.site_state import ConnectorKey

SOURCE = "operator"
LIFE = timedelta(hours=12)
"""How long an override holds where nobody says."""

LONGEST = timedelta(days=31)
ACTIONS = "charge-now, out-of-service, departure=INSTANT, target=PERCENT"


class OverrideError(ValueError):
    """An override names nothing that there is, or says nothing that can be done."""


@dataclass(frozen=True, slots=True)
class Decided:
    """An override with its site and its state at an instant."""

    site_id: str
    override: Override
    is_cancelled: bool


def decide(
    workplace: Workplace,
    *,
    subject: str,
    action: str,
    as_of: datetime,
    until: datetime | None = None,
    reason: str | None = None,
) -> Decided:
    """Land an override of a vehicle or a connector (``STATION/NUMBER``) and return it.

    Raises:
        OverrideError: the subject is not configured, the action is none, or it would expire before it begins.
    """
    vehicle_id, connector, site_id = _subject(workplace, subject)
    kind, departure_at, target_pct = _action(action)
    if connector is not None and kind in ("departure", "target"):
        raise OverrideError(f"{kind} belongs to a vehicle; {subject} is a connector")
    end = until or (max(as_of + LIFE, departure_at) if departure_at else as_of + LIFE)
    if not as_of < end <= as_of + LONGEST:
        raise OverrideError(f"it would end at {format_instant(end)}: it must end after now and within 31 days")
    if departure_at is not None and departure_at <= as_of:
        raise OverrideError(f"the departure {format_instant(departure_at)} is in the past")
    digest = hashlib.sha256(f"{subject}|{action}|{format_instant(as_of)}|{format_instant(end)}".encode()).hexdigest()
    override = Override(f"o-{digest[:10]}", kind, as_of, end, vehicle_id, connector, departure_at, target_pct, reason)
    decided = Decided(site_id, override, is_cancelled=False)
    _land(workplace, decided, as_of)
    return decided


def cancel(workplace: Workplace, override_id: str, *, as_of: datetime) -> Decided:
    """Land a version of an override that no longer holds, and return it.

    Raises:
        OverrideError: there is none of that name, or it is over.
    """
    known = {one.override.override_id: one for one in decided_overrides(workplace, as_of=as_of)}
    found = known.get(override_id)
    if found is None:
        raise OverrideError(f"there is no override {override_id}; `depotwise override list` shows those in force")
    if found.is_cancelled or found.override.valid_until_at <= as_of:
        raise OverrideError(f"override {override_id} is over already")
    cancelled = Decided(found.site_id, found.override, is_cancelled=True)
    _land(workplace, cancelled, as_of)
    return cancelled


def decided_overrides(workplace: Workplace, *, as_of: datetime) -> list[Decided]:
    """Return every override known at an instant, the oldest first, with those that are over."""
    rows = workplace.landing.read("override", as_of=as_of).sort("valid_from_at", "override_id")
    return [_decided(row) for row in rows.iter_rows(named=True)]


def overrides_in_force(workplace: Workplace, *, site_id: str, as_of: datetime) -> list[Override]:
    """Return the overrides of a site that hold at an instant."""
    known = decided_overrides(workplace, as_of=as_of)
    return [
        one.override for one in known if one.site_id == site_id and not one.is_cancelled and one.override.holds(as_of)
    ]


def unplanned_sites(workplace: Workplace, *, sites: Sequence[str], as_of: datetime) -> dict[str, str]:
    """Return the sites with a decision that is newer than their latest plan, each with what names that decision."""
    rows = workplace.landing.read("override", as_of=as_of, since=as_of - LONGEST)
    plans = workplace.landing.read("plan", as_of=as_of, since=as_of - timedelta(days=2))
    found = {}
    for site_id in sites:
        decided = rows.filter(pl.col("site_id") == site_id).sort("available_at").tail(1)
        planned = plans.filter(pl.col("site_id") == site_id)["as_of"].max()
        if decided.height and (planned is None or decided["available_at"][0] > planned):
            found[site_id] = f"{decided['override_id'][0]}-{format_instant(decided['available_at'][0])}"
    return found


def _subject(workplace: Workplace, subject: str) -> tuple[str | None, ConnectorKey | None, str]:
    registry = workplace.registry
    for vehicle in registry.vehicles:
        if vehicle.vehicle_id == subject:
            return subject, None, vehicle.site_id
    named = re.fullmatch(r"(.+)/(\d+)", subject)
    station_id, number = (named[1], int(named[2])) if named else (subject, 1)
    connector = registry.connector(station_id, number)
    if connector is None:
        raise OverrideError(f"{subject} is neither a vehicle nor a connector (STATION/NUMBER) of the configuration")
    return None, (station_id, number), connector.site_id


def _action(action: str) -> tuple[OverrideKind, datetime | None, float | None]:
    name, _, value = action.partition("=")
    try:
        match name:
            case "charge-now" if not value:
                return "charge_now", None, None
            case "out-of-service" if not value:
                return "out_of_service", None, None
            case "departure":
                return "departure", parse_instant(value), None
            case "target":
                target_pct = float(value.rstrip("% "))
                if 0 <= target_pct <= 100:
                    return "target", None, target_pct
                raise ValueError(f"a target is 0 to 100 %, not {value}")
    except ValueError as error:
        raise OverrideError(f"{action}: {error}") from error
    raise OverrideError(f"{action} is no action; actions are {ACTIONS}")


def _land(workplace: Workplace, decided: Decided, as_of: datetime) -> None:
    one = decided.override
    station_id, connector_id = one.connector or (None, None)
    row = {
        "override_id": one.override_id,
        "site_id": decided.site_id,
        "vehicle_id": one.vehicle_id,
        "station_id": station_id,
        "connector_id": connector_id,
        "kind": one.kind,
        "departure_at": one.departure_at,
        "target_soc_pct": one.target_soc_pct,
        "valid_from_at": one.valid_from_at,
        "valid_until_at": one.valid_until_at,
        "reason": one.reason,
        "decided_by": keyed_hash(getpass.getuser()),
        "is_cancelled": decided.is_cancelled,
        "observed_at": as_of,
        "available_at": as_of,
        "ingested_at": as_of,
    }
    workplace.landing.append("override", pl.DataFrame([row]), source=SOURCE)


def _decided(row: dict[str, object]) -> Decided:
    keys = ("override_id", "kind", "valid_from_at", "valid_until_at", "vehicle_id", "departure_at", "target_soc_pct")
    connector = None if row["station_id"] is None else (row["station_id"], row["connector_id"])
    override = Override(**{key: row[key] for key in keys}, connector=connector, reason=row["reason"])  # type: ignore[arg-type]
    return Decided(str(row["site_id"]), override, bool(row["is_cancelled"]))
