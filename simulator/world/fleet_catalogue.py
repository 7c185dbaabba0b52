"""Fictional makes and models with nominal figures as a data sheet prints them, and the depots' places."""

from dataclasses import dataclass

WINTER_FACTORS = {"van": 1.27, "truck": 1.16, "bus": 1.16}  # energy per km in the depots' winter against 20 °C


@dataclass(frozen=True, slots=True)
class Model:
    """A vehicle model. Powers are grid-side on AC and at the terminals on DC; consumption at 20 °C, half loaded.

    ``taper_*`` describe how charging power falls: from ``taper_power_kw`` at the knee, in a line, to the end fraction
    of it at 100 %. They are a straight line through a curve, as data sheets are.
    """

    name: str
    brand: str
    code: str
    vehicle_class: str
    usable_kwh: float
    kwh_per_km: float
    ac_max_kw: float
    phases: int
    dc_max_kw: float
    efficiency: float
    taper_power_kw: float
    taper_knee_soc_pct: float
    taper_end_fraction: float


@dataclass(frozen=True, slots=True)
class SitePlace:
    """Where a depot is and what is on its roof."""

    site_id: str
    name: str
    prefix: str
    latitude: float
    longitude: float
    pv_kwp: float


SITES = (
    SitePlace("north", "Depot North", "N", 52.5604, 13.3472, 0.0),
    SitePlace("south", "Depot South", "S", 52.4208, 13.4671, 40.0),
)
BRANDS = {"Arvo": "WAV", "Lumo": "WLM", "Terran": "WTR", "Civis": "WCV"}
DC_RATINGS_KW = {"truck": (75.0, 90.0, 120.0), "bus": (120.0, 150.0, 100.0)}

MODELS = (
    Model("Arvo Cargo 66", "Arvo", "CARG66", "van", 66.0, 0.285, 11.04, 3, 110.0, 0.90, 11.0, 97.5, 0.69),
    Model("Arvo Maxi 90", "Arvo", "MAXX90", "van", 88.0, 0.335, 11.04, 3, 120.0, 0.90, 11.0, 99.0, 0.92),
    Model("Lumo Box 79", "Lumo", "LBXA79", "van", 79.0, 0.320, 11.04, 3, 115.0, 0.90, 11.0, 98.5, 0.83),
    Model("Lumo Box 79 Fast", "Lumo", "LBXF79", "van", 79.0, 0.320, 22.08, 3, 115.0, 0.91, 22.1, 93.0, 0.41),
    Model("Lumo City 50", "Lumo", "LCTY50", "van", 50.0, 0.220, 7.36, 1, 80.0, 0.89, 7.4, 98.5, 0.79),
    Model("Terran Distri 18", "Terran", "TDST18", "truck", 265.0, 0.92, 22.08, 3, 140.0, 0.93, 148.0, 81.0, 0.20),
    Model("Terran Distri 26", "Terran", "TDST26", "truck", 330.0, 1.05, 22.08, 3, 160.0, 0.93, 169.0, 83.0, 0.22),
    Model("Civis Urban 12", "Civis", "CURB12", "bus", 370.0, 1.22, 22.08, 3, 150.0, 0.93, 158.0, 86.0, 0.26),
    Model("Civis Urban 12L", "Civis", "CURL12", "bus", 410.0, 1.25, 22.08, 3, 150.0, 0.93, 158.0, 88.0, 0.29),
)


def models_of(vehicle_class: str) -> list[Model]:
    """Return the models of a class."""
    return [model for model in MODELS if model.vehicle_class == vehicle_class]


def winter_factor(vehicle_class: str) -> float:
    """Return energy per km at the depots' usual winter temperature, relative to 20 °C."""
    return WINTER_FACTORS[vehicle_class]
