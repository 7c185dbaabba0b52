import pytest

from simulator.difficulty import Measured, measure, table
from simulator.scenario import Difficulty, Scenario
from simulator.world.history import build_world


@pytest.fixture(scope="module", params=[1, 2, 5])
def measured(request: pytest.FixtureRequest) -> Measured:
    return measure(build_world(Scenario(seed=request.param)))


def test_people_and_drives_are_as_hard_to_foresee_as_promised(measured: Measured):
    assert measured.lateness_sd_min >= 35
    assert measured.lateness_known_sd_min >= 10  # and there is something to learn
    assert measured.arrival_soc_sd_pct >= 6
    assert measured.forgotten_share == pytest.approx(0.02, abs=0.012)


def test_power_is_as_scarce_as_promised(measured: Measured):
    for peak_to_limit in (measured.live.peak_to_limit, measured.typical("peak_to_limit")):
        assert peak_to_limit >= 1.5
    for not_ready in (measured.live.fcfs_not_ready, measured.typical("fcfs_not_ready")):
        assert not_ready >= 0.05


def test_perfect_foresight_leaves_nearly_nobody_behind(measured: Measured):
    assert measured.live.foresight_not_ready <= 0.03
    assert measured.typical("foresight_not_ready") <= 0.01
    assert measured.live.departures >= 35


def test_measure_sees_an_easy_depot_as_easy():
    easy = Difficulty(
        residual_scale_min=5, disruption_share=0, early_return_share=0, distance_cv=0.01, consumption_cv=0.01,
        forgotten_plug_share=0, hours_at_limit=5, evening_limit_share=1.0, feeder_share=1.0,
    )  # fmt: skip

    measured = measure(build_world(Scenario(seed=1, vehicles=12, days=8, difficulty=easy)))

    assert measured.lateness_sd_min < 12
    assert measured.arrival_soc_sd_pct < 3
    assert measured.forgotten_share == 0
    assert measured.live.fcfs_not_ready == 0
    assert measured.live.foresight_not_ready == 0


def test_table_states_every_floor(measured: Measured):
    text = "\n".join(table(measured))

    for words in ("floor 35", "floor 6", "aim 2", "floor 1.5", "floor 5", "near 0"):
        assert words in text
