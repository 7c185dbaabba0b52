"""A commented starter configuration: a small depot that validates as it stands, for people to write over."""

from pathlib import Path
from typing import Final

from core.files import write_text_atomic

SITES = """\
# One entry per depot: one grid connection, one time zone.
sites:
  - site_id: north                   # short name; appears in file names and URLs
    name: Depot North
    timezone: Europe/Berlin          # IANA name; every local time below is in it
    currency: EUR
    position: {latitude: 52.55, longitude: 13.35}
    geofence_radius_m: 250           # a vehicle within this distance is at the depot
    # What the site may draw from the grid, by local time of day; the first entry starts at "00:00".
    # Times of day stand in quotes: YAML reads 17:00 without them as a number.
    import_limit: [{from: "00:00", limit_kw: 120}, {from: "17:00", limit_kw: 100}]
    # Feeders or shared power modules with a limit of their own; connectors.csv refers to them.
    groups: [{group_id: feeder-a, limit_kw: 60}]
    tariff:
      price_zone: DEMO               # series_id of the day-ahead prices
      markup_per_kwh: 0.08           # fees and levies on top of the market price
      feed_in_per_kwh: 0.05          # what exported energy earns
      # A price per kW of the highest load; from/to is a local window of the day, null means always.
      demand_charges: [{name: month, price_per_kw: 10.0, from: null, to: null}]
      # More that a tariff may have; none of it is needed:
      # price_tiers: [{name: month, above_kwh: 40000, surcharge_per_kwh: 0.03}]   # beyond so much import in a month
      # carbon: {region: DE, price_per_t: 80}   # of the region's landed intensity (gCO2e/kWh)
    # Limits by time of day that readiness may override, each kWh above one at a price:
    # soft_limits: [{name: evening, from: "17:00", to: "20:00", limit_kw: 60, price_per_kwh: 0.5}]
    base_load_kw: 18                 # typical other load, used where no measurement is known
    pv_kwp: 0
    # A stationary battery, if there is one:
    # {capacity_kwh: 200, max_power_kw: 100, charge_efficiency: 0.95, discharge_efficiency: 0.95}
    battery: null
    reserve_soc_pct: 10              # kept on top of every duty's need
    safety_margin_kw: 2              # never planned
    nightly_at: "14:00"              # local time of the nightly job
    # The OCPP bridge of this site. The token itself is in the environment, never in a file.
    bridge: {url: "http://127.0.0.1:9311", token_env: DEPOTWISE_BRIDGE_TOKEN}
"""

SOURCES = """\
# One entry per source of data, with its contract: who answers for it, and what it promises.
# Secrets are never written here; *_env names the environment variable that holds one.
sources:
  - source_id: rfms-heavy
    kind: rfms_v4         # rfms_v4 | geotab | ocpp_bridge | ocpp_files | vdv463 | day_ahead | weather | site_load
    url: http://127.0.0.1:9401/rfms
    credentials: {token_env: DEPOTWISE_RFMS_TOKEN}
    start_at: 2026-01-12T00:00:00Z   # the first poll goes back to here; without it, to the day before
    owner: Fleet data team
    contact: data@example.org
    freshness_min: 60                # the newest observation is never older than this
    latency_min: 15                  # an observation reaches us within this
    on_failure: plans use the last known SoC moved forward, then history

  - source_id: geotab-vans
    kind: geotab
    url: http://127.0.0.1:9402
    credentials: {database: depot, user_env: DEPOTWISE_GEOTAB_USER, password_env: DEPOTWISE_GEOTAB_PASSWORD}
    start_at: 2026-01-12T00:00:00Z
    owner: Fleet data team
    contact: data@example.org
    freshness_min: 30
    latency_min: 5
    on_failure: plans use the last known SoC moved forward, then history

  - source_id: bridge-north
    kind: ocpp_bridge
    url: http://127.0.0.1:9311
    credentials: {token_env: DEPOTWISE_BRIDGE_TOKEN}
    site_id: north                   # a source that speaks of one site says which
    start_at: 2026-01-12T00:00:00Z
    owner: Charging operations
    contact: charging@example.org
    freshness_min: 15
    latency_min: 1
    on_failure: sessions are known late; charging itself goes on

  - source_id: prices
    kind: day_ahead
    path: prices                     # files lie in this folder, relative to this one
    start_at: 2026-01-12T00:00:00Z
    owner: Energy purchasing
    contact: energy@example.org
    freshness_min: 1440
    latency_min: 60
    on_failure: plans use the prices of the same weekday of the week before
"""

