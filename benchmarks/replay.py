"""Replays simulated nights under every policy and fault: ``python -m benchmarks.replay``.

Each seed is a depot with its own fleet and weeks of history, made by the simulator, served over real sockets and
ingested like any other; then its latest nights are replayed. With ``--keep`` depots and the scores of nights stay, and
a run goes on where the last one ended; the tables say how many nights they are of. ``--write`` puts them into
``docs/planning.md``.
"""

import argparse
import json
import math
import os
import secrets
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from core.clock import drive_clock
from core.files import write_text_atomic
from core.settings import Settings
from orchestration.demo.drive import SECRETS
from orchestration.demo.scenario import Scenario
from orchestration.demo.services import Service, run_program
from orchestration.replay.command import (
    POLICIES,
    NightScore,
    ReplayOptions,
    forecasters_of,
    night_of,
    night_scores,
    table_of,
)
from orchestration.replay.place import ReplayPlace
from orchestration.replay.truth import Truth
from orchestration.steps.ingest import ingest_everything
from orchestration.steps.workplace import Workplace
from planning.replay.faults import FAULTS
from planning.replay.scoring import Score

DOCS = Path(__file__).resolve().parent.parent / "docs" / "planning.md"
BEGIN, END = "<!-- replay: written by benchmarks.replay -->", "<!-- end of replay -->"
HISTORY_DAYS = 28
LIVE_DATE = date(2026, 2, 9)
"""The simulator's live date; the nights before it are history."""

HEAD = "| policy | ready % | kWh short | peak kW | energy | demand | above foresight % | new / same profiles a night |"
CASES = {"charge": ("none", 2.0), "both": ("none", 1.0), "paid": ("paid", 1.0)}
"""By name: what of the peak is paid for, and how much larger the limits are."""

TITLES = {
    "charge": "The demand charge begins anew every night and binds: twice the connection",
    "both": "The same with the connection as it is, which binds as well",
    "paid": "The peak is paid for already: price and limit alone bind",
}


def prepared(folder: Path, *, seed: int, vehicles: int, days: int, port_base: int) -> Scenario:
    """Make a simulated depot and ingest its history into ``folder/home``; one that is there already is kept.

    What a killed run left is gone on with: half a history would replay as a depot whose telematics had failed.
    """
    depot, ingested = folder / "depot", folder / "ingested"
    if ingested.exists():
        return Scenario.read(depot)
    if not (depot / "truth.json").exists():
        size = ("--vehicles", str(vehicles), "--days", str(days), "--seed", str(seed), "--port-base", str(port_base))
        run_program(["-m", "simulator", "prepare", "--out", str(depot), *size], env={})
    scenario = Scenario.read(depot)
    drive_clock(scenario.clock_file, at=scenario.start_at, rate=0.0)
    with ExitStack() as running:
        serve = ["simulator", "serve", "--dir", str(depot), "--clock", str(scenario.clock_file)]
        service = Service("simulator", serve, ready="simulator ready", log=folder / "simulator.log", env={})
        running.enter_context(service)
        service.wait_ready(timeout_s=300)
        workplace = Workplace(Settings(home=folder / "home", config=scenario.config_dir))
        ingest_everything(workplace, as_of=scenario.start_at)
    ingested.touch()
    return scenario


