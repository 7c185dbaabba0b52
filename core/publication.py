"""The ``publication/1`` document: what planning hands to the bridge (docs/schemas/publication-1.json)."""

from datetime import datetime
from itertools import pairwise
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainSerializer, model_validator

from core.time_grid import format_instant, to_utc

Instant = Annotated[datetime, AfterValidator(to_utc), PlainSerializer(format_instant, when_used="json")]
PowerKw = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class LimitPeriod(_Document):
    """A power limit that holds from an instant until the next period, or the end of the document."""

    start_at: Instant
    limit_kw: PowerKw


class GroupLimit(_Document):
    """The limit of a feeder or a shared power module over time."""

    group_id: str
    limit_kw: list[LimitPeriod]


class ConnectorPlan(_Document):
    """What one connector may draw, for one transaction or for whoever plugs in next."""

    station_id: str
    connector_id: int = Field(ge=1, description="The EVSE id on OCPP 2.x.")
    group_id: str | None = None
    current_type: Literal["ac", "dc"]
    nominal_voltage_v: float = Field(gt=0)
    connector_phases: Literal[1, 3]
    vehicle_phases: Literal[1, 3] | None = None
    max_kw: PowerKw
    min_kw: PowerKw
    fallback_kw: PowerKw
    transaction_id: str | int | None = None
    vehicle_id: str | None = None
    requested_departure_at: Instant | None = None
    min_target_soc_pct: float | None = Field(None, ge=0, le=100)
    predicted_departure_soc_pct: float | None = Field(None, ge=0, le=100)
    periods: list[LimitPeriod] = Field(min_length=1)

    @model_validator(mode="after")
    def _periods_ascend(self) -> "ConnectorPlan":
        starts = [period.start_at for period in self.periods]
        if any(later <= earlier for earlier, later in pairwise(starts)):
            raise ValueError("periods must start in ascending order, each later than the one before")
        return self


class Publication(_Document):
    """One plan for the connectors of one site. All instants are UTC and written with ``Z``."""

    schema_: Literal["depotwise.publication/1"] = Field("depotwise.publication/1", alias="schema")
    plan_id: str = Field(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9._:-]+$")
    site_id: str
    as_of: Instant
    valid_until: Instant
    dry_run: bool = False
    ev_limit_kw: list[LimitPeriod] = Field(min_length=1)
    groups: list[GroupLimit] = Field(default_factory=list)
    connectors: list[ConnectorPlan]

    @model_validator(mode="after")
    def _one_entry_a_connector(self) -> "Publication":
        keys = [(entry.station_id, entry.connector_id) for entry in self.connectors]
        twice = sorted({key for key in keys if keys.count(key) > 1})
        if twice:
            raise ValueError(f"one entry per connector; given more than once: {twice}")
        if self.valid_until <= self.as_of:
            raise ValueError("valid_until must be later than as_of")
        return self

    def to_json(self) -> str:
        """Return the document as it travels."""
        return self.model_dump_json(by_alias=True)
