select
    vehicle_id, vin, site_id, timezone, model, vehicle_class, usable_kwh, soh_pct, capacity_kwh, ac_max_kw, dc_max_kw,
    phases, taper_power_kw, taper_knee_soc_pct, taper_end_fraction, efficiency, reference_kwh_per_km, token, source
from {{ ref('int_vehicles__current') }}
