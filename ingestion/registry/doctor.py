"""What is wrong with a configuration and its surroundings: mistakes, secrets, files, sources, freshness.

Errors keep the platform from running; warnings are likely mistakes that do not. Nothing is changed here.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Final

import polars as pl

from core.landing import Landing
from core.pseudonyms import KEY_VARIABLE
from core.settings import MissingSecretError
from core.units import MINIMUM_CURRENT_A, amperes_to_kw
from ingestion.http import Policy, ProviderError, open_client
from ingestion.providers.base import PayloadError
from ingestion.registry import load_registry
from ingestion.registry.mistakes import ConfigurationError
from ingestion.registry.models import Duty, Site, Source
from ingestion.registry.registry import Registry
from ingestion.run import provider_of

HASTY: Final = Policy(attempts=2, wait_initial_s=0.2, wait_max_s=2.0, total_s=15.0, connect_timeout_s=3.0)
PLANNED_AHEAD: Final = timedelta(hours=36)
TOLERANCE_KW: Final = 0.01
OBSERVED: Final = (
    "vehicle_snapshot",
    "charging_transaction",
    "meter_value",
    "connector_status",
    "price",
    "weather",
    "site_load",
)


@dataclass(frozen=True, slots=True)
class Finding:
    """Something to know about the configuration: where, what, and what to do about it."""

    place: str
    problem: str
    hint: str
    is_error: bool = True

    def __str__(self) -> str:
        return f"{'error' if self.is_error else 'warning'}: {self.place}: {self.problem}. {self.hint}"

    def document(self) -> dict[str, str | bool]:
        """Return the finding as JSON-ready values."""
        return asdict(self)


def check(folder: Path, *, as_of: datetime, connect: bool = False, landing: Landing | None = None) -> list[Finding]:
    """Examine a configuration folder.

    Args:
        folder: The configuration.
        as_of: The present.
        connect: Also ask every HTTP source for its first page, and every bridge for its health.
        landing: Also compare each source's newest observation with the freshness that it promises.

    Returns:
        Findings, errors first. Where the folder itself has mistakes, only those: the rest would follow from them.
    """
    try:
        registry = load_registry(folder)
    except ConfigurationError as error:
        return [
            Finding(f"{one.file}:{one.line}" + (f" {one.field}" if one.field else ""), one.problem, one.hint)
            for one in error.mistakes
        ]
    found = [*_secrets(registry), *_files(registry), *_doubts(registry, as_of)]
    if connect:
        found += [*_sources(registry, as_of), *_bridges(registry)]
    if landing is not None:
        found += _stale(registry, landing, as_of)
    return sorted(found, key=lambda finding: not finding.is_error)


def _secrets(registry: Registry) -> Iterator[Finding]:
    """Every secret that is named is set."""
    named = [
        (f"source {source.source_id}", variable)
        for source in registry.sources
        for variable in (
            source.credentials.token_env,
            source.credentials.user_env,
            source.credentials.password_env,
        )
    ]
    named += [(f"bridge of site {site.site_id}", site.bridge.token_env) for site in registry.sites if site.bridge]
    if registry.tokens or any(one.driver_id for one in registry.assignments):
        named.append(("tokens and drivers", KEY_VARIABLE))
    for place, variable in named:
        if variable is not None and not os.environ.get(variable):
            yield Finding(place, f"the environment variable {variable} is not set", f"Set {variable} to the secret")


def _files(registry: Registry) -> Iterator[Finding]:
    for source in registry.sources:
        if source.path is not None and not source.path.exists():
            yield Finding(f"source {source.source_id}", f"{source.path} does not exist", "Correct path, or make it")


def _doubts(registry: Registry, as_of: datetime) -> Iterator[Finding]:
    """What is allowed and yet hardly meant."""
    for site in registry.sites:
        yield from _doubts_of_site(registry, site)
    for connector in registry.connectors:
        least_kw = amperes_to_kw(MINIMUM_CURRENT_A, phases=connector.phases, voltage_v=connector.nominal_voltage_v)
        if connector.current_type == "ac" and connector.min_kw < least_kw - TOLERANCE_KW:
            place = f"connector {connector.station_id}/{connector.connector_id}"
            problem = f"min_kw {connector.min_kw:g} is less than {MINIMUM_CURRENT_A:g} A on {connector.phases} phases"
            yield _doubt(place, problem, f"Set min_kw to {least_kw:g} or more: vehicles take no less")
    for vehicle in registry.vehicles:
        if vehicle.source_id is None:
            problem = "it has no source of telematics"
            yield _doubt(f"vehicle {vehicle.vehicle_id}", problem, "Its SoC will be forecast; name source_id if it has")
    yield from _doubts_of_duties(registry.duties, as_of)


def _doubts_of_site(registry: Registry, site: Site) -> Iterator[Finding]:
    place = f"site {site.site_id}"
    connectors = registry.connectors_of(site.site_id)
    fallback_kw = sum(one.fallback_kw for one in connectors)
    left_kw = site.lowest_import_limit_kw - site.base_load_kw - site.safety_margin_kw
    if not connectors:
        yield _doubt(place, "it has no connectors", "Add them to connectors.csv")
    if not registry.vehicles_of(site.site_id):
        yield _doubt(place, "no vehicle is at home there", "Set site_id in vehicles.csv")
    if fallback_kw > left_kw:
        problem = f"fallbacks of {fallback_kw:g} kW exceed the {left_kw:g} kW that its other load leaves"
        yield _doubt(place, problem, "Lower fallback_kw, so that charging on its own cannot break the limit")


def _doubts_of_duties(duties: Sequence[Duty], as_of: datetime) -> Iterator[Finding]:
    ahead = [duty for duty in duties if as_of <= duty.planned_departure <= as_of + PLANNED_AHEAD]
    if not ahead:
        problem = f"no departure is planned within {PLANNED_AHEAD.total_seconds() / 3600:g} h"
        yield _doubt("duties", problem, "Add duties; without one, vehicles charge for the site's default")
    by_vehicle = sorted(duties, key=lambda duty: (duty.vehicle_id, duty.planned_departure))
    for one, following in pairwise(by_vehicle):
        overlaps = one.planned_return is not None and following.planned_departure < one.planned_return
        if one.vehicle_id == following.vehicle_id and overlaps:
            problem = f"{following.block_id} of {following.operating_date} leaves before {one.block_id} is back"
            yield _doubt(f"vehicle {one.vehicle_id}", problem, "Correct the times, or give one duty to another vehicle")


def _sources(registry: Registry, as_of: datetime) -> Iterator[Finding]:
    """Every HTTP source answers, and its first page can be read."""
    for source in registry.sources:
        if source.url is not None:
            problem = _first_page_problem(source, registry, as_of)
            if problem is not None:
                yield Finding(f"source {source.source_id}", problem, f"Owner: {source.owner}, {source.contact}")


def _first_page_problem(source: Source, registry: Registry, as_of: datetime) -> str | None:
    recent = source.model_copy(update={"start_at": as_of - timedelta(hours=1)})
    provider = provider_of(source.kind)
    try:
        with open_client(source.source_id, source.url, policy=HASTY) as client:
            page = next(iter(provider.fetch(client, recent, None, as_of=as_of)), None)
            if page is not None:
                provider.parse(page, source=recent, registry=registry, carry={})
    except (ProviderError, PayloadError, MissingSecretError) as error:
        return str(error)
    return None


def _bridges(registry: Registry) -> Iterator[Finding]:
    for site in registry.sites:
        if site.bridge is None:
            continue
        place = f"bridge of site {site.site_id}"
        headers = {"Authorization": f"Bearer {os.environ.get(site.bridge.token_env, '')}"}
        try:
            with open_client(place, site.bridge.url, policy=HASTY) as client:
                client.get("/health", headers=headers)
        except ProviderError as error:
            yield Finding(place, str(error), "Start it with `depotwise bridge`, or correct url and token_env")


def _stale(registry: Registry, landing: Landing, as_of: datetime) -> Iterator[Finding]:
    """Every source's newest observation is as fresh as it promised."""
    newest = _newest(landing, as_of)
    for source in registry.sources:
        place = f"source {source.source_id}"
        call = f"Call {source.owner}, {source.contact}; meanwhile {source.on_failure}"
        if source.source_id not in newest:
            yield _doubt(place, "nothing of it has landed", "Run `depotwise run intraday`, then check again")
        elif (age_min := (as_of - newest[source.source_id]).total_seconds() / 60) > source.freshness_min:
            problem = f"its newest observation is {age_min:.0f} min old; it promises {source.freshness_min:g} min"
            yield _doubt(place, problem, call)


def _newest(landing: Landing, as_of: datetime) -> dict[str, datetime]:
    """Return each source's newest observation that was available."""
    seen = pl.concat(
        landing.scan(name).filter(pl.col("available_at") <= as_of).select("source", "observed_at") for name in OBSERVED
    )
    return dict(seen.group_by("source").agg(pl.col("observed_at").max()).collect().iter_rows())


def _doubt(place: str, problem: str, hint: str) -> Finding:
    return Finding(place, problem, hint, is_error=False)
