with connectors as (
    select site_id, count(*) as connectors, {{ sum_if_complete('max_kw') }} as connected_kw
    from {{ ref('int_connectors__current') }}
    group by site_id
),

vehicles as (
    select site_id, count(*) as vehicles from {{ ref('int_vehicles__current') }} group by site_id
)

select
    sites.site_id, sites.name, sites.timezone, sites.currency, sites.latitude, sites.longitude,
    sites.geofence_radius_m, sites.import_limit_kw, sites.price_zone, sites.pv_kwp, sites.battery_capacity_kwh,
    sites.reserve_soc_pct,
    coalesce(connectors.connectors, 0) as connectors,
    connectors.connected_kw,
    coalesce(vehicles.vehicles, 0) as vehicles,
    sites.source
from {{ ref('int_sites__current') }} as sites
left join connectors on sites.site_id = connectors.site_id
left join vehicles on sites.site_id = vehicles.site_id
