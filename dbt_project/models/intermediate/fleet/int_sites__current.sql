select
    site_id, name, timezone, currency, latitude, longitude, geofence_radius_m, import_limit_kw, price_zone, pv_kwp,
    battery_capacity_kwh, reserve_soc_pct, source
from ({{ latest_of_sources(ref('stg_site'), key=['site_id']) }}) as sites
