"""The entry point of Dagster: assets and checks from ``defs/``, jobs, schedules, sensors, one resource."""

from pathlib import Path

import dagster as dg

from orchestration.jobs import JOBS
from orchestration.resources import WorkplaceResource
from orchestration.schedules import schedules
from orchestration.sensors import SENSORS


@dg.definitions
def defs() -> dg.Definitions:
    """Return everything Dagster knows of Depotwise."""
    loaded = dg.load_from_defs_folder(path_within_project=Path(__file__).parent)
    rest = dg.Definitions(
        jobs=list(JOBS),
        schedules=schedules(),
        sensors=list(SENSORS),
        resources={"workplace": WorkplaceResource()},
        executor=dg.in_process_executor,
    )
    return dg.Definitions.merge(loaded, rest)
