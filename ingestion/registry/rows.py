"""The configuration as canonical rows, and their landing.

Nobody knows when a line of configuration became true, so the first version of a row is available since ``EPOCH``:
history that is replayed as of an earlier instant sees the fleet as it was declared. What people decide from day to day
(duties, assignments) is known since ``EPOCH`` only where it stood in the first configuration, else from the run's
``as_of``. A row whose content differs from the one landed last is a new version, available from ``as_of``; a row that
did not change lands nothing, so landing the same configuration again is a no-op. A duty that
the configuration no longer holds gets a last version with ``is_deleted`` (dispatch moves work between vehicles), and
an assignment one of no length.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any, Final

import polars as pl

from core.entities import ENTITIES
from core.landing import Landing, LandingReport
from core.pseudonyms import keyed_hash
from core.schema import INSTANT
from ingestion.registry.models import Assignment, Duty, Site, Token, Vehicle
from ingestion.registry.registry import Registry

SOURCE: Final = "registry"
EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
WITHDRAWALS: Final[Mapping[str, Mapping[str, pl.Expr]]] = {
    "duty": {"is_deleted": pl.lit(value=True)},
    "assignment": {"valid_to_at": pl.col("valid_from_at")},
}
DECIDED_DAILY: Final = frozenset({"duty", "assignment"})


def registry_rows(registry: Registry, *, as_of: datetime) -> dict[str, pl.DataFrame]:
    """Return every entry as a row of its entity: identifiers of people and tokens as keyed hashes.

    ``observed_at`` is the start of validity (of a duty: its departure), else ``EPOCH``; ``available_at`` is ``EPOCH``,
    and ``land_registry`` moves it for rows that changed. ``as_of`` picks each vehicle's present token.
    """
    rows = {
        "site": [_site(site) for site in registry.sites],
        "connector": [connector.model_dump() for connector in registry.connectors],
        "vehicle": [_vehicle(vehicle, registry.tokens, as_of) for vehicle in registry.vehicles],
        "assignment": _assignments(registry.assignments, registry.tokens),
        "duty": [_duty(duty) for duty in registry.duties],
        "source_contract": [source.model_dump() for source in registry.sources],
    }
    return {name: _frame(name, entries) for name, entries in rows.items()}


def land_registry(registry: Registry, landing: Landing, *, as_of: datetime) -> LandingReport:
    """Land what is new or has changed since the configuration was landed last."""
    report = LandingReport()
    is_first = _is_first_landing(landing, as_of)
    for name, rows in registry_rows(registry, as_of=as_of).items():
        landed = landing.read(name, sources=[SOURCE]).drop("source")
        new_from = EPOCH if is_first or name not in DECIDED_DAILY else as_of
        changed = _changed(name, rows, landed, new_from=new_from, as_of=as_of)
        versions = pl.concat([changed, _withdrawn(name, rows, landed, as_of=as_of)])
        landing.append(name, versions.with_columns(ingested_at=_instant(as_of)), source=SOURCE)
        report += LandingReport(versions.height, rows.height - changed.height)
    return report


def _is_first_landing(landing: Landing, as_of: datetime) -> bool:
    """Say whether no configuration was landed before; one that was killed and is started again is still the first."""
    landed = landing.scan("site").filter(pl.col("source") == SOURCE, pl.col("ingested_at") < as_of)
    return landed.limit(1).collect().is_empty()


def _changed(
    name: str, rows: pl.DataFrame, landed: pl.DataFrame, *, new_from: datetime, as_of: datetime
) -> pl.DataFrame:
    """Return the rows that differ from the version landed last: a changed one available from ``as_of``."""
    new = rows.join(landed, on=list(ENTITIES[name].columns), how="anti", nulls_equal=True, maintain_order="left")
    key = list(ENTITIES[name].key)
    first = new.join(landed, on=key, how="anti", maintain_order="left")
    known = new.join(landed, on=key, how="semi", maintain_order="left")
    first = first.with_columns(available_at=_instant(new_from))
    return pl.concat([first, known.with_columns(available_at=_instant(as_of))])


def _withdrawn(name: str, rows: pl.DataFrame, landed: pl.DataFrame, *, as_of: datetime) -> pl.DataFrame:
    """Return a last version of each landed row that the configuration no longer holds, where the entity has one."""
    if name not in WITHDRAWALS:
        return rows.clear()
    gone = landed.join(rows, on=list(ENTITIES[name].key), how="anti", maintain_order="left")
    ended = gone.with_columns(**WITHDRAWALS[name])
    fresh = ended.join(gone, on=list(ENTITIES[name].columns), how="anti", nulls_equal=True, maintain_order="left")
    return fresh.with_columns(available_at=_instant(as_of)).select(rows.columns)


def _frame(name: str, entries: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    """Return entries as rows: a column that the entity does not have is left out, a missing one is NULL."""
    entity = ENTITIES[name]
    schema = {column: dtype for column, dtype in entity.schema.items() if column != "ingested_at"}
    times = {"observed_at": EPOCH, "available_at": EPOCH}
    return pl.DataFrame([{**times, **entry} for entry in entries], schema=schema).sort(entity.key)


def _site(site: Site) -> dict[str, Any]:
    return {
        **site.model_dump(),
        "latitude": site.position.latitude,
        "longitude": site.position.longitude,
        "import_limit_kw": site.lowest_import_limit_kw,
        "price_zone": site.tariff.price_zone,
        "battery_capacity_kwh": site.battery.capacity_kwh if site.battery else None,
    }


def _vehicle(vehicle: Vehicle, tokens: Sequence[Token], as_of: datetime) -> dict[str, Any]:
    token = next((one for one in tokens if one.vehicle_id == vehicle.vehicle_id and _holds(one, as_of)), None)
    return {**vehicle.model_dump(), "token": keyed_hash(token.token) if token else None}


def _duty(duty: Duty) -> dict[str, Any]:
    return {
        **duty.model_dump(),
        "planned_departure_at": duty.planned_departure,
        "planned_return_at": duty.planned_return,
        "observed_at": duty.planned_departure,
        "is_deleted": False,
    }


def _assignments(assignments: Sequence[Assignment], tokens: Sequence[Token]) -> list[dict[str, Any]]:
    """Return one row per vehicle and span of time in which neither its driver, its block nor its token changes."""
    dated: defaultdict[str, list[Assignment | Token]] = defaultdict(list)
    entries: list[Assignment | Token] = [*assignments, *tokens]
    for entry in entries:
        dated[entry.vehicle_id].append(entry)
    return [row for vehicle_id, its in dated.items() for row in _spans(vehicle_id, its)]


def _spans(vehicle_id: str, entries: Sequence[Assignment | Token]) -> Iterator[dict[str, Any]]:
    edges = {edge for entry in entries for edge in (entry.valid_from, entry.valid_to) if edge is not None}
    for start_at, end_at in pairwise([*sorted(edges), None]):
        holding = [entry for entry in entries if start_at is not None and _holds(entry, start_at)]
        if holding:
            driver = next((entry for entry in holding if isinstance(entry, Assignment)), None)
            token = next((entry for entry in holding if isinstance(entry, Token)), None)
            yield {
                "vehicle_id": vehicle_id,
                "driver_id": keyed_hash(driver.driver_id) if driver and driver.driver_id else None,
                "block_id": driver.block_id if driver else None,
                "token": keyed_hash(token.token) if token else None,
                "valid_from_at": start_at,
                "valid_to_at": end_at,
                "observed_at": start_at,
            }


def _holds(entry: Assignment | Token, at: datetime) -> bool:
    return entry.valid_from <= at and (entry.valid_to is None or at < entry.valid_to)


def _instant(at: datetime) -> pl.Expr:
    return pl.lit(at, INSTANT)
