"""The bar of the replay, in full: thirty simulated nights of five depots, with and without faults."""

from pathlib import Path

import pytest

from benchmarks.replay import main, totals
from planning.replay.faults import FAULTS

CONFIDENCE_PCT = 99.0
READY_PCT = CONFIDENCE_PCT - 0.5
ABOVE_FORESIGHT_PCT = 5.0
DEARER = {"faulty_charger"}  # its peak may be paid for before anybody can know (docs/planning.md)


@pytest.mark.soak
@pytest.mark.timeout(6 * 3600)
def test_thirty_nights_of_five_depots(tmp_path: Path) -> None:
    main(["--keep", str(tmp_path), "--policies", "platform", "perfect_foresight"])
    found = totals(tmp_path)
    for fault in FAULTS:
        platform = found["charge", fault]["platform"]
        assert platform["ready_pct"] >= READY_PCT, fault
        assert fault in DEARER or platform["above_foresight_pct"] <= ABOVE_FORESIGHT_PCT, fault
    assert found["both", "none"]["platform"]["ready_pct"] >= READY_PCT
    assert all(rows["platform"]["over_limit_kw"] == 0.0 for rows in found.values())
