"""What a presystem is told about the depot: points, processes and predictions, as VDV 463 names them. Pure.

Powers are kW and energies Wh there. What is not known is left out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from core.publication import ConnectorPlan
from core.time_grid import format_instant

OCCUPIED: Final = frozenset({"Preparing", "Charging", "SuspendedEVSE", "SuspendedEV", "Finishing", "Occupied"})
PROCESS_STATUSES: Final = frozenset({"Preparing", "Charging", "SuspendedEVSE", "SuspendedEV", "Finishing"})
OTHER_STATUSES: Final = frozenset({"Available", "Reserved", "Faulted"})
DRAWING_KW: Final = 0.1
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Point:
    """A connector as the bridge knows it; ``started_at`` and ``meter_start_kwh`` are its transaction's."""

    station_id: str
    point_id: str
    connected: bool
    status: str | None
    limit_kw: float | None
    power_kw: float | None
    energy_register_kwh: float | None
    soc_pct: float | None
    transaction_id: str | None
    started_at: datetime | None
    meter_start_kwh: float | None
    plan: ConnectorPlan | None


def charging_information(
    points: Sequence[Point], requests: Sequence[Json], *, depot_id: str, presystem_id: str
) -> Json:
    """Return the payload of ProvideChargingInformation.

    Args:
        points: All connectors, by station.
        requests: The presystem's standing requests, in plan words.
        depot_id: Name of the depot.
        presystem_id: Whom it is for.
    """
    known = {point.point_id for point in points}
    by_vehicle = {request["vehicle_id"]: request for request in requests}
    stations: dict[str, list[Point]] = {}
    for point in points:
        stations.setdefault(point.station_id, []).append(point)
    rejected = [
        {
            "presystemId": presystem_id,
            "chargingRequestId": request["charging_request_id"],
            "reason": f"the charging point {request['charging_point_id']} is not known here",
        }
        for request in requests
        if request["charging_point_id"] not in {None, *known}
    ]
    depot = {
        "depotId": depot_id,
        "chargingStationInfoList": [
            _station(station_id, of_station, requests, by_vehicle) for station_id, of_station in stations.items()
        ],
    }
    return {"depotInfoList": [depot], **({"rejectedChargingRequestInfoList": rejected} if rejected else {})}


def _station(
    station_id: str, points: Sequence[Point], requests: Sequence[Json], by_vehicle: Mapping[str, Json]
) -> Json:
    powers = [point.power_kw for point in points if point.power_kw is not None]
    return {
        "chargingStationId": station_id,
        **({"totalPower": sum(powers)} if powers else {}),
        "chargingPointInfoList": [_point(point, requests, by_vehicle) for point in points],
    }


def _point(point: Point, requests: Sequence[Json], by_vehicle: Mapping[str, Json]) -> Json:
    vehicle_id = None if point.plan is None or point.transaction_id is None else point.plan.vehicle_id
    request = by_vehicle.get(vehicle_id or "")
    scheduled = [
        {
            "chargingRequestId": one["charging_request_id"],
            "vehicleId": one["vehicle_id"],
            "chargingPredictionData": {"chargingPredictionDataStatus": "Ongoing"},
        }
        for one in requests
        if one["charging_point_id"] == point.point_id and one["vehicle_id"] != vehicle_id
    ]
    info = {
        "chargingPointId": point.point_id,
        "chargingPointStatus": _point_status(point),
        "presentPowerLimit": point.limit_kw,
        "energyMeterReading": _wh(point.energy_register_kwh),
        "vehicleInfo": None if vehicle_id is None else _vehicle(vehicle_id, point),
        "chargingProcessInfo": _process(point, request),
        "scheduledChargingProcessList": scheduled or None,
    }
    return _known(info)


def _point_status(point: Point) -> str:
    if not point.connected:
        return "Unavailable"
    if point.transaction_id is not None or point.status in OCCUPIED:
        return "Occupied"
    return point.status if point.status in OTHER_STATUSES else "Unavailable"


def _vehicle(vehicle_id: str, point: Point) -> Json:
    battery = None if point.soc_pct is None else {"stateOfCharge": point.soc_pct}
    draws = point.power_kw is not None and point.power_kw >= DRAWING_KW
    info = {
        "vehicleId": vehicle_id,
        "tractionBatteryInfo": battery,
        "vehicleStatusInfo": {},
        "vehicleChargingStatus": "Charging" if draws else "ReadyToCharge",
        "preconditioningInfo": {},
    }
    return _known(info)


def _process(point: Point, request: Json | None) -> Json | None:
    if point.transaction_id is None or point.started_at is None or point.power_kw is None:
        return None  # a process must state its power, and an unknown one is not 0
    delivered_kwh = None
    if point.energy_register_kwh is not None and point.meter_start_kwh is not None:
        delivered_kwh = max(0.0, point.energy_register_kwh - point.meter_start_kwh)
    info = {
        "chargingRequestId": None if request is None else request["charging_request_id"],
        "chargingProcessId": point.transaction_id,
        "processStatus": _process_status(point),
        "startTime": format_instant(point.started_at),
        "chargingPredictionData": _prediction(point.plan),
        "electricData": {"chargingPower": point.power_kw},
        "deliveredEnergy": _wh(delivered_kwh),
    }
    return _known(info)


def _process_status(point: Point) -> str:
    if point.status in PROCESS_STATUSES:
        return point.status or ""
    if point.power_kw is not None and point.power_kw >= DRAWING_KW:
        return "Charging"
    return "SuspendedEVSE" if point.limit_kw == 0 else "SuspendedEV"


def _prediction(plan: ConnectorPlan | None) -> Json:
    prediction: Json = {"chargingPredictionDataStatus": "Ongoing"}
    if plan is not None and plan.predicted_departure_soc_pct is not None and plan.requested_departure_at is not None:
        prediction["chargingPredictionDataDepartureTime"] = {
            "predictedDepartureTimeSoc": plan.predicted_departure_soc_pct,
            "requestedTimeForDeparture": format_instant(plan.requested_departure_at),
        }
    return prediction


def _wh(energy_kwh: float | None) -> float | None:
    return None if energy_kwh is None else round(energy_kwh * 1000, 1)


def _known(info: Json) -> Json:
    return {name: value for name, value in info.items() if value is not None}
