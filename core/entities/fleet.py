"""Sites, connectors, vehicles and who drives what: landed from the configuration, or named by a data set."""

import polars as pl

from core.schema import Column, Entity, flag, instant, integer, number, text

CURRENT_TYPES = ("ac", "dc")
VEHICLE_CLASSES = ("car", "van", "truck", "bus", "unknown")

SITE = Entity(
    "site",
    "A depot: one grid connection, one time zone. Grain: site.",
    ("site_id",),
    {
        "site_id": text("Site.", required=True),
        "name": text("Name for people."),
        "timezone": text("IANA time zone of local dates.", required=True),
        "currency": text("ISO 4217 currency of prices."),
        "latitude": number("Degrees north.", minimum=-90, maximum=90),
        "longitude": number("Degrees east.", minimum=-180, maximum=180),
        "geofence_radius_m": number("A vehicle within it is at the depot.", minimum=0),
        "import_limit_kw": number("Lowest import limit of the day.", minimum=0),
        "price_zone": text("Key of the day-ahead price series."),
        "pv_kwp": number("Installed solar power.", minimum=0),
        "battery_capacity_kwh": number("Stationary battery; NULL when there is none.", minimum=0),
        "reserve_soc_pct": number("SoC kept on top of every duty's need.", minimum=0, maximum=100),
    },
)

CONNECTOR = Entity(
    "connector",
    "A connector of a charging station. Grain: station, connector.",
    ("station_id", "connector_id"),
    {
        "station_id": text("OCPP identity of the station.", required=True),
        "connector_id": integer("OCPP connector (1.6) or EVSE (2.x) number.", required=True, minimum=0),
        "site_id": text("Site.", required=True),
        "evse_id": text("EVSE id for people or roaming."),
        "group_id": text("Feeder or shared power module."),
        "current_type": text("ac or dc.", values=CURRENT_TYPES),
        "phases": integer("Phases of the connector.", minimum=1, maximum=3),
        "nominal_voltage_v": number("Phase voltage (AC) or nominal voltage (DC).", minimum=0),
        "max_kw": number("Rated power.", minimum=0),
        "min_kw": number("Least power above zero.", minimum=0),
        "fallback_kw": number("Power that the station holds when nobody tells it anything.", minimum=0),
    },
)

VEHICLE = Entity(
    "vehicle",
    "A vehicle and what its battery can take. Grain: vehicle.",
    ("vehicle_id",),
    {
        "vehicle_id": text("Vehicle.", required=True),
        "vin": text("Vehicle identification number."),
        "site_id": text("Home depot."),
        "model": text("Make and model."),
        "vehicle_class": text("Class.", values=VEHICLE_CLASSES),
        "usable_kwh": number("Usable energy of the battery when new.", minimum=0),
        "soh_pct": number("State of health, share of usable_kwh that is left.", minimum=0, maximum=110),
        "ac_max_kw": number("On-board charger; NULL when it cannot charge on AC.", minimum=0),
        "dc_max_kw": number("DC limit; NULL when it cannot charge on DC.", minimum=0),
        "phases": integer("Phases of the on-board charger.", minimum=1, maximum=3),
        "taper_power_kw": number("Grid-side power at which the battery starts to limit, below the knee.", minimum=0),
        "taper_knee_soc_pct": number("SoC from which charging power falls.", minimum=0, maximum=100),
        "taper_end_fraction": number("Share of taper_power_kw that is left at 100 %.", minimum=0, maximum=1),
        "efficiency": number("Grid to battery.", minimum=0.5, maximum=1),
        "reference_kwh_per_km": number("Energy per km at 20 °C, half loaded.", minimum=0, maximum=10),
        "token": text("Keyed hash of the idTag it charges with, when it has one of its own."),
    },
)

ASSIGNMENT = Entity(
    "assignment",
    "Who drives which vehicle on which block of duties, and with which token. Grain: vehicle, valid from.",
    ("vehicle_id", "valid_from_at"),
    {
        "vehicle_id": text("Vehicle.", required=True),
        "driver_id": text("Driver (a pseudonym)."),
        "block_id": text("Block of duties."),
        "token": text("Keyed hash of the idTag."),
        "valid_from_at": instant("Start of validity, inclusive.", required=True),
        "valid_to_at": instant("End of validity, exclusive; NULL is open."),
    },
)

DUTY = Entity(
    "duty",
    "A vehicle's planned work between leaving and coming back. Grain: block, operating date, vehicle.",
    ("block_id", "operating_date", "vehicle_id"),
    {
        "block_id": text("Block.", required=True),
        "operating_date": Column(pl.Date(), "Local date of departure.", required=True),
        "site_id": text("Depot it leaves from.", required=True),
        "vehicle_id": text("Vehicle that dispatch planned.", required=True),
        "planned_departure_at": instant("Planned pull-out.", required=True),
        "planned_return_at": instant("Planned pull-in."),
        "distance_km": number("Planned distance.", minimum=0, maximum=2000),
        "route_id": text("Route or tour."),
        "min_target_soc_pct": number(
            "SoC that dispatch demands; NULL leaves it to the platform.", minimum=0, maximum=100
        ),
        "is_deleted": flag("Dispatch withdrew the duty; NULL or false: it stands."),
    },
)

SOURCE_CONTRACT = Entity(
    "source_contract",
    "What a source promises, and whom to call when it breaks. Grain: source.",
    ("source_id",),
    {
        "source_id": text("Source.", required=True),
        "kind": text("Adapter that reads it.", required=True),
        "owner": text("Who answers for it."),
        "contact": text("How to reach the owner."),
        "freshness_min": number("The newest observation is never older than this, in minutes.", minimum=0),
        "latency_min": number("An observation reaches us within this, in minutes.", minimum=0),
        "on_failure": text("What happens when it breaks."),
    },
)

ENTITIES = (SITE, CONNECTOR, VEHICLE, ASSIGNMENT, DUTY, SOURCE_CONTRACT)
