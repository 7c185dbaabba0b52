with vehicles as (
    {{ latest_of_sources(ref('stg_vehicle'), key=['vehicle_id']) }}
)

select
    vehicles.vehicle_id, vehicles.vin, vehicles.site_id, sites.timezone, vehicles.model, vehicles.vehicle_class,
    vehicles.usable_kwh, vehicles.soh_pct,
    vehicles.usable_kwh * coalesce(vehicles.soh_pct, 100) / 100 as capacity_kwh,
    vehicles.ac_max_kw, vehicles.dc_max_kw, vehicles.phases, vehicles.taper_power_kw, vehicles.taper_knee_soc_pct,
    vehicles.taper_end_fraction, vehicles.efficiency, vehicles.reference_kwh_per_km, vehicles.token, vehicles.source
from vehicles
left join {{ ref('int_sites__current') }} as sites on vehicles.site_id = sites.site_id
