-- Fills what the provider left out of a trip (SoC at its ends, energy) from the vehicle's own readings.
with trips as (
    select *, coalesce(ended_at, started_at) as last_seen_at from {{ ref('int_trips__reconciled') }}
),

readings as (
    select vehicle_id, observed_at, max(soc_pct) as soc_pct, max(energy_used_total_kwh) as energy_used_total_kwh
    from {{ ref('stg_vehicle_snapshot') }}
    where soc_pct is not null or energy_used_total_kwh is not null
    group by vehicle_id, observed_at
),

-- Readings first, then trip ends and starts, so that a reading of the same instant counts.
timeline as (
    select
        vehicle_id, observed_at as happened_at, 0 as moment, soc_pct, energy_used_total_kwh,
        case when soc_pct is not null then observed_at end as soc_at,
        case when energy_used_total_kwh is not null then observed_at end as energy_at,
        cast(null as {{ var('instant_type') }}) as started_at
    from readings
    union all
    select vehicle_id, started_at, 1, null, null, null, null, started_at from trips
    union all
    select vehicle_id, last_seen_at, 2, null, null, null, null, started_at from trips
),

carried as (
    select
        vehicle_id, happened_at, moment, started_at,
        {{ last_known('soc_pct') }} over so_far as soc_pct,
        {{ last_known('soc_at') }} over so_far as soc_at,
        {{ last_known('energy_used_total_kwh') }} over so_far as energy_used_total_kwh,
        {{ last_known('energy_at') }} over so_far as energy_at
    from timeline
    window so_far as (
        partition by vehicle_id order by happened_at, moment rows between unbounded preceding and current row
    )
),

-- A reading stands for an end of a trip if it is at most 15 minutes older.
ends as (
    select
        vehicle_id, started_at, moment,
        case when {{ minutes_between('soc_at', 'happened_at') }} <= 15 then soc_pct end as soc_pct,
        case when {{ minutes_between('energy_at', 'happened_at') }} <= 15 then energy_used_total_kwh end as energy_used_total_kwh
    from carried
    where moment > 0
),

filled as (
    select
        trips.*,
        coalesce(trips.soc_start_pct, departure.soc_pct) as filled_soc_start_pct,
        case when trips.ended_at is not null then coalesce(trips.soc_end_pct, arrival.soc_pct) end as filled_soc_end_pct,
        case
            when trips.ended_at is not null and arrival.energy_used_total_kwh >= departure.energy_used_total_kwh
                then arrival.energy_used_total_kwh - departure.energy_used_total_kwh
        end as counted_kwh,
        vehicles.capacity_kwh
    from trips
    left join ends as departure
        on trips.vehicle_id = departure.vehicle_id and trips.started_at = departure.started_at and departure.moment = 1
    left join ends as arrival
        on trips.vehicle_id = arrival.vehicle_id and trips.started_at = arrival.started_at and arrival.moment = 2
    left join {{ ref('int_vehicles__current') }} as vehicles on trips.vehicle_id = vehicles.vehicle_id
),

-- A SoC that rose says that the vehicle charged on the way, not what it used.
estimated as (
    select
        *,
        case
            when filled_soc_end_pct <= filled_soc_start_pct
                then (filled_soc_start_pct - filled_soc_end_pct) / 100 * capacity_kwh
        end as soc_kwh
    from filled
)

select
    vehicle_id, started_at, ended_at, distance_km,
    coalesce(energy_kwh, counted_kwh, soc_kwh) as energy_kwh,
    case
        when energy_kwh is not null and trip_basis = 'odometer' then 'counter'
        when energy_kwh is not null then 'reported'
        when counted_kwh is not null then 'counter'
        when soc_kwh is not null then 'soc_change'
    end as energy_basis,
    filled_soc_start_pct as soc_start_pct,
    filled_soc_end_pct as soc_end_pct,
    start_site_id, end_site_id, route_id, trip_basis, source
from estimated
