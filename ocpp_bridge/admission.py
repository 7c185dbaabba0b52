"""Whether a publication makes sense for this bridge: every mistake with the path of its place in the document. Pure.

What it leaves to the outbox is repetition, conflict and age; what it leaves to the conductor is whether what is
allowed can be delivered at once.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from pydantic import ValidationError

from core.publication import ConnectorPlan, Publication
from core.time_grid import format_instant
from ocpp_bridge import desires
from ocpp_bridge.config import BridgeConfig, ConnectorConfig
from ocpp_bridge.curves import RunningTotal, exceeds
from ocpp_bridge.holdings import ConnectorKey

FUTURE_MAX: Final = timedelta(days=1)
SLACK_KW: Final = 1e-6


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake: where, and what to do about it."""

    path: str
    message: str


class PublicationRefusedError(ValueError):
    """The publication is refused whole."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("; ".join(f"{problem.path}: {problem.message}" for problem in problems))
        self.problems = problems


def read_publication(body: bytes) -> Publication:
    """Parse and check the document itself.

    Raises:
        PublicationRefusedError: it is not a ``publication/1``; all mistakes at once.
    """
    try:
        return Publication.model_validate_json(body)
    except ValidationError as error:
        raise PublicationRefusedError(
            [Problem(_path(problem["loc"]), problem["msg"]) for problem in error.errors()]
        ) from error


def check_publication(publication: Publication, config: BridgeConfig, *, as_of: datetime) -> None:
    """Check a publication against this site.

    Raises:
        PublicationRefusedError: it names what does not exist, contradicts itself or exceeds a limit.
    """
    problems = [*_document_problems(publication, config, as_of)]
    connectors = config.connector_map
    known = frozenset(station_id for station_id, _ in connectors)
    groups = frozenset({one.group_id for one in publication.groups} | {one.group_id for one in config.groups})
    for k, entry in enumerate(publication.connectors):
        path = f"connectors[{k}]"
        if entry.station_id not in known:
            problems.append(Problem(f"{path}.station_id", f"{entry.station_id} is no station of this bridge"))
        else:
            problems += _entry_problems(path, entry, connectors, publication, groups)
    if not problems:
        problems += _limit_problems(publication, config, connectors, as_of)
    if problems:
        raise PublicationRefusedError(problems)


def _document_problems(publication: Publication, config: BridgeConfig, as_of: datetime) -> Iterator[Problem]:
    if publication.site_id != config.site.site_id:
        yield Problem("site_id", f"this bridge serves the site {config.site.site_id}, not {publication.site_id}")
    if publication.valid_until <= as_of:
        yield Problem("valid_until", f"the plan has run out; it is {format_instant(as_of)} here")
    if publication.as_of > as_of + FUTURE_MAX:
        yield Problem("as_of", f"lies more than a day ahead; it is {format_instant(as_of)} here")


def _entry_problems(
    path: str,
    entry: ConnectorPlan,
    connectors: dict[ConnectorKey, ConnectorConfig],
    publication: Publication,
    groups: frozenset[str],
) -> Iterator[Problem]:
    connector = connectors.get((entry.station_id, entry.connector_id))
    if connector is None:
        yield Problem(f"{path}.connector_id", f"{entry.station_id} has no connector {entry.connector_id}")
        return
    if entry.current_type != connector.current_type:
        yield Problem(f"{path}.current_type", f"the connector is {connector.current_type}")
    if entry.group_id is not None and entry.group_id not in groups:
        yield Problem(f"{path}.group_id", f"the group {entry.group_id} is neither in groups nor configured")
    if entry.periods[0].start_at >= publication.valid_until:
        yield Problem(f"{path}.periods[0].start_at", "the first period begins after valid_until")
    yield from _period_problems(path, entry, connector)


def _period_problems(path: str, entry: ConnectorPlan, connector: ConnectorConfig) -> Iterator[Problem]:
    for k, period in enumerate(entry.periods):
        place = f"{path}.periods[{k}].limit_kw"
        if period.limit_kw > entry.max_kw + SLACK_KW:
            yield Problem(place, f"{period.limit_kw:g} kW is above the entry's max_kw of {entry.max_kw:g}")
        if entry.transaction_id is None and period.limit_kw < connector.fallback_kw - SLACK_KW:
            yield Problem(
                place,
                f"{period.limit_kw:g} kW is below the fallback of {connector.fallback_kw:g} kW; an entry without a "
                "transaction is for whoever plugs in next",
            )


def _limit_problems(
    publication: Publication,
    config: BridgeConfig,
    connectors: dict[ConnectorKey, ConnectorConfig],
    as_of: datetime,
) -> Iterator[Problem]:
    limits = desires.limits_kw(config, publication, None)
    totals = {scope: RunningTotal() for scope in limits}
    end_s = publication.valid_until.timestamp()
    for entry in publication.connectors:
        connector = connectors[(entry.station_id, entry.connector_id)]
        curve = desires.planned_kw(entry, connector).until(end_s, 0.0)
        for scope in (None, *desires.group_names(connector, entry)):
            if scope in totals:
                totals[scope].replace(None, curve)
    for scope, total in totals.items():
        # The planned periods count from where they begin, however late they arrive here.
        begin_s = min((entry.periods[0].start_at for entry in publication.connectors), default=as_of).timestamp()
        at_s = exceeds(total.curve(), limits[scope], since_s=begin_s)
        if at_s is not None:
            yield _exceeded(publication, scope, total.curve().at(at_s), limits[scope].at(at_s), at_s)


def _exceeded(publication: Publication, scope: str | None, together: float, limit: float, at_s: float) -> Problem:
    names = [group.group_id for group in publication.groups]
    path = "ev_limit_kw" if scope is None else f"groups[{names.index(scope)}].limit_kw" if scope in names else "groups"
    whose = "the site" if scope is None else f"the group {scope}"
    instant = format_instant(datetime.fromtimestamp(at_s, tz=publication.as_of.tzinfo))
    return Problem(path, f"the entries of {whose} add up to {together:g} kW at {instant}; its limit is {limit:g} kW")


def _path(location: tuple[int | str, ...]) -> str:
    path = ""
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)
    return path
