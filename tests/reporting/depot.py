"""A small depot written straight into landing, row by row, for tests of what people see."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from core.entities import ENTITIES
from core.landing import Landing
from core.time_grid import SLOT, format_instant, parse_instant

EPOCH = datetime(2025, 1, 1, tzinfo=UTC)
EVENING = parse_instant("2026-02-09T17:00:00Z")
MORNING = parse_instant("2026-02-10T05:00:00Z")
BEFORE_DAWN = parse_instant("2026-02-10T04:00:00Z")


class Depot:
    """One site, ``north``; vehicles have 100 kWh and charge with 0.9 on DC connectors of 50 kW."""

    def __init__(self, root: Path, *, timezone: str = "Europe/Berlin", name: str = "Depot North") -> None:
        self._landing = Landing(root)
        self._landing.prepare()
        self._rows: dict[tuple[str, str], list[dict[str, Any]]] = {}
        self.land("site", site_id="north", name=name, timezone=timezone, currency="EUR", import_limit_kw=260.0,
                  price_zone="DEMO")  # fmt: skip
        self.land("source_contract", source_id="rfms", kind="rfms_v4", owner="Fleet data team",
                  contact="data@example.org", freshness_min=60.0, on_failure="the last SoC moved forward")  # fmt: skip

    @property
    def landing(self) -> Landing:
        """The landing zone with all rows given so far."""
        for (table, source), rows in self._rows.items():
            frame = pl.DataFrame(rows, schema=ENTITIES[table].schema, orient="row")
            self._landing.append(table, frame, source=source)
        self._rows.clear()
        return self._landing

    def land(self, table: str, /, *, at: datetime = EPOCH, source: str = "config", **row: Any) -> None:
        """Land one row, observed and available at ``at``."""
        stamped = {"observed_at": at, "available_at": at, "ingested_at": at} | row
        self._rows.setdefault((table, source), []).append(stamped)

    def vehicle(self, vehicle_id: str, *, connector_id: int | None = None) -> None:
        """A vehicle, and a connector of station CP-1 if it is to have one."""
        self.land("vehicle", vehicle_id=vehicle_id, site_id="north", usable_kwh=100.0, soh_pct=100.0, efficiency=0.9,
                  dc_max_kw=80.0)  # fmt: skip
        if connector_id is not None:
            self.land("connector", station_id="CP-1", connector_id=connector_id, site_id="north", current_type="dc",
                      max_kw=50.0)  # fmt: skip

    def duty(self, vehicle_id: str, departure_at: datetime, *, required_pct: float | None = 80.0) -> None:
        """A planned departure."""
        self.land("duty", block_id=f"B-{vehicle_id}", operating_date=departure_at.date(), site_id="north",
                  vehicle_id=vehicle_id, planned_departure_at=departure_at, route_id="12",
                  min_target_soc_pct=required_pct)  # fmt: skip

    def report(self, vehicle_id: str, at: datetime, soc_pct: float | None, **fields: Any) -> None:
        """A telematics report from within the depot."""
        fields = {"at_site_id": "north"} | fields
        self.land("vehicle_snapshot", at=at, source="rfms", vehicle_id=vehicle_id, soc_pct=soc_pct, **fields)

    def plug_in(self, vehicle_id: str | None, at: datetime, *, connector_id: int = 1, **fields: Any) -> None:
        """A transaction that begins; ``ended_at`` adds the version that ends it."""
        key = {"station_id": "CP-1", "connector_id": connector_id, "transaction_id": f"{at:%H%M}", "started_at": at}
        self.land("session_match", at=at, source="match", **key, vehicle_id=vehicle_id, confidence=0.95,
                  method="token")  # fmt: skip
        begin = {name: value for name, value in fields.items() if name in {"meter_start_kwh", "soc_start_pct"}}
        self.land("charging_transaction", at=at, source="bridge", **key, **begin)
        if ended_at := fields.get("ended_at"):
            self.land("charging_transaction", at=ended_at, source="bridge", **key, **fields)

    def meter(self, at: datetime, register_kwh: float, *, connector_id: int = 1, **fields: Any) -> None:
        """A charger's register."""
        self.land("meter_value", at=at, source="bridge", station_id="CP-1", connector_id=connector_id,
                  energy_register_kwh=register_kwh, **fields)  # fmt: skip

    def plan(
        self, as_of: datetime, vehicles: dict[str, dict[str, Any]], *, slots: int = 96, power_kw: float = 20.0
    ) -> str:
        """A plan in which each vehicle charges with ``power_kw`` in the slots it names (``charges``: first, count)."""
        plan_id = f"plan-{as_of:%m%dT%H%M}"
        power = {name: _in_slots(line.get("charges", (0, 0)), slots, power_kw) for name, line in vehicles.items()}
        problem = {
            "start_at": format_instant(as_of), "slot_minutes": 15, "slots": slots, "grid_limit_kw": [250.0] * slots,
            "base_load_kw": [18.0] * slots, "pv_kw": [0.0] * slots,
            "price_per_kwh": [0.2 + 0.001 * slot for slot in range(slots)],
        }  # fmt: skip
        plan = {"vehicles": [{"vehicle_id": name, "power_kw": kw} for name, kw in power.items()], "battery_kw": None}
        self.land("plan", at=as_of, source="plan", plan_id=plan_id, site_id="north", as_of=as_of, start_at=as_of,
                  slots=slots, problem_json=json.dumps(problem), plan_json=json.dumps(plan),
                  inputs_json="{}")  # fmt: skip
        for vehicle_id, line in vehicles.items():
            given = {name: value for name, value in line.items() if name != "charges"}
            self.land("plan_vehicle", at=as_of, source="plan", plan_id=plan_id, site_id="north",
                      vehicle_id=vehicle_id, **given)  # fmt: skip
            for slot, kw in enumerate(power[vehicle_id]):
                if kw:
                    start_at = as_of + slot * SLOT
                    self.land("plan_interval", at=as_of, source="plan", plan_id=plan_id, site_id="north",
                              vehicle_id=vehicle_id, start_at=start_at, end_at=start_at + SLOT,
                              power_kw=kw)  # fmt: skip
        return plan_id