CONNECTORS = """\
station_id,connector_id,evse_id,site_id,group_id,current_type,phases,nominal_voltage_v,max_kw,min_kw,fallback_kw
CP-1,1,DE*DEP*E1,north,feeder-a,ac,3,230,22,4.14,4.2
CP-2,1,DE*DEP*E2,north,feeder-a,ac,3,230,22,4.14,4.2
DC-1,1,DE*DEP*E3,north,,dc,3,800,90,5,20
"""

VEHICLES = """\
vehicle_id,vin,source_id,source_ref,site_id,model,vehicle_class,usable_kwh,soh_pct,ac_max_kw,dc_max_kw,phases,taper_power_kw,taper_knee_soc_pct,taper_end_fraction,efficiency,reference_kwh_per_km,home_station_id,home_connector_id
van-01,WDEPV000000000001,geotab-vans,b1,north,Electric van 75,van,75,98,11,115,3,60,80,0.15,0.9,0.28,CP-1,1
van-02,WDEPV000000000002,geotab-vans,b2,north,Electric van 75,van,75,97,11,115,3,60,80,0.15,0.9,0.28,CP-2,1
truck-01,WDEPT000000000001,rfms-heavy,WDEPT000000000001,north,E-truck,truck,300,95,,150,,150,80,0.2,0.93,1.1,DC-1,1
"""

TOKENS = """\
token,vehicle_id,valid_from,valid_to
04A1B2C3D4E501,van-01,2026-01-01,
04A1B2C3D4E502,van-02,2026-01-01,
04A1B2C3D4E503,truck-01,2026-01-01,
"""

ASSIGNMENTS = """\
vehicle_id,driver_id,block_id,valid_from,valid_to
van-01,driver-1,tour-1,2026-01-01,
van-02,driver-2,tour-2,2026-01-01,2026-07-01
truck-01,driver-3,line-1,2026-01-01,
"""

DUTIES = """\
block_id,operating_date,site_id,vehicle_id,planned_departure,planned_return,distance_km,route_id,min_target_soc_pct
tour-1,2026-02-10,north,van-01,2026-02-10T06:30,2026-02-10T15:30,120,R1,
tour-2,2026-02-10,north,van-02,2026-02-10T07:00,2026-02-10T16:00,95,R2,
line-1,2026-02-10,north,truck-01,2026-02-10T05:00,2026-02-10T17:30,210,L1,90
"""

README = """\
# Configuration

`depotwise check` validates this folder and says, for each mistake, where it is and what would be right.

| file | holds |
|---|---|
| sites.yaml | depots: limits, tariff, battery, bridge |
| sources.yaml | where data comes from, who answers for it, what it promises |
| connectors.csv | charging stations and their connectors |
| vehicles.csv | vehicles and what their batteries can take; source_ref is the provider's name for it (VIN, device id) |
| tokens.csv | idTags; only their keyed hashes are ever landed (key: DEPOTWISE_HASH_KEY) |
| assignments.csv | who drives what, on which block |
| duties.csv or duties.xlsx | planned departures and returns, local time |

A date or time without a zone is local to the site. valid_from is inclusive, valid_to exclusive; empty is for ever.
"""

FILES: Final = {
    "sites.yaml": SITES,
    "sources.yaml": SOURCES,
    "connectors.csv": CONNECTORS,
    "vehicles.csv": VEHICLES,
    "tokens.csv": TOKENS,
    "assignments.csv": ASSIGNMENTS,
    "duties.csv": DUTIES,
    "README.md": README,
    "prices/.gitkeep": "",
}


def write_starter(path: Path) -> list[Path]:
    """Write the starter configuration into a folder that holds none of its files; return what was written.

    Raises:
        FileExistsError: a file is already there; nothing is written over.
    """
    there = [name for name in FILES if (path / name).exists()]
    if there:
        raise FileExistsError(f"{path} already holds {', '.join(there)}; choose another folder or remove them")
    for name, text in FILES.items():
        write_text_atomic(path / name, text)
    return [path / name for name in FILES]
