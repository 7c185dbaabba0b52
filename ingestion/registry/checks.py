"""What no entry can say alone: references, duplicates, overlapping validity, and sums against limits.

Each check takes the folder and yields mistakes; ``CROSS_CHECKS`` lists them all.
"""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Final, TypeVar
from zoneinfo import ZoneInfo

from ingestion.registry.files import KeyPath
from ingestion.registry.loading import Folder, Located, Section
from ingestion.registry.mistakes import Mistake
from ingestion.registry.models import Assignment, Connector, Entry, Site, Token

E = TypeVar("E", bound=Entry)
Mistakes = Iterator[Mistake]

END_OF_TIME: Final = datetime.max.replace(tzinfo=UTC)
TOLERANCE_KW: Final = 1e-6


def check_duplicates(folder: Folder) -> Mistakes:
    """Nothing may be declared twice."""
    yield from _twice(folder.sites, lambda site: site.site_id, "site_id")
    yield from _twice(folder.sources, lambda source: source.source_id, "source_id")
    yield from _twice(folder.connectors, lambda one: (one.station_id, one.connector_id), "connector_id")
    yield from _twice(folder.vehicles, lambda vehicle: vehicle.vehicle_id, "vehicle_id")
    yield from _twice(folder.vehicles, lambda vehicle: vehicle.vin, "vin")
    yield from _twice(folder.vehicles, lambda one: one.source_id and (one.source_id, one.source_ref), "source_ref")
    yield from _twice(folder.duties, lambda duty: (duty.block_id, duty.operating_date, duty.vehicle_id), "block_id")


def check_groups(folder: Folder) -> Mistakes:
    """A group belongs to one site, and a connector's group to its own site."""
    sites = {site.site_id: site for site in folder.sites.entries}
    for located in folder.sites.located:
        names = [group.group_id for group in located.entry.groups]
        for k, name in enumerate(names):
            if name in names[:k]:
                path: KeyPath = ("groups", k, "group_id")
                yield located.raw.mistake(path, f"group {name} is given twice", "Give each group its own group_id")
    for one in folder.connectors.located:
        site = sites.get(one.entry.site_id)
        if site is None or one.entry.group_id is None:
            continue
        groups = [group.group_id for group in site.groups]
        if one.entry.group_id not in groups:
            yield _unknown(one, "group_id", f"group of site {site.site_id}", groups)


def check_references(folder: Folder) -> Mistakes:
    """Every name that is used is declared."""
    sites, vehicles, sources = folder.sites.names, folder.vehicles.names, folder.sources.names
    yield from _undeclared(folder.sources, "site_id", "site", sites)
    yield from _undeclared(folder.connectors, "site_id", "site", sites)
    yield from _undeclared(folder.vehicles, "site_id", "site", sites)
    yield from _undeclared(folder.vehicles, "source_id", "source", sources)
    yield from _undeclared(folder.tokens, "vehicle_id", "vehicle", vehicles)
    yield from _undeclared(folder.assignments, "vehicle_id", "vehicle", vehicles)
    yield from _undeclared(folder.duties, "vehicle_id", "vehicle", vehicles)
    yield from _undeclared(folder.duties, "site_id", "site", sites)


def check_home_bays(folder: Folder) -> Mistakes:
    """A vehicle's bay is a connector of its own site."""
    places = {(one.station_id, one.connector_id): one.site_id for one in folder.connectors.entries}
    for located in folder.vehicles.located:
        vehicle = located.entry
        if vehicle.home_station_id is None:
            continue
        if vehicle.home_station_id not in folder.connectors.names:
            yield _unknown(located, "home_station_id", "station", sorted(folder.connectors.names))
            continue
        place = places.get((vehicle.home_station_id, vehicle.home_connector_id or 0))
        # A connector or site that is wrong itself is told elsewhere, once.
        is_elsewhere = place != vehicle.site_id and {place, vehicle.site_id} <= folder.sites.names
        if is_elsewhere or (place is None and not folder.connectors.mistakes):
            bay = f"connector {vehicle.home_connector_id} of station {vehicle.home_station_id}"
            problem = f"{bay} is no connector of site {vehicle.site_id}"
            yield located.raw.mistake(("home_connector_id",), problem, "Name a bay of the vehicle's own site")


def check_stations(folder: Folder) -> Mistakes:
    """A station stands on one site."""
    first: dict[str, Connector] = {}
    for located in folder.connectors.located:
        one = first.setdefault(located.entry.station_id, located.entry)
        if one.site_id != located.entry.site_id:
            problem = f"station {one.station_id} is on site {one.site_id} and on site {located.entry.site_id}"
            yield located.raw.mistake(("site_id",), problem, "Put all connectors of a station on one site")


