-- One row per drive: what the provider calls a trip, else what the odometer shows. Where sources overlap, the better
-- one stands and the other is left out, so that no kilometre counts twice.
with provider_trips as (
    select
        vehicle_id, source, started_at, ended_at, distance_km, energy_kwh, soc_start_pct, soc_end_pct, start_site_id,
        end_site_id, route_id, 'provider' as trip_basis, 1 as basis_rank
    from {{ ref('stg_trip') }}
    where not coalesce(is_deleted, false)
),

odometer_trips as (
    select
        vehicle_id, source, started_at, ended_at, distance_km, energy_kwh, cast(null as double) as soc_start_pct,
        cast(null as double) as soc_end_pct, start_site_id, end_site_id,
        cast(null as {{ dbt.type_string() }}) as route_id, 'odometer' as trip_basis, 2 as basis_rank
    from {{ ref('int_snapshot_trips__derived') }}
),

trips as (
    select *, coalesce(ended_at, {{ add_minutes('started_at', 1440) }}) as busy_until from provider_trips
    union all
    select *, coalesce(ended_at, {{ add_minutes('started_at', 1440) }}) as busy_until from odometer_trips
)

select
    vehicle_id, started_at, ended_at, distance_km, energy_kwh, soc_start_pct, soc_end_pct, start_site_id, end_site_id,
    route_id, trip_basis, source
from trips
where not exists (
    select 1
    from trips as better
    where
        better.vehicle_id = trips.vehicle_id
        and (
            better.basis_rank < trips.basis_rank
            or (better.basis_rank = trips.basis_rank and better.source < trips.source)
        )
        and (
            better.started_at = trips.started_at
            or (better.started_at < trips.busy_until and trips.started_at < better.busy_until)
        )
)
