"""What charging stations and their back ends say."""

from core.schema import Entity, flag, instant, integer, number, text

METERING_POINTS = (
    "site_grid",
    "evse_ac_in",
    "evse_ac_out",
    "evse_dc_out",
    "battery_in",
    "telematics_estimate",
)
CONNECTOR_STATUSES = (
    "available",
    "preparing",
    "charging",
    "suspended_evse",
    "suspended_ev",
    "finishing",
    "reserved",
    "unavailable",
    "faulted",
)

CHARGING_TRANSACTION = Entity(
    "charging_transaction",
    "A charging transaction; start and end are two versions of one key. "
    "observed_at is when the version was true. Grain: station, connector, transaction, start.",
    ("station_id", "connector_id", "transaction_id", "started_at"),
    {
        "station_id": text("Station.", required=True),
        "connector_id": integer("Connector.", required=True, minimum=0),
        "transaction_id": text("Transaction, as the back end or the station numbered it.", required=True),
        "site_id": text("Site, where the source knows it."),
        "started_at": instant("Start (plug-in, where that is all the source knows).", required=True),
        "ended_at": instant("End; NULL while it lasts."),
        "charging_ended_at": instant("When energy stopped flowing, where known."),
        "energy_kwh": number("Energy delivered.", minimum=0, maximum=2000),
        "metering_point": text("Where the energy was measured.", values=METERING_POINTS),
        "meter_start_kwh": number("Register at the start.", minimum=0),
        "meter_end_kwh": number("Register at the end.", minimum=0),
        "soc_start_pct": number("SoC at the start.", minimum=0, maximum=100),
        "soc_end_pct": number("SoC at the end.", minimum=0, maximum=100),
        "token": text("Keyed hash of the idTag."),
        "user_id": text("Pseudonymous user, where the source has one."),
        "vehicle_id": text("Vehicle, where the source itself names it."),
        "idle_min": number("Minutes plugged in without energy.", minimum=0),
        "requested_kwh": number("Energy that the driver asked for.", minimum=0),
        "stated_departure_at": instant("Departure that the driver stated."),
        "price_total": number("Price charged."),
        "currency": text("Currency of price_total."),
        "stop_reason": text("Why it ended."),
        "is_estimated": flag("Some of it was estimated by the source."),
    },
)

METER_VALUE = Entity(
    "meter_value",
    "A charger's meter sample, phases summed. Grain: station, connector, observed_at.",
    ("station_id", "connector_id", "observed_at"),
    {
        "station_id": text("Station.", required=True),
        "connector_id": integer("Connector.", required=True, minimum=0),
        "transaction_id": text("Transaction it belongs to."),
        "energy_register_kwh": number("Energy register (import).", minimum=0),
        "power_kw": number("Active power drawn.", minimum=-4000, maximum=4000),
        "offered_kw": number("Power that the station says it offers.", minimum=0, maximum=4000),
        "soc_pct": number("SoC that the station knows.", minimum=0, maximum=100),
    },
)

CONNECTOR_STATUS = Entity(
    "connector_status",
    "A change of a connector's status. Grain: station, connector, observed_at.",
    ("station_id", "connector_id", "observed_at"),
    {
        "station_id": text("Station.", required=True),
        "connector_id": integer("Connector; 0 is the whole station.", required=True, minimum=0),
        "status": text("Status.", required=True, values=CONNECTOR_STATUSES),
        "error_code": text("Error, as the station words it; NULL when there is none."),
    },
)

STATION_LINK = Entity(
    "station_link",
    "Whether a station was connected to the bridge, since observed_at (when it connected, or was last heard). "
    "Grain: station, observed_at.",
    ("station_id", "observed_at"),
    {
        "station_id": text("Station.", required=True),
        "is_connected": flag("Whether it was connected.", required=True),
    },
)

SESSION_MATCH = Entity(
    "session_match",
    "Which vehicle a transaction charges, how sure we are, and why. No match is a row without a vehicle. "
    "Grain: station, connector, transaction, start.",
    ("station_id", "connector_id", "transaction_id", "started_at"),
    {
        "station_id": text("Station.", required=True),
        "connector_id": integer("Connector.", required=True, minimum=0),
        "transaction_id": text("Transaction.", required=True),
        "started_at": instant("Start of the transaction.", required=True),
        "vehicle_id": text("Vehicle; NULL when none fits."),
        "confidence": number("0 to 1.", required=True, minimum=0, maximum=1),
        "method": text("Evidence that decided: token, vehicle_named, arrival, manual, none.", required=True),
    },
)

ENTITIES = (CHARGING_TRANSACTION, METER_VALUE, CONNECTOR_STATUS, STATION_LINK, SESSION_MATCH)
