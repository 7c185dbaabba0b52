"""Prices, tariffs, carbon, weather and the load of the rest of the site."""

from core.schema import Entity, instant, integer, number, text

PRICE = Entity(
    "price",
    "Price of energy over an interval. Grain: series, start.",
    ("series_id", "start_at"),
    {
        "series_id": text("Price zone or tariff.", required=True),
        "start_at": instant("Start.", required=True),
        "end_at": instant("End.", required=True),
        "price_per_kwh": number("Price before taxes; may be negative.", required=True, minimum=-20, maximum=100),
        "currency": text("Currency.", required=True),
    },
)

TARIFF_RATE = Entity(
    "tariff_rate",
    "One block of a time-of-use tariff. Grain: tariff, schedule, local start minute.",
    ("tariff_id", "schedule_id", "start_minute"),
    {
        "tariff_id": text("Tariff.", required=True),
        "schedule_id": text("Season and days it belongs to.", required=True),
        "effective_date": text("Date from which the tariff holds (ISO)."),
        "season_start": text("First day of the season, MM-DD."),
        "season_end": text("Last day of the season, MM-DD."),
        "days": text("all, weekdays or weekends.", values=("all", "weekdays", "weekends")),
        "start_minute": integer(
            "Minute of the local day at which the block starts.", required=True, minimum=0, maximum=1439
        ),
        "end_minute": integer("Minute of the local day at which it ends.", required=True, minimum=1, maximum=1440),
        "price_per_kwh": number("Energy price.", required=True, minimum=-20, maximum=100),
        "demand_price_per_kw": number("Demand charge of the schedule, per kW and month.", minimum=0),
        "currency": text("Currency.", required=True),
    },
)

CARBON_INTENSITY = Entity(
    "carbon_intensity",
    "Emissions of a kWh from the grid, measured or forecast. Grain: region, start, issue.",
    ("region_id", "start_at", "issued_at"),
    {
        "region_id": text("Grid region.", required=True),
        "start_at": instant("Start.", required=True),
        "end_at": instant("End.", required=True),
        "issued_at": instant("When the value was issued: its own start for a measurement.", required=True),
        "emissions_gco2e_per_kwh": number("Intensity.", required=True, minimum=0, maximum=3000),
        "basis": text("average or marginal.", required=True, values=("average", "marginal")),
        "kind": text("measured or forecast.", required=True, values=("measured", "forecast")),
    },
)

WEATHER = Entity(
    "weather",
    "Outside temperature at a place, observed or forecast. Grain: place, start, issue.",
    ("place_id", "start_at", "issued_at"),
    {
        "place_id": text("Site, or a weather station.", required=True),
        "start_at": instant("Start.", required=True),
        "end_at": instant("End.", required=True),
        "issued_at": instant("When the value was issued: its own start for an observation.", required=True),
        "temperature_c": number("Air temperature at 2 m.", required=True, minimum=-60, maximum=60),
    },
)

SITE_LOAD = Entity(
    "site_load",
    "Metered load of a site without its chargers, and its solar output. Grain: site, start.",
    ("site_id", "start_at"),
    {
        "site_id": text("Site.", required=True),
        "start_at": instant("Start.", required=True),
        "end_at": instant("End.", required=True),
        "base_load_kw": number("Mean load other than charging.", minimum=0),
        "pv_kw": number("Mean solar output.", minimum=0),
    },
)

ENTITIES = (PRICE, TARIFF_RATE, CARBON_INTENSITY, WEATHER, SITE_LOAD)
