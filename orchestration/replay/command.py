"""Replays nights of a home under policies and faults, and says what each was worth: ``depotwise.replay/1``."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, time, timedelta
from pathlib import Path
from typing import Any

from core.settings import Settings
from core.time_grid import ceil_to_slot, local_instant
from ml.training import train_site
from orchestration.replay.forecasters import Knowledge, PlatformForecaster, class_median_returns
from orchestration.replay.place import ReplayPlace
from orchestration.replay.truth import Truth
from orchestration.replay.worlds import Night, recorded_night
from planning.replay.faults import FAULTS, Disturbed
from planning.replay.knowledge import PerfectForesight, PresentOnly
from planning.replay.loop import Contender, Played, replay
from planning.replay.observation import Forecaster
from planning.replay.policies import policy_of
from planning.replay.scoring import FORESIGHT, Score, above_foresight_pct, infeasible_of, score, total
from planning.replay.world import World

SCHEMA = "depotwise.replay/1"
POLICIES = (
    "platform",
    "class_medians",
    "know_nothing",
    "uncontrolled",
    "fcfs",
    "edf",
    "llf",
    "cheapest_slot",
    "llf_min_peak",
    FORESIGHT,
)
"""Contenders by name: the planner with four ways of knowing, and the simple rules.

``llf_min_peak`` knows the platform's forecasts; the other rules see who is plugged in.
"""
BEGIN = time(12)
TRAIN_EVERY = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class ReplayOptions:
    """What to replay: local dates on which nights begin, sites (all where empty), policies, faults.

    ``peak_so_far`` and ``limit_factor`` are those of ``recorded_night``; forecasts are made anew ``forecast_every``.
    """

    from_date: date
    to_date: date
    sites: tuple[str, ...] = ()
    policies: tuple[str, ...] = POLICIES
    faults: tuple[str, ...] = ("none",)
    peak_so_far: str = "recorded"
    limit_factor: float = 1.0
    forecast_every: timedelta = timedelta(minutes=15)

    def __post_init__(self) -> None:
        unknown = {*self.policies} - {*POLICIES} | {*self.faults} - {*FAULTS}
        if unknown:
            raise ValueError(
                f"unknown: {', '.join(sorted(unknown))}; policies are {', '.join(POLICIES)}; faults are "
                f"{', '.join(FAULTS)}"
            )
        if self.to_date < self.from_date:
            raise ValueError(f"--to {self.to_date} is before --from {self.from_date}")


@dataclass(frozen=True, slots=True)
class NightScore:
    """A contender's score on one night of a site under a fault."""

    site_id: str
    date: date
    fault: str
    score: Score


Progress = Callable[[str], None]
Forecasters = Callable[[str], Forecaster]


def run_replay(
    settings: Settings,
    options: ReplayOptions,
    *,
    truth: Path | None = None,
    progress: Progress = lambda text: None,  # noqa: ARG005
) -> dict[str, Any]:
    """Replay and return the ``depotwise.replay/1`` document.

    Raises:
        ValueError: the options name a policy or a fault that there is not, or the truth file is none.
        ingestion.registry.ConfigurationError: the configuration has mistakes.
    """
    place = ReplayPlace(settings)
    played, not_plugged = played_nights(place, options, truth=truth, progress=progress)
    return document(options, played, place.registry.sites[0].currency, not_plugged)


def played_nights(
    place: ReplayPlace,
    options: ReplayOptions,
    *,
    truth: Path | None = None,
    progress: Progress = lambda text: None,  # noqa: ARG005
) -> tuple[list[NightScore], int]:
    """Replay and return every contender's score on every night, and how many departures nobody plugged in for."""
    known = None if truth is None else Truth.read(truth)
    played: list[NightScore] = []
    not_plugged = 0
    for site_id, day in nights_of(place, options):
        progress(f"{site_id}, night of {day}")
        night = night_of(place, site_id, day, options, known)
        not_plugged += night.not_plugged
        forecasters = forecasters_of(place, night, options)
        played += [NightScore(site_id, day, fault, one) for fault, one in night_scores(night, options, forecasters)]
    return played, not_plugged


def nights_of(place: ReplayPlace, options: ReplayOptions) -> Iterator[tuple[str, date]]:
    """Yield site and local date of every night, site by site."""
    days = (options.to_date - options.from_date).days + 1
    for site in place.registry.sites:
        if not options.sites or site.site_id in options.sites:
            yield from ((site.site_id, options.from_date + timedelta(days=k)) for k in range(days))


def night_of(place: ReplayPlace, site_id: str, day: date, options: ReplayOptions, truth: Truth | None) -> Night:
    """Return the night that begins on a local date at noon and lasts to the next noon."""
    zone = place.registry.site(site_id).timezone
    night = recorded_night(
        place,
        site_id=site_id,
        start_at=ceil_to_slot(local_instant(day, BEGIN, zone)),
        end_at=ceil_to_slot(local_instant(day + timedelta(days=1), BEGIN, zone)),
        truth=truth,
    )
    return night.under(peak_so_far=options.peak_so_far, limit_factor=options.limit_factor)