def _in_slots(charges: tuple[int, int], slots: int, power_kw: float) -> list[float]:
    first, count = charges
    return [power_kw if first <= slot < first + count else 0.0 for slot in range(slots)]


def hours(number: float) -> timedelta:
    """Return a duration."""
    return timedelta(hours=number)


def busy_night(root: Path) -> Depot:
    """A night with one departure in every state at ``BEFORE_DAWN``, and something in every other part of the page.

    bus-01 ready, bus-02 charging, bus-03 plugged in late and short, bus-04 never plugged in, bus-05 of unknown SoC,
    bus-06 due back; a guest at connector 9.
    """
    depot = Depot(root)
    for number in range(1, 7):
        depot.vehicle(f"bus-0{number}", connector_id=number)
        depot.duty(f"bus-0{number}", MORNING + hours(0.5 * number), required_pct=None)
    at_dusk = {"expected_arrival_at": EVENING + hours(1), "min_target_soc_pct": 80.0, "soc_rung": 4,
               "soc_source": "forecast"}  # fmt: skip
    lines: dict[str, dict[str, Any]] = {}
    for number in range(1, 7):
        lines[f"bus-0{number}"] = at_dusk | {
            "requested_departure_at": MORNING + hours(0.5 * number),
            "predicted_departure_soc_pct": 84.0,
            "charges": (8, 10),
        }
    lines["bus-02"]["charges"] = (44, 10)
    lines["bus-03"] |= {"predicted_departure_soc_pct": 70.0, "reason_text": "plugged in late"}
    lines["bus-06"] |= {"expected_arrival_at": BEFORE_DAWN + hours(0.5)}
    plan_id = depot.plan(EVENING, lines)
    for number, soc_pct in ((1, 86.0), (2, 60.0), (3, 60.0), (4, 40.0)):
        depot.report(f"bus-0{number}", EVENING + hours(1), 40.0)
        depot.report(f"bus-0{number}", BEFORE_DAWN - hours(0.1), soc_pct)
    depot.report("bus-05", EVENING - hours(40), 70.0)
    depot.plug_in("bus-01", EVENING + hours(1.1), connector_id=1, meter_start_kwh=100.0)
    for slot in range(10):
        depot.meter(EVENING + hours(2 + slot / 4), 100.0 + 5.0 * slot, connector_id=1)
    depot.plug_in("bus-02", EVENING + hours(1.1), connector_id=2)
    depot.plug_in("bus-03", BEFORE_DAWN - timedelta(hours=4, minutes=20), connector_id=3)
    depot.plug_in("bus-05", EVENING + hours(1.1), connector_id=5)
    depot.land("connector", station_id="CP-1", connector_id=9, site_id="north", current_type="ac", max_kw=11.0)
    depot.plug_in(None, EVENING + hours(3), connector_id=9)
    for number, state in ((1, "verified"), (2, "accepted"), (3, "rejected")):
        depot.land("profile_state", at=EVENING + hours(2), source="bridge", plan_id=plan_id, site_id="north",
                   station_id="CP-1", connector_id=number, state=state, evidence="none",
                   detail="the station said so")  # fmt: skip
    depot.land("quarantined_row", at=EVENING, source="rfms", entity="vehicle_snapshot", record_ref="page 3, index 7",
               reason="soc_out_of_range", detail="SoC is 140 %")  # fmt: skip
    depot.land("price", at=EVENING - hours(12), source="prices", series_id="DEMO", start_at=EVENING - hours(12),
               end_at=EVENING + hours(24), price_per_kwh=0.11, currency="EUR")  # fmt: skip
    depot.land("forecast", at=EVENING, source="ml", site_id="north", target="return_at", subject_id="bus-01",
               vehicle_id="bus-01", predicted_at=EVENING, unit="hours", point=1.25, q05=0.5, q95=2.0, name="median",
               rung=5)  # fmt: skip
    depot.land("trip", at=EVENING + hours(1), source="rfms", vehicle_id="bus-01", started_at=EVENING - hours(5),
               ended_at=EVENING + hours(1), end_site_id="north")  # fmt: skip
    return depot
