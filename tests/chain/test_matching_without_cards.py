"""Cards that no reader reads: telematics, trips and bays of a served depot still tell who is plugged in where."""

from pathlib import Path

import pytest

from benchmarks.matching import main
from tests.chain.depot import free_port_base


@pytest.mark.timeout(300)
def test_most_vehicles_are_recognised_without_a_card_and_next_to_none_wrongly(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    size = ["--vehicles", "12", "--days", "12", "--seeds", "1"]
    main([*size, "--keep", str(tmp_path), "--port-base", str(free_port_base())])
    rows = [line.strip("| ").split(" | ") for line in capsys.readouterr().out.splitlines()[2:]]
    for _, hidden, *figures in rows:
        vehicles, right, wrong, _, guests, taken = map(int, figures)
        assert vehicles >= 20, hidden
        assert right >= 0.8 * vehicles, hidden
        assert wrong + taken <= 0.02 * (vehicles + guests), hidden
