"""Replays simulated nights under every policy and fault: ``python -m benchmarks.replay``.

Each seed is a depot with its own fleet and weeks of history, made by the simulator, served over real sockets and
ingested like any other; then its latest nights are replayed. ``--write`` puts the tables into ``docs/planning.md``.
A night of eight vehicles under all policies takes about a minute of processor time.
"""

import argparse
import os
import secrets
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import date, timedelta
from pathlib import Path

from core.clock import drive_clock
from core.files import write_text_atomic
from core.settings import Settings
from orchestration.demo.drive import SECRETS
from orchestration.demo.scenario import Scenario
from orchestration.demo.services import Service, run_program
from orchestration.replay.command import POLICIES, NightScore, ReplayOptions, played_nights, table_of
from orchestration.replay.place import ReplayPlace
from orchestration.steps.ingest import ingest_everything
from orchestration.steps.workplace import Workplace
from planning.replay.faults import FAULTS

DOCS = Path(__file__).resolve().parent.parent / "docs" / "planning.md"
BEGIN, END = "<!-- replay: written by benchmarks.replay -->", "<!-- end of replay -->"
HISTORY_DAYS = 28
LIVE_DATE = date(2026, 2, 9)
"""The simulator's live date; the nights before it are history."""

HEAD = "| policy | ready % | kWh short | peak kW | energy | demand | above foresight % | new / same profiles a night |"
CASES = (
    ("the demand charge begins anew every night", "none", 1.0),
    ("the same with twice the connection, so that the charge and not the limit binds", "none", 2.0),
    ("the peak is paid for already, so that price and limit alone bind", "paid", 1.0),
)


def prepared(folder: Path, *, seed: int, vehicles: int, days: int, port_base: int) -> Scenario:
    """Make a simulated depot and ingest its history into ``folder/home``; one that is there already is kept."""
    depot = folder / "depot"
    if (folder / "home" / "landing").exists():
        return Scenario.read(depot)
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
    return scenario


def table(played: Sequence[NightScore], fault: str) -> list[str]:
    """Return the lines of a fault's table."""
    rows = table_of([one for one in played if one.fault == fault])
    first = next(iter(rows.values()))
    lines = [
        f"{fault}: {first['departures']} departures, {first['infeasible']} of them out of reach of perfect foresight.",
        "",
        HEAD,
        "|---" * 8 + "|",
    ]
    for name, row in rows.items():
        ready = "" if row["ready_pct"] is None else f"{row['ready_pct']:.1f}"
        above = "" if row["above_foresight_pct"] is None else f"{row['above_foresight_pct']:.1f}"
        lines.append(
            f"| {name} | {ready} | {row['short_kwh']:.0f} | {row['peak_kw']:.0f} | {row['energy_cost']:.0f} "
            f"| {row['demand_cost']:.0f} | {above} | {row['profiles_per_night']:.0f} / "
            f"{row['profiles_unchanged_per_night']:.0f} |"
        )
    return [*lines, ""]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the tables, and with ``--write`` put them into the documentation."""
    cli = argparse.ArgumentParser(description=__doc__)
    cli.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    cli.add_argument("--nights", type=int, default=30)
    cli.add_argument("--vehicles", type=int, default=16)
    cli.add_argument("--policies", nargs="+", default=list(POLICIES), choices=POLICIES)
    cli.add_argument("--faults", nargs="+", default=list(FAULTS), choices=list(FAULTS))
    cli.add_argument("--cases", type=int, nargs="+", default=[0, 1, 2], help="which of the cost cases")
    cli.add_argument("--port-base", type=int, default=19400)
    cli.add_argument("--keep", type=Path, help="folder in which depots are kept between runs")
    cli.add_argument("--write", action="store_true", help="put the tables into docs/planning.md")
    chosen = cli.parse_args(arguments)
    for name in SECRETS:
        os.environ.setdefault(name, secrets.token_hex(16))
    with tempfile.TemporaryDirectory() as temporary:
        lines = list(_report(chosen, chosen.keep or Path(temporary)))
    if chosen.write:
        before, rest = DOCS.read_text(encoding="utf-8").split(BEGIN)
        write_text_atomic(DOCS, f"{before}{BEGIN}\n\n" + "\n".join(lines) + f"\n{END}{rest.split(END)[1]}")
    return 0


def _report(chosen: argparse.Namespace, folder: Path) -> list[str]:
    last = LIVE_DATE - timedelta(days=2)
    first = last - timedelta(days=chosen.nights - 1)
    lines = [f"Seeds {', '.join(map(str, chosen.seeds))}; nights of {first} to {last}; {chosen.vehicles} vehicles.", ""]
    for number in chosen.cases:
        title, peak, factor = CASES[number]
        faults = tuple(chosen.faults) if number == 0 else ("none",)
        options = ReplayOptions(first, last, (), tuple(chosen.policies), faults, peak, factor)
        played: list[NightScore] = []
        for seed in chosen.seeds:
            played += _played(chosen, folder / f"seed-{seed}", seed, options)
        lines += [f"**Cost: {title}.**", ""]
        for fault in faults:
            lines += table(played, fault)
    print("\n".join(lines), flush=True)
    return lines


def _played(chosen: argparse.Namespace, folder: Path, seed: int, options: ReplayOptions) -> list[NightScore]:
    days = HISTORY_DAYS + chosen.nights + 1
    scenario = prepared(folder, seed=seed, vehicles=chosen.vehicles, days=days, port_base=chosen.port_base)
    place = ReplayPlace(Settings(home=folder / "home", config=scenario.config_dir))

    def say(text: str) -> None:
        sys.stderr.write(f"seed {seed}: {text}\n")

    return played_nights(place, options, truth=scenario.folder / "truth.json", progress=say)[0]


if __name__ == "__main__":
    sys.exit(main())
