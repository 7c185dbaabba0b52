"""The bar of the public planning benchmark: valid always, and close to the optimum on seeds that it does not know."""

import hashlib
import json
from types import SimpleNamespace

import numpy as np
import pytest

from planning.documents import problem_from_record
from planning.solve import plan_document, solve

# EV-attributable cost above the optimum of the relaxation, in percent, that the public bar allows.
BAR_PCT = {"base": 0.1, "late": 0.1, "solar": 0.1, "tight": 0.1, "minpower": 0.5, "connectors": 6.0}
# The relaxation knows neither rule; below so many vehicles the rules themselves can cost more than the bar.
BAR_FROM = {"minpower": 8, "connectors": 24}
SAMPLE = [(20, 12), (25, 13), (200, 11)]
SHORT_KWH = 0.05


def soak_cases() -> list[tuple[str, int, int]]:
    """Return variant, vehicles and seed of 200 depots: one to three hundred vehicles mostly, a few of thousands."""
    chance = np.random.default_rng(20261126)
    sizes = np.exp(chance.uniform(0, np.log(300), 192)).astype(int)
    small = [(list(BAR_PCT)[k % 6], int(size), 50_000 + k) for k, size in enumerate(sizes)]
    large = [(variant, 1_000, 60_001) for variant in BAR_PCT]
    return small + large + [("base", 2_000, 60_002), ("solar", 2_000, 60_003)]


def assert_within_the_bar(bench: SimpleNamespace, variant: str, vehicles: int, seed: int) -> None:
    raw = json.dumps(bench.generate.generate(vehicles, seed, variant)).encode()
    record, plan = json.loads(raw), json.loads(json.dumps(plan_document(raw)))
    found, figures = bench.check.check(record, plan)
    assert found == []
    assert plan["problem_sha256"] == hashlib.sha256(raw).hexdigest()
    best = bench.reference.solve(record, with_vehicles=True, solver="simplex" if vehicles < 150 else "ipm")
    without = bench.reference.solve(record, with_vehicles=False)["total"]
    assert plan["solver"]["lower_bound"] <= best["total"] * (1 + 1e-6)
    if vehicles >= BAR_FROM.get(variant, 1):
        gap_pct = 100 * (figures["total"] - best["total"]) / (best["total"] - without)
        assert gap_pct <= BAR_PCT[variant]
        assert figures["shortfall_kwh"] <= best["shortfall_kwh"] + max(SHORT_KWH, 1e-4 * best["shortfall_kwh"])


@pytest.mark.data
@pytest.mark.parametrize(("vehicles", "seed"), SAMPLE)
@pytest.mark.parametrize("variant", BAR_PCT)
def test_plan_document_is_valid_and_within_the_bar(
    bench: SimpleNamespace, variant: str, vehicles: int, seed: int
) -> None:
    assert_within_the_bar(bench, variant, vehicles, seed)


@pytest.mark.data
def test_a_patient_plan_finds_the_turns_that_a_quick_one_misses(bench: SimpleNamespace) -> None:
    """Fifteen vehicles and one peak: found soon are turns 20 % above the bound."""
    assert_within_the_bar(bench, "minpower", 15, 50_028)


@pytest.mark.data
@pytest.mark.soak
@pytest.mark.parametrize(("variant", "vehicles", "seed"), soak_cases())
def test_two_hundred_depots_are_within_the_bar(bench: SimpleNamespace, variant: str, vehicles: int, seed: int) -> None:
    assert_within_the_bar(bench, variant, vehicles, seed)


@pytest.mark.data
@pytest.mark.soak
@pytest.mark.parametrize("vehicles", [5_000, 20_000])
@pytest.mark.parametrize("variant", BAR_PCT)
def test_large_fleets_get_valid_plans(bench: SimpleNamespace, variant: str, vehicles: int) -> None:
    raw = json.dumps(bench.generate.generate(vehicles, 70_001, variant)).encode()
    found, _ = bench.check.check(json.loads(raw), plan_document(raw))
    assert found == []


@pytest.mark.data
@pytest.mark.parametrize(("vehicles", "seed"), [(6, 2005), (12, 2002)])
def test_what_connectors_cost_beyond_the_bar_is_unavoidable(bench: SimpleNamespace, vehicles: int, seed: int) -> None:
    """These depots cannot be within 6 % of the bound: a quarter-hourly search proved it (31.8 and 146.6 %)."""
    record = bench.generate.generate(vehicles, seed, "connectors")
    plan = solve(problem_from_record(record))
    best = bench.reference.solve(record, with_vehicles=True, solver="simplex")
    without = bench.reference.solve(record, with_vehicles=False)["total"]
    gap_pct = 100 * (plan.cost.total - best["total"]) / (best["total"] - without)
    proven = {6: 31.80, 12: 146.56}[vehicles]
    assert proven - 0.01 <= gap_pct <= proven + 7