def table(rows: dict[str, Any]) -> list[str]:
    """Return the lines of a table of contenders."""
    lines = [HEAD, "|---" * 8 + "|"]
    for name, row in rows.items():
        ready = "" if row["ready_pct"] is None else f"{row['ready_pct']:.1f}"
        above = "" if row["above_foresight_pct"] is None else f"{row['above_foresight_pct']:.1f}"
        lines.append(
            f"| {name} | {ready} | {row['short_kwh']:.0f} | {row['peak_kw']:.0f} | {row['energy_cost']:.0f} "
            f"| {row['demand_cost']:.0f} | {above} | {row['profiles_per_night']:.0f} / "
            f"{row['profiles_unchanged_per_night']:.0f} |"
        )
    return lines


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the tables, and with ``--write`` put them into the documentation."""
    cli = argparse.ArgumentParser(description=__doc__)
    cli.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    cli.add_argument("--nights", type=int, default=30)
    cli.add_argument("--vehicles", type=int, default=24)
    cli.add_argument("--policies", nargs="+", default=list(POLICIES), choices=POLICIES)
    cli.add_argument("--faults", nargs="+", default=list(FAULTS), choices=list(FAULTS))
    cli.add_argument("--cases", nargs="+", default=list(CASES), choices=list(CASES))
    cli.add_argument("--site", default="north")
    cli.add_argument("--port-base", type=int, default=19400)
    cli.add_argument("--keep", type=Path, help="folder in which depots and scores are kept between runs")
    cli.add_argument("--minutes", type=float, help="begin no further night after so many minutes")
    cli.add_argument("--write", action="store_true", help="put the tables into docs/planning.md")
    chosen = cli.parse_args(arguments)
    for name in SECRETS:
        os.environ.setdefault(name, secrets.token_hex(16))
    with tempfile.TemporaryDirectory() as temporary:
        folder = chosen.keep or Path(temporary)
        _play(chosen, folder)
        lines = _report(chosen, folder)
    print("\n".join(lines), flush=True)
    if chosen.write:
        before, rest = DOCS.read_text(encoding="utf-8").split(BEGIN)
        write_text_atomic(DOCS, f"{before}{BEGIN}\n\n" + "\n".join(lines) + f"\n{END}{rest.split(END)[1]}")
    return 0


def _play(chosen: argparse.Namespace, folder: Path) -> None:
    """Play the nights that have no scores yet, a night of every seed before the next night."""
    last = LIVE_DATE - timedelta(days=2)
    first = last - timedelta(days=chosen.nights - 1)
    until = math.inf if chosen.minutes is None else time.monotonic() + 60 * chosen.minutes
    places: dict[int, tuple[ReplayPlace, Truth]] = {}
    for day in (first + timedelta(days=k) for k in range(chosen.nights)):
        for seed in chosen.seeds:
            path = _scores_path(folder, seed, day)
            rows = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
            missing = _pairs(chosen) - {(row["case"], row["fault"]) for row in rows}
            if time.monotonic() > until:
                return
            if not missing:
                continue
            if seed not in places:
                places[seed] = _place(chosen, folder / f"seed-{seed}", seed)
            begin = time.process_time()
            rows += _night(chosen, *places[seed], first, day, missing)
            path.parent.mkdir(parents=True, exist_ok=True)
            write_text_atomic(path, json.dumps(rows))
            sys.stderr.write(f"seed {seed}, {day}: {time.process_time() - begin:.1f} s of processor time\n")


def _pairs(chosen: argparse.Namespace) -> set[tuple[str, str]]:
    """Return case and fault of every table: every case without a fault, every fault in the first case."""
    return {(case, "none") for case in chosen.cases} | {(chosen.cases[0], fault) for fault in chosen.faults}


def _place(chosen: argparse.Namespace, folder: Path, seed: int) -> tuple[ReplayPlace, Truth]:
    days = HISTORY_DAYS + chosen.nights + 1
    scenario = prepared(folder, seed=seed, vehicles=chosen.vehicles, days=days, port_base=chosen.port_base)
    place = ReplayPlace(Settings(home=folder / "home", config=scenario.config_dir))
    return place, Truth.read(scenario.folder / "truth.json")


def _night(
    chosen: argparse.Namespace,
    place: ReplayPlace,
    truth: Truth,
    first: date,
    day: date,
    pairs: set[tuple[str, str]],
) -> list[dict[str, Any]]:
    """Return the scores of a night in the cases and under the faults that are asked for."""
    options = ReplayOptions(first, first, (chosen.site,), tuple(chosen.policies), tuple(chosen.faults))
    night = night_of(place, chosen.site, day, options, truth)
    known = forecasters_of(place, night, options)
    scores = []
    for name, (peak, factor) in CASES.items():
        wanted = replace(options, faults=tuple(fault for fault in FAULTS if (name, fault) in pairs))
        played = night_scores(night.under(peak_so_far=peak, limit_factor=factor), wanted, known)
        scores += [{"case": name, "fault": fault, "date": f"{day}", "score": asdict(one)} for fault, one in played]
    return scores


def _scores_path(folder: Path, seed: int, day: date) -> Path:
    return folder / "scores" / f"{seed}-{day}.json"


def totals(folder: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """Return the table of every case and fault over all nights that were played, in their order."""
    played = _scores(folder)
    order = [(case, fault) for case in CASES for fault in FAULTS if (case, fault) in played]
    return {key: table_of(played[key]) for key in order}


def _scores(folder: Path) -> dict[tuple[str, str], list[NightScore]]:
    found: dict[tuple[str, str], list[NightScore]] = {}
    for path in sorted((folder / "scores").glob("*.json")):
        for row in json.loads(path.read_text(encoding="utf-8")):
            case, fault, score = row["case"], row["fault"], Score(**row["score"])
            one = NightScore(path.stem, date.fromisoformat(row["date"]), fault, score)
            found.setdefault((case, fault), []).append(one)
    return found


def _report(chosen: argparse.Namespace, folder: Path) -> list[str]:
    """Return the tables of all nights that were played."""
    found = totals(folder)
    if not found:
        return ["No night has been played."]
    names = [path.stem.split("-", 1) for path in (folder / "scores").glob("*.json")]
    days = [day for _, day in names]
    depots = f"{len({seed for seed, _ in names})} depots of {chosen.vehicles} vehicles on two sites"
    lines = [
        f"{len(names)} nights of {depots}, {chosen.site} played, {min(days)} to {max(days)}, with weekends.",
        "",
    ]
    for (case, fault), rows in found.items():
        title = TITLES[case] if fault == "none" else f"{TITLES[case]}, {fault}"
        lines += [f"**{title}.** {_counts(rows)}", "", *table(rows), ""]
    return lines


def _counts(rows: dict[str, Any]) -> str:
    first = next(iter(rows.values()))
    return f"{first['departures']} departures, {first['infeasible']} of them out of reach of perfect foresight."


if __name__ == "__main__":
    sys.exit(main())
