"""What assets are given: where the workplace is, and what time it is for a run.

Keep step logic out: it lives in ``steps/``, which knows nothing of Dagster.
"""

from datetime import UTC, datetime

import dagster as dg

from core.settings import Settings
from core.time_grid import parse_instant
from orchestration.steps.workplace import Workplace


class WorkplaceResource(dg.ConfigurableResource):  # type: ignore[type-arg]  # Dagster's generic parameter is its own
    """Gives a run its workplace and its ``as_of``.

    ``as_of`` is set by schedules and by ``depotwise run``; without it, a run's own creation time counts, so that all
    its steps, in whatever processes, agree on what was known.
    """

    as_of: str = ""
    trigger: str = "intraday"

    def open(self) -> Workplace:
        """Return the workplace of the environment's settings."""
        return Workplace(Settings())

    def instant(self, context: dg.AssetExecutionContext | dg.AssetCheckExecutionContext) -> datetime:
        """Return the run's ``as_of``."""
        if self.as_of:
            return parse_instant(self.as_of)
        record = context.instance.get_run_record_by_id(context.run.run_id)
        return record.create_timestamp.astimezone(UTC) if record else datetime.now(UTC)
