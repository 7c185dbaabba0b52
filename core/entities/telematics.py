"""What vehicles say of themselves, whoever passed it on."""

from core.schema import Entity, flag, instant, number, text

SOC_BASES = ("displayed", "usable", "bms", "unknown")
CHARGING_STATES = ("not_charging", "charging", "charging_ac", "charging_dc", "error")

VEHICLE_SNAPSHOT = Entity(
    "vehicle_snapshot",
    "A vehicle's state at an instant. Fields that the provider did not send are NULL. Grain: vehicle, observed_at.",
    ("vehicle_id", "observed_at"),
    {
        "vehicle_id": text("Vehicle.", required=True),
        "soc_pct": number("State of charge, 0 to 100.", minimum=0, maximum=100),
        "soc_basis": text("What the SoC is a share of.", values=SOC_BASES),
        "odometer_km": number("Odometer.", minimum=0, maximum=3_000_000),
        "energy_used_total_kwh": number("Counter of energy used for driving, recuperation subtracted.", minimum=0),
        "is_plugged": flag("A charging cable is connected."),
        "charging_state": text("Charging state.", values=CHARGING_STATES),
        "charging_power_kw": number("Power into the vehicle, charging positive.", minimum=-500, maximum=4000),
        "speed_kmh": number("Speed.", minimum=0, maximum=250),
        "ambient_temperature_c": number("Outside temperature.", minimum=-60, maximum=60),
        "range_km": number("Range that the vehicle shows.", minimum=0, maximum=2000),
        "at_site_id": text("Depot whose geofence holds the vehicle; NULL: elsewhere, or position unknown."),
        "has_red_battery_telltale": flag("A red battery tell-tale is on: the vehicle may not be dispatched."),
        "trigger": text("Why the vehicle reported."),
    },
)

VEHICLE_POSITION = Entity(
    "vehicle_position",
    "Precise position: personal data, short retention. Grain: vehicle, observed_at.",
    ("vehicle_id", "observed_at"),
    {
        "vehicle_id": text("Vehicle.", required=True),
        "latitude": number("Degrees north.", required=True, minimum=-90, maximum=90),
        "longitude": number("Degrees east.", required=True, minimum=-180, maximum=180),
    },
    restricted=True,
)

TRIP = Entity(
    "trip",
    "A drive from ignition on to off. Start and end are two versions of one key; so is a recalculation. "
    "observed_at is when the version was true. Grain: vehicle, start.",
    ("vehicle_id", "started_at"),
    {
        "vehicle_id": text("Vehicle.", required=True),
        "started_at": instant("Start.", required=True),
        "ended_at": instant("End; NULL while it lasts."),
        "distance_km": number("Distance.", minimum=0, maximum=2000),
        "energy_kwh": number("Energy from the battery, recuperation subtracted.", minimum=-50, maximum=2000),
        "soc_start_pct": number("SoC at the start.", minimum=0, maximum=100),
        "soc_end_pct": number("SoC at the end.", minimum=0, maximum=100),
        "start_site_id": text("Depot it started at, if any."),
        "end_site_id": text("Depot it ended at, if any."),
        "route_id": text("Route or tour."),
        "is_deleted": flag("The provider withdrew the trip."),
        "provider_ref": text("The provider's own id, which may change; never a key."),
    },
)

ENTITIES = (VEHICLE_SNAPSHOT, VEHICLE_POSITION, TRIP)
