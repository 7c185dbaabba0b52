"""Gap and time of the planner against HiGHS on the public benchmark: ``python -m benchmarks.planner``.

Prints, per variant and size, the EV-attributable cost above the optimum of the relaxation, the time, and the time of
the faster of simplex and interior point on the same linear programme, all measured in one run on one machine.
"""

import argparse
import importlib.util
import json
import math
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from planning.documents import problem_from_record
from planning.solve import plan_document, solve

BENCH = Path(__file__).resolve().parents[2] / "shared" / "planbench"
VARIANTS = ("base", "late", "solar", "tight", "minpower", "connectors")
HEADER = (
    f"{'variant':<11}{'N':>6}{'seed':>5}{'gap %':>9}{'bound %':>9}{'short':>8}{'ours s':>9}{'HiGHS s':>9}{'ratio':>7}"
)


def load(name: str) -> ModuleType:
    """Return a script of the benchmark as a module."""
    spec = importlib.util.spec_from_file_location(name, BENCH / f"{name}.py")
    if spec is None or spec.loader is None:
        raise FileNotFoundError(f"{BENCH}/{name}.py: the benchmark lies beside the repository")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def reference(problem: dict[str, Any], limit_s: float) -> tuple[dict[str, Any], float]:
    """Return the reference's optimum and the seconds of the faster solver."""
    solve = load("reference").solve
    runs = [solve(problem, with_vehicles=True, solver=solver, limit_s=limit_s) for solver in ("ipm", "simplex")]
    solved = [run for run in runs if run["status"] == "Optimal"]
    best = min(solved, key=lambda run: float(run["seconds"]))
    return best, float(best["seconds"])


def measure(variant: str, vehicles: int, seed: int, limit_s: float) -> str:
    """Return one line of the table.

    Raises:
        RuntimeError: the checker found a violation; no figure of an invalid plan is worth printing.
    """
    load("reference")  # loads HiGHS, so that neither clock counts that
    raw = json.dumps(load("generate").generate(vehicles, seed, variant)).encode()
    problem = json.loads(raw)
    begin = time.perf_counter()
    plan = plan_document(raw)
    ours_s = time.perf_counter() - begin
    violations, figures = load("check").check(problem, plan)
    if violations:
        raise RuntimeError(f"{variant}, {vehicles} vehicles, seed {seed}: {violations}")
    best, highs_s = reference(problem, limit_s)
    without = load("reference").solve(problem, with_vehicles=False)["total"]
    attributable = best["total"] - without
    gap, bound = figures["total"] - best["total"], best["total"] - (plan["solver"]["lower_bound"] or float("nan"))
    return (
        f"{variant:<11}{vehicles:>6}{seed:>5}{100 * gap / attributable:>9.4f}{100 * bound / attributable:>9.4f}"
        f"{figures['shortfall_kwh'] - best['shortfall_kwh']:>8.2f}{ours_s:>9.3f}{highs_s:>9.3f}{highs_s / ours_s:>7.1f}"
    )


def growth(sizes: Sequence[int], variant: str, seed: int) -> list[str]:
    """Return processor seconds over N, and over N log N relative to the smallest: at most 1 is no faster growth."""
    lines, first = [f"{'variant':<11}{'N':>6}{'cpu s':>9}{'per N log N':>13}"], 0.0
    for vehicles in sizes:
        raw = json.dumps(load("generate").generate(vehicles, seed, variant)).encode()
        begin = time.process_time()
        plan_document(raw)
        seconds = time.process_time() - begin
        rate = seconds / (vehicles * math.log(vehicles))
        first = first or rate
        lines.append(f"{variant:<11}{vehicles:>6}{seconds:>9.2f}{rate / first:>13.2f}")
    return lines


def warm_start(vehicles: int, seed: int) -> list[str]:
    """Return the processor time of a re-plan from the last plan's prices as a share of a cold one's.

    Between the two every vehicle's SoC has moved a little.
    """
    lines = [f"{'variant':<11}{'N':>6}{'warm/cold':>11}"]
    for variant in ("base", "late", "tight"):
        problem = problem_from_record(load("generate").generate(vehicles, seed, variant))
        price, seconds = solve(problem).slot_price, []
        drift = np.random.default_rng(seed).normal(0, 1, vehicles)
        soc = np.clip(problem.fleet.start_soc_pct + drift, 0, 99)
        moved = replace(problem, fleet=replace(problem.fleet, start_soc_pct=soc))
        for start_price in (price, None):
            begin = time.process_time()
            solve(moved, start_price=start_price)
            seconds.append(time.process_time() - begin)
        lines.append(f"{variant:<11}{vehicles:>6}{seconds[0] / seconds[1]:>11.2f}")
    return lines


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; ``short`` is kWh missing beyond the optimum's, ``ratio`` how many times faster we are."""
    cli = argparse.ArgumentParser(description=__doc__)
    cli.add_argument("--vehicles", type=int, nargs="+", default=[100, 500])
    cli.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=VARIANTS)
    cli.add_argument("--seeds", type=int, nargs="+", default=[101])
    cli.add_argument("--limit-s", type=float, default=300.0, help="give HiGHS up after so many seconds")
    cli.add_argument("--growth", type=int, nargs="*", default=[1000, 2000, 5000], help="sizes for the growth over N")
    chosen = cli.parse_args(arguments)
    if not BENCH.is_dir():
        sys.stderr.write("the planning benchmark is not beside the repository (../shared/planbench)\n")
        return 1
    print(HEADER)
    for variant in chosen.variants:
        for vehicles in chosen.vehicles:
            for seed in chosen.seeds:
                print(measure(variant, vehicles, seed, chosen.limit_s), flush=True)
    if chosen.growth:
        print("\n".join(growth(chosen.growth, "base", chosen.seeds[0])), flush=True)
        print("\n".join(warm_start(min(chosen.growth), chosen.seeds[0])), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