def night_scores(night: Night, options: ReplayOptions, forecasters: Forecasters) -> Iterator[tuple[str, Score]]:
    """Yield fault and score of every contender on a night; a night on which nobody leaves yields nothing."""
    if not any(stay.required for stay in night.world.stays):
        return
    undisturbed: Played | None = None
    for name in options.faults:
        fault = FAULTS[name]
        world = fault.world(night.world)
        if world is not night.world:
            foresight = replay(world, seer(world))
        else:
            # Most faults are of what is known, which is nothing to one who knows all.
            foresight = undisturbed = undisturbed or replay(world, seer(world))
        infeasible = infeasible_of(foresight)
        for policy in options.policies:
            if policy == FORESIGHT:
                yield name, score(world, foresight, infeasible)
                continue
            forecaster = Disturbed(forecasters(policy), fault, world)
            yield name, score(world, replay(world, contender(policy, forecaster)), infeasible)


def seer(world: World) -> Contender:
    """Return perfect foresight of a world; it plans as often as everybody, for batteries are never quite as known."""
    return Contender(FORESIGHT, PerfectForesight(world), policy_of("foresight"), is_omniscient=True)


def contender(policy: str, forecaster: Forecaster) -> Contender:
    """Return a contender by name, with a forecaster that knows what the platform knew."""
    match policy:
        case "platform" | "class_medians":
            return Contender(policy, forecaster, policy_of("optimiser"))
        case "know_nothing":
            return Contender(policy, PresentOnly(forecaster), policy_of("optimiser"))
        case "llf_min_peak":
            return Contender(policy, forecaster, policy_of(policy))
        case _:
            return Contender(policy, PresentOnly(forecaster), policy_of(policy))


def forecasters_of(place: ReplayPlace, night: Night, options: ReplayOptions) -> Forecasters:
    """Return what makes a policy's forecaster on a night; they share what they ask of the past."""
    knowledge = Knowledge.of(
        place,
        site_id=night.site_id,
        start_at=night.start_at,
        vehicle_ids=night.vehicle_ids,
        models_dir=_trained(place, night, options),
    )
    site = place.registry.site(night.site_id)

    def forecaster(policy: str) -> Forecaster:
        known = knowledge
        if policy == "class_medians":
            usual = class_median_returns(place, site_id=night.site_id, start_at=night.start_at)
            known = replace(knowledge, returns_at=usual)
        elif policy not in ("platform", "llf_min_peak"):
            known = replace(knowledge, returns_at=lambda at: {})  # noqa: ARG005
        currents = {item.key: item.current_type for item in night.world.settled.connectors}
        return PlatformForecaster(
            site, night.start_at, night.end_at, night.vehicle_ids, known, currents, options.forecast_every
        )

    return forecaster


def _trained(place: ReplayPlace, night: Night, options: ReplayOptions) -> Path:
    """Return the folder of models, with one that was trained on the latest weekly date at or before the night.

    The weeks count from the first night, as if the platform had been switched on then.
    """
    folder = place.settings.home / "replay" / "models"
    zone = place.registry.site(night.site_id).timezone
    first = local_instant(options.from_date, BEGIN, zone)
    trained_at = first + (night.start_at - first) // TRAIN_EVERY * TRAIN_EVERY
    if {"platform", "llf_min_peak"} & {*options.policies}:
        train_site(place.landing, site_id=night.site_id, as_of=trained_at, models_dir=folder)
    return folder


def document(
    options: ReplayOptions, played: Sequence[NightScore], currency: str | None, not_plugged: int
) -> dict[str, Any]:
    """Return the ``depotwise.replay/1`` document of scores."""
    return {
        "schema": SCHEMA,
        "from": options.from_date.isoformat(),
        "to": options.to_date.isoformat(),
        "peak_so_far": options.peak_so_far,
        "limit_factor": options.limit_factor,
        "currency": currency,
        "nights": len({(one.site_id, one.date) for one in played}),
        "not_plugged": not_plugged,
        "faults": {fault: table_of([one for one in played if one.fault == fault]) for fault in options.faults},
    }


def table_of(played: Sequence[NightScore]) -> dict[str, Any]:
    """Return every contender's sums over nights; nothing where no night was played."""
    names = list(dict.fromkeys(one.score.contender for one in played))
    totals = {name: total([one.score for one in played if one.score.contender == name]) for name in names}
    nights = len({(one.site_id, one.date) for one in played})
    return {name: _row(totals, name, nights) for name in names}


def _row(totals: dict[str, Score], name: str, nights: int) -> dict[str, Any]:
    one = totals[name]
    above = above_foresight_pct(totals, name)
    return {
        "departures": one.departures,
        "infeasible": one.infeasible,
        "ready": one.ready,
        "ready_pct": None if one.ready_pct is None else round(one.ready_pct, 2),
        "short_kwh": round(one.short_kwh, 2),
        "charged_kwh": round(one.charged_kwh, 1),
        "peak_kw": round(one.peak_kw, 1),
        "over_limit_kw": round(one.over_limit_kw, 2),
        "energy_cost": round(one.energy_cost, 2),
        "demand_cost": round(one.demand_cost, 2),
        "cost": round(one.cost, 2),
        "above_foresight_pct": None if above is None else round(above, 2),
        "emissions_kgco2e": None if one.emissions_kgco2e is None else round(one.emissions_kgco2e, 1),
        "plans_per_night": round(one.plans / nights, 1),
        "profiles_per_night": round(one.profiles / nights, 1),
        "profiles_unchanged_per_night": round(one.profiles_unchanged / nights, 1),
    }