def check_fallbacks(folder: Folder) -> Mistakes:
    """What all connectors fall back to fits under the lowest limit of the site, and under each group's."""
    for located in folder.sites.located:
        site = located.entry
        connectors = [one for one in folder.connectors.entries if one.site_id == site.site_id]
        yield from _above(located, ("import_limit",), site.lowest_import_limit_kw, connectors)
        for k, group in enumerate(site.groups):
            members = [one for one in connectors if one.group_id == group.group_id]
            yield from _above(located, ("groups", k, "limit_kw"), group.limit_kw, members)


def check_validity(folder: Folder) -> Mistakes:
    """Validity ends after it starts; no token stands for two vehicles at once, and no vehicle has two of one thing."""
    tokens, drivers = folder.tokens.located, folder.assignments.located
    yield from _empty_validity(tokens)
    yield from _empty_validity(drivers)
    yield from _overlapping(tokens, lambda one: one.token.strip().casefold(), "the same token")
    yield from _overlapping(tokens, lambda one: one.vehicle_id, "another token of the vehicle")
    yield from _overlapping(drivers, lambda one: one.vehicle_id, "another assignment of the vehicle")


def check_operating_dates(folder: Folder) -> Mistakes:
    """A duty's operating date is the local date of its departure, or, after midnight, the day before."""
    zones = {site.site_id: ZoneInfo(site.timezone) for site in folder.sites.entries}
    for located in folder.duties.located:
        duty = located.entry
        departs_on = duty.planned_departure.astimezone(zones.get(duty.site_id, ZoneInfo("UTC"))).date()
        if duty.site_id in zones and not timedelta() <= departs_on - duty.operating_date <= timedelta(days=1):
            problem = f"operating_date {duty.operating_date} but departure on {departs_on}"
            yield located.raw.mistake(("operating_date",), problem, "Use the local date of departure")


CROSS_CHECKS: Final[Sequence[Callable[[Folder], Mistakes]]] = (
    check_duplicates,
    check_groups,
    check_references,
    check_home_bays,
    check_stations,
    check_fallbacks,
    check_validity,
    check_operating_dates,
)


def _twice(section: Section[E], key: Callable[[E], Hashable | None], field: str) -> Mistakes:
    first: dict[Hashable, int] = {}
    for located in section.located:
        value = key(located.entry)
        if value is None:
            continue
        line = first.setdefault(value, located.raw.line)
        if line != located.raw.line:
            shown = " ".join(map(str, value)) if isinstance(value, tuple) else value
            problem = f"{shown} is already declared in line {line}"
            yield located.raw.mistake((field,), problem, "Keep one of the two, or give it another name")


def _undeclared(section: Section[E], field: str, what: str, names: frozenset[str]) -> Mistakes:
    for located in section.located:
        name = getattr(located.entry, field)
        if name is not None and name not in names:
            yield _unknown(located, field, what, sorted(names))


def _unknown(located: Located[E], field: str, what: str, known: Sequence[str]) -> Mistake:
    shown = ", ".join(str(name) for name in known[:8]) + (", …" if len(known) > 8 else "")
    hint = f"Use one of: {shown}" if known else f"Declare a {what} first"
    return located.raw.mistake((field,), f"there is no {what} {getattr(located.entry, field)!r}", hint)


def _above(located: Located[Site], path: KeyPath, limit_kw: float, connectors: Sequence[Connector]) -> Mistakes:
    total_kw = sum(one.fallback_kw for one in connectors)
    if total_kw > limit_kw + TOLERANCE_KW:
        problem = (
            f"{len(connectors)} connectors fall back to {total_kw:g} kW together, above the {limit_kw:g} kW allowed"
        )
        hint = f"Lower fallback_kw in connectors.csv by {total_kw - limit_kw:g} kW together; 0 is allowed"
        yield located.raw.mistake(path, problem, hint)


Dated = TypeVar("Dated", Token, Assignment)


def _empty_validity(section: Sequence[Located[Dated]]) -> Mistakes:
    for located in section:
        if located.entry.valid_to is not None and located.entry.valid_to <= located.entry.valid_from:
            problem = "valid_to is not later than valid_from"
            yield located.raw.mistake(("valid_to",), problem, "Make it later, or leave it empty for ever")


def _overlapping(section: Sequence[Located[Dated]], key: Callable[[Dated], str], what: str) -> Mistakes:
    by_key: defaultdict[str, list[Located[Dated]]] = defaultdict(list)
    for located in section:
        by_key[key(located.entry)].append(located)
    for group in by_key.values():
        group.sort(key=lambda located: (located.entry.valid_from, located.raw.line))
        for earlier, later in pairwise(group):
            if later.entry.valid_from < (earlier.entry.valid_to or END_OF_TIME):
                problem = f"{what} is still valid by line {earlier.raw.line}"
                hint = f"End line {earlier.raw.line} with valid_to at or before the start of this one"
                yield later.raw.mistake(("valid_from",), problem, hint)
