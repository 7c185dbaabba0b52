"""Forecasts against the noise that the simulator planted: how near they come to somebody who knows everything else.

``python -m benchmarks.forecast_simulated`` builds a depot, lands what its providers would tell as canonical rows, and
backtests return time and SoC at arrival at departure. The floor is the error of an oracle who knows every planted
effect (block, weekday, driver, vehicle, weather, load) and nothing of the chance on top.
"""

import argparse
import tempfile
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmarks.forecast import land
from core.landing import Landing
from ml.evaluation.command import backtest
from ml.models.quantile_trees import TreeParameters
from simulator.scenario import TIMEZONE, Scenario
from simulator.world.history import Driven, World, build_world

LONG_KNOWN = timedelta(days=30)
TARGETS = ("return_at", "soc_at_arrival_pct")


@dataclass(frozen=True)
class Bar:
    """A target's promoted error beside the planted noise, both mean absolute, in the target's unit."""

    target: str
    promoted: str
    mae: float
    best_rule_mae: float
    planted: float
    rows: int

    @property
    def ratio(self) -> float:
        """How many times the planted noise the error is."""
        return self.mae / self.planted


def busiest_site(world: World) -> list[Driven]:
    """Return the finished drives of the site with the most of them."""
    by_site: dict[str, list[Driven]] = {}
    for one in world.driven:
        by_site.setdefault(one.drive.vehicle.site_id, []).append(one)
    return max(by_site.values(), key=len)


def land_drives(landing: Landing, world: World, driven: list[Driven]) -> None:
    """Land what is told of a site: its vehicles, plan, who drives, weather, and each drive at its start and end."""
    site_id = driven[0].drive.vehicle.site_id
    since = world.scenario.history_start_at - LONG_KNOWN
    known = {"observed_at": since, "available_at": since}
    land(landing, "site", pl.DataFrame([{**known, "site_id": site_id, "timezone": TIMEZONE}]))
    vehicles = {one.drive.vehicle.vehicle_id: one.drive.vehicle for one in driven}
    rows: list[dict[str, Any]] = [
        {
            **known,
            "vehicle_id": name,
            "site_id": site_id,
            "model": vehicle.model.name,
            "vehicle_class": vehicle.model.vehicle_class,
            "usable_kwh": vehicle.model.usable_kwh,
            "soh_pct": 100 * vehicle.soh,
        }
        for name, vehicle in vehicles.items()
    ]
    land(landing, "vehicle", pl.DataFrame(rows))
    duties = [duty for duty in world.duties if duty.vehicle.vehicle_id in vehicles]
    plans = [
        {
            **known,
            "block_id": duty.vehicle.block.block_id,
            "operating_date": duty.operating_date,
            "site_id": site_id,
            "vehicle_id": duty.vehicle.vehicle_id,
            "planned_departure_at": duty.planned_departure_at,
            "planned_return_at": duty.planned_return_at,
            "distance_km": duty.distance_km,
        }
        for duty in duties
    ]
    land(landing, "duty", pl.DataFrame(plans))
    drivers = [
        {
            **known,
            "vehicle_id": duty.vehicle.vehicle_id,
            "driver_id": duty.driver.driver_id,
            "valid_from_at": duty.planned_departure_at - timedelta(hours=1),
            "valid_to_at": duty.planned_return_at,
        }
        for duty in duties
    ]
    land(landing, "assignment", pl.DataFrame(drivers))
    land(landing, "weather", _weather(world, site_id))
    _land_trips(landing, site_id, driven)


def _weather(world: World, site_id: str) -> pl.DataFrame:
    weather = world.weather[site_id]
    hours = [weather.start_at + timedelta(hours=hour) for hour in range(len(weather.true_c))]
    return pl.DataFrame({"start_at": hours, "temperature_c": weather.true_c.astype(float)}).with_columns(
        place_id=pl.lit(site_id),
        end_at=pl.col("start_at") + timedelta(hours=1),
        issued_at=pl.col("start_at") - timedelta(days=1),
        observed_at=pl.col("start_at") - timedelta(days=1),
        available_at=pl.col("start_at") - timedelta(days=1),
    )


def _land_trips(landing: Landing, site_id: str, driven: list[Driven]) -> None:
    begun, ended = [], []
    for one in driven:
        drive = one.drive
        start = {
            "vehicle_id": drive.vehicle.vehicle_id,
            "started_at": drive.departure_at,
            "start_site_id": site_id,
            "soc_start_pct": 100 * one.soc_before,
        }
        end = {
            "ended_at": drive.return_at,
            "end_site_id": site_id,
            "distance_km": drive.distance_km,
            "energy_kwh": drive.energy_kwh,
            "soc_end_pct": 100 * one.soc_after,
        }
        begun.append({**start, "observed_at": drive.departure_at, "available_at": drive.departure_at})
        ended.append({**start, **end, "observed_at": drive.return_at, "available_at": drive.return_at})
    for rows in (begun, ended):
        land(landing, "trip", pl.DataFrame(rows))


def planted(driven: list[Driven], target: str, *, since: date) -> float:
    """Return the mean absolute error of the oracle, a constant bias of the chance taken off."""
    later = [one for one in driven if one.drive.duty.operating_date >= since]
    if target == "return_at":
        missed = np.array([one.drive.residual_min / 60 for one in later])
    else:
        # What was charged on the way is no noise of driving: the oracle is told it, the forecast is not.
        missed = np.array([100 * unforeseen_kwh(one) / one.drive.vehicle.battery.capacity_kwh for one in later])
    return float(np.abs(missed - np.median(missed)).mean())


def unforeseen_kwh(one: Driven) -> float:
    """Return what a drive took beyond what its planted effects say."""
    return one.drive.energy_kwh - one.drive.expected_kwh


def bars(*, vehicles: int, days: int, seed: int, parameters: TreeParameters | None = None) -> list[Bar]:
    """Backtest both targets on the last third of a simulated history."""
    world = build_world(Scenario(seed=seed, vehicles=vehicles, days=days))
    driven = busiest_site(world)
    test_from = world.scenario.dates[len(world.scenario.dates) * 2 // 3]
    with tempfile.TemporaryDirectory() as home:
        landing = Landing(Path(home) / "landing")
        land_drives(landing, world, driven)
        return [_bar(landing, driven, target, test_from, parameters) for target in TARGETS]


def _bar(
    landing: Landing, driven: list[Driven], target: str, test_from: date, parameters: TreeParameters | None
) -> Bar:
    document = backtest(
        landing, set_name="simulator", target=target, test_from=test_from.isoformat(), parameters=parameters
    )
    forecasts, promoted = document["forecasts"], document["promoted"]
    best = forecasts[document["decision"]["best_baseline"]]["mae"]
    noise = planted(driven, target, since=test_from)
    return Bar(target, promoted, forecasts[promoted]["mae"], best, noise, document["rows"])


def main() -> None:
    """Print both bars for some seeds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--vehicles", type=int, default=60)
    parser.add_argument("--days", type=int, default=120)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2])
    arguments = parser.parse_args()
    for seed in arguments.seeds:
        for bar in bars(vehicles=arguments.vehicles, days=arguments.days, seed=seed):
            print(
                f"seed {seed}, {bar.target}: {bar.promoted} MAE {bar.mae:.3f}, planted noise {bar.planted:.3f} "
                f"(x {bar.ratio:.2f}), best rule {bar.best_rule_mae:.3f}, {bar.rows} rows"
            )


if __name__ == "__main__":
    main()
