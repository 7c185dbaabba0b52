"""What the operations page shows, as plain values: frozen dataclasses, instants in UTC, units in the names.

None means unknown or not given. Nothing here reads, judges or draws; ``loading`` fills it and ``operations`` shows it.
"""

from dataclasses import dataclass
from datetime import datetime

from reporting.readiness import Departure, Judgement


@dataclass(frozen=True, slots=True)
class Span:
    """A half-open stretch of time."""

    start_at: datetime
    end_at: datetime


@dataclass(frozen=True, slots=True)
class DepartureLine:
    """A line of the readiness board: what was known of a departure, and the verdict."""

    departure: Departure
    judgement: Judgement
    is_gone: bool


@dataclass(frozen=True, slots=True)
class PowerInterval:
    """A slot of the site: limit, other load less solar and battery, planned and metered charging, price."""

    start_at: datetime
    end_at: datetime
    limit_kw: float | None = None
    other_kw: float | None = None
    planned_kw: float | None = None
    metered_kw: float | None = None
    price_per_kwh: float | None = None


@dataclass(frozen=True, slots=True)
class PowerStep:
    """Constant power over a stretch of time."""

    start_at: datetime
    end_at: datetime
    power_kw: float


@dataclass(frozen=True, slots=True)
class GanttBar:
    """A vehicle's night: when it was (or is expected to be) plugged in, planned and metered power, its departures."""

    vehicle_id: str
    plugged: tuple[Span, ...] = ()
    expected: tuple[Span, ...] = ()
    planned: tuple[PowerStep, ...] = ()
    metered: tuple[PowerStep, ...] = ()
    departures: tuple[datetime, ...] = ()


@dataclass(frozen=True, slots=True)
class QuarantineLine:
    """Rows of one entity that were not trusted for one reason, with an example that holds nobody's data."""

    entity: str
    reason: str
    rows: int
    example: str | None


@dataclass(frozen=True, slots=True)
class StaleSource:
    """A vehicle whose telematics breaks its source's promise; ``last_at`` None: it never reported."""

    vehicle_id: str
    last_at: datetime | None
    source_id: str | None = None
    promised_min: float | None = None
    owner: str | None = None
    contact: str | None = None
    on_failure: str | None = None


@dataclass(frozen=True, slots=True)
class ConnectorLine:
    """What became of the plan at a connector; ``state`` None: nothing was published for it.

    ``is_in_use`` without a vehicle is a session that nobody could be matched to. ``closed_since`` is since when it
    charges nobody who comes, by its station's word or by its silence.
    """

    station_id: str
    connector_id: int
    vehicle_id: str | None = None
    is_in_use: bool = False
    state: str | None = None
    evidence: str | None = None
    detail: str | None = None
    updated_at: datetime | None = None
    closed_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class ForecastLine:
    """How one target was forecast for this night and, once known, how well.

    ``rungs`` counts forecasts by rung of the fallback ladder; ``mean_absolute_error`` (``unit``) and the share of
    actual values within the stated 90 % are over the ``scored`` ones that have come true.
    """

    target: str
    unit: str
    forecasts: int
    names: tuple[str, ...]
    rungs: tuple[tuple[int, int], ...]
    scored: int = 0
    mean_absolute_error: float | None = None
    within_90_pct: float | None = None


@dataclass(frozen=True, slots=True)
class Policy:
    """One way to charge the night: what it costs, its peak, and how many departures it makes ready."""

    name: str
    cost_total: float | None = None
    peak_kw: float | None = None
    ready_pct: float | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """The plan beside other ways to charge, the plan first."""

    currency: str
    policies: tuple[Policy, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationsView:
    """One site, one night, as it was known at ``as_of``; departures come with those not ready first."""

    site_id: str
    name: str
    timezone: str
    span: Span
    as_of: datetime
    currency: str | None = None
    plan_id: str | None = None
    plan_as_of: datetime | None = None
    newest_data_at: datetime | None = None
    departures: tuple[DepartureLine, ...] = ()
    power: tuple[PowerInterval, ...] = ()
    gantt: tuple[GanttBar, ...] = ()
    quarantine: tuple[QuarantineLine, ...] = ()
    stale: tuple[StaleSource, ...] = ()
    connectors: tuple[ConnectorLine, ...] = ()
    forecasts: tuple[ForecastLine, ...] = ()
    comparison: Comparison | None = None
